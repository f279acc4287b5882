import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, it } from 'mocha';
import { qemuVersions } from '../../scripts/lib/qemu';
import {
  Convergence,
  convergenceSettings,
  type ConvergenceVerdict,
  type Remedy,
} from '../../src/migration/run/pace/convergence';
import { readMigrationInfo, type MigrationInfo } from '../../src/migration/run/migrationInfo';
import { startPair, type Pair, type PairOptions } from '../support/pair';

const mebibyte = 2 ** 20;
/** It writes to 192 MiB over and over, faster than 128 MiB/s. */
const endless = { source: { guest: 'fast-dirtying' }, target: { guest: 'fast-dirtying' } } as const;

describe('the verdict on a running migration, and what it offers', () => {
  let pair: Pair | undefined;

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  const begin = async (
    options: PairOptions,
    capabilities: readonly string[],
    parameters: Readonly<Record<string, number>>,
  ): Promise<Watch> => {
    pair = await startPair(options);
    const { source, target } = pair;
    await source.waitForRounds(1);
    const on = ['return-path', ...capabilities].map((capability) => ({ capability, state: true }));
    for (const qemu of [source, target]) {
      await qemu.probe('migrate-set-capabilities', { capabilities: on });
    }
    await source.probe('migrate-set-parameters', parameters);
    const uri = `unix:${join(source.directory, 'migration.sock')}`;
    await target.probe('migrate-incoming', { uri });
    await source.probe('migrate', { uri });
    await pair.targetMachine.refresh();
    return new Watch(pair);
  };

  for (const version of qemuVersions) {
    for (const id of ['no-bandwidth-limit', 'longer-pause', 'start-postcopy'] as const) {
      it(`ends an endless migration by ${id} on QEMU ${version}`, async () => {
        const capabilities = id === 'start-postcopy' ? ['postcopy-ram'] : [];
        // Slow enough for a busy host to reach the limit, too.
        const watch = await begin({ version, ...endless }, capabilities, {
          'max-bandwidth': 64 * mebibyte,
        });
        const verdict = await watch.untilOffered(id);
        assert.match(
          verdict.text,
          /^guest writes [\d.]+ \w+\/s, channel moves [\d.]+ \w+\/s.*: not converging$/,
        );
        await watch.apply(find(verdict, id));
        await watch.untilCompleted();
        // Postcopy is no matter of converging.
        if (id === 'start-postcopy') return;
        assert.notEqual(watch.last?.kind, 'not-converging', 'after what was to help');
      });
    }
  }

  it('slows the guest as much as was said, where auto-converge is on', async () => {
    // A channel so slow that the few pages of this guest do not fit into a pause.
    const watch = await begin({ version: '11.1' }, ['auto-converge'], {
      'max-bandwidth': 8 * mebibyte,
    });
    const verdict = await watch.untilOffered('slow-the-guest');
    const remedy = find(verdict, 'slow-the-guest');
    const wanted = Number(/(\d+) %/.exec(remedy.title)?.[1]);
    await watch.apply(remedy);
    await watch.until((info) => (info.throttlePercent ?? 0) >= wanted, 'slowed');
  });
});

function find({ remedies }: ConvergenceVerdict, wanted: Remedy['id']): Remedy {
  const remedy = remedies.find(({ id }) => id === wanted);
  assert.ok(remedy !== undefined, `no ${wanted}: ${JSON.stringify(remedies)}`);
  return remedy;
}

/** Looks at the source as a run does, by a connection of its own. */
class Watch {
  readonly pair: Pair;
  last: ConvergenceVerdict | undefined;
  private readonly convergence = new Convergence();

  constructor(pair: Pair) {
    this.pair = pair;
  }

  async untilOffered(wanted: Remedy['id']): Promise<ConvergenceVerdict> {
    await this.until(() => this.last?.remedies.some(({ id }) => id === wanted) === true, wanted);
    assert.equal(this.last?.kind, 'not-converging');
    return this.last;
  }

  async untilCompleted(): Promise<void> {
    await this.until(({ status }) => status === 'completed', 'completed');
    const { source, target } = this.pair;
    assert.equal(await source.guestStatus(), 'postmigrate');
    await target.waitForRounds(1);
  }

  async apply({ id, parameters }: Remedy): Promise<void> {
    if (id === 'start-postcopy') await this.pair.source.probe('migrate-start-postcopy');
    else await this.set(parameters);
  }

  async set(parameters: Readonly<Record<string, number>>): Promise<void> {
    await this.pair.source.probe('migrate-set-parameters', parameters);
    this.last = undefined;
  }

  async until(isThere: (info: MigrationInfo) => boolean, what: string): Promise<void> {
    const { sourceMachine, targetMachine } = this.pair;
    for (let looks = 0; looks < 150; looks++) {
      const facts = await sourceMachine.refresh(['migration', 'parameters', 'capabilities']);
      const info = readMigrationInfo(facts.migration);
      if (info.status === 'active') {
        this.convergence.add({ atMs: Date.now(), ...info });
        const target = targetMachine.snapshot.facts;
        const settings = convergenceSettings(facts, target, info.throttlePercent);
        this.last = this.convergence.verdict(settings);
      }
      if (isThere(info)) return;
      assert.notEqual(info.status, 'failed', info.errorText);
      await sleep(200);
    }
    throw new Error(
      `never ${what}: ${JSON.stringify([this.last, sourceMachine.snapshot.facts?.migration])}`,
    );
  }
}
