import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, it } from 'mocha';
import {
  qemuVersions,
  verifyGuestMemory,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import type { Run } from '../../src/migration/run/runs';
import type { MigrationRequest, RunOutcome, RunPhase } from '../../src/migration/run/types';
import { startPair, type Pair, type PairOptions } from '../support/pair';

/** A guest that never converges at the default bandwidth, so that there is time to interfere. */
const slow = { source: { guest: 'fast-dirtying' }, target: { guest: 'fast-dirtying' } } as const;

type OptionRun = readonly [
  what: string,
  /** Capabilities of the source. */
  names: readonly string[],
  patch: Partial<MigrationRequest>,
  versions: readonly QemuVersionName[],
];

const optionRuns: readonly OptionRun[] = [
  ['xbzrle', ['xbzrle'], { options: { xbzrle: true } }, qemuVersions],
  ['auto-converge', ['auto-converge'], { options: { autoConverge: true } }, qemuVersions],
  [
    'postcopy-preempt',
    ['postcopy-ram', 'postcopy-preempt'],
    { method: 'postcopy', options: { postcopyPreempt: true } },
    ['10.0', '11.1'],
  ],
  [
    'several connections and zstd',
    ['multifd'],
    { options: { multifdChannels: 2, multifdCompression: 'zstd' } },
    qemuVersions,
  ],
];

describe('a migration between two QEMUs', () => {
  let pair: Pair | undefined;
  const start = async (options: PairOptions): Promise<Pair> => (pair = await startPair(options));

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  for (const version of qemuVersions) {
    describe(`QEMU ${version}`, () => {
      it('goes over TCP', async () => {
        const { source, target, runs, request } = await start({ version });
        await source.waitForRounds(1);
        const listen = version === '7.2' ? `127.0.0.1:${await freePort()}` : '127.0.0.1:0';
        const options = { tcp: { listen }, plainTcpConsent: true };
        const outcome = await runs.start(request({ transport: 'tcp', options })).outcome;
        await completed(outcome, source, target);
      });

      it('goes over several connections, compressed, and puts the settings back', async () => {
        // With multifd QEMU compares them.
        const uuid = randomUUID();
        const { source, target, runs, request } = await start({
          ...{ version, source: { uuid }, target: { uuid } },
        });
        await source.waitForRounds(1);
        const options = { multifdChannels: 3, multifdCompression: 'zlib' };
        const outcome = await runs.start(request({ transport: 'unix', options })).outcome;
        await completed(outcome, source, target);
        for (const qemu of [source, target]) {
          const parameters = (await qemu.probe('query-migrate-parameters')) as object;
          assert.deepEqual(
            [parameters['multifd-channels' as never], parameters['multifd-compression' as never]],
            [2, 'none'],
          );
          assert.equal(await capability(qemu, 'multifd'), false);
        }
      });

      it('goes over by postcopy after the first pass', async () => {
        const { source, target, runs, request } = await start({ version, ...slow });
        await source.waitForRounds(1);
        const run = runs.start(request({ method: 'postcopy', options: { postcopyAfterPass: 1 } }));
        const seen = phasesOf(run);
        const outcome = await run.outcome;
        await completed(outcome, source, target);
        assert.ok(seen.includes('postcopy'), seen.join());
        assert.equal(await capability(target, 'postcopy-ram'), false);
      });

      it('goes over by postcopy when a person says so, and recovers a channel that was cut', async () => {
        const { source, target, runs, request } = await start({ version, ...slow });
        await source.waitForRounds(1);
        await source.probe('migrate-set-parameters', { 'max-postcopy-bandwidth': 20_000_000 });
        const run = runs.start(request({ method: 'postcopy', transport: 'unix' }));
        await untilPhase(run, 'transfer');
        await assert.rejects(run.control({ id: 'release-switchover' }), /stand still/);
        await run.control({ id: 'start-postcopy' });
        await untilPhase(run, 'postcopy');
        assert.equal(run.record.progress.owner, 'target');
        await run.control({ id: 'pause-postcopy' });
        await untilPhase(run, 'interrupted');
        await sleep(500);
        assert.equal(run.record.progress.phase, 'interrupted');
        await run.control({ id: 'recover-postcopy' });
        await untilPhase(run, 'postcopy');
        await run.control({
          id: 'set-parameters',
          parameters: { 'max-postcopy-bandwidth': 0 },
        });
        await completed(await run.outcome, source, target);
      });

      it('recovers an interrupted postcopy by itself', async () => {
        const { source, target, runs, request } = await start({ version, ...slow });
        await source.waitForRounds(1);
        await source.probe('migrate-set-parameters', { 'max-postcopy-bandwidth': 20_000_000 });
        const run = runs.start(request({ method: 'postcopy' }));
        await untilPhase(run, 'transfer');
        await run.control({ id: 'start-postcopy' });
        await untilPhase(run, 'postcopy');
        await sleep(300);
        await source.probe('migrate-pause');
        await untilPhase(run, 'interrupted');
        await untilPhase(run, 'postcopy');
        await source.probe('migrate-set-parameters', { 'max-postcopy-bandwidth': 0 });
        await completed(await run.outcome, source, target);
      });

      for (const [what, names, patch, versions] of optionRuns) {
        if (!versions.includes(version)) continue;
        it(`goes over with ${what}, on during the run and put back afterwards`, async () => {
          const uuid = randomUUID();
          const { source, target, runs, request } = await start({
            ...{ version, source: { uuid }, target: { uuid } },
          });
          await source.waitForRounds(1);
          // It stands still before the switchover, so that there is time to look.
          const options = { ...patch.options, holdSwitchover: true };
          const run = runs.start(request({ transport: 'unix', ...patch, options }));
          await untilPhase(run, 'held');
          for (const name of names) assert.equal(await capability(source, name), true, name);
          await run.control({ id: 'release-switchover' });
          await completed(await run.outcome, source, target);
          for (const name of names) {
            for (const qemu of [source, target]) {
              assert.equal(await capability(qemu, name), false, name);
            }
          }
        });
      }

      it('starts the guest on the target only on proof, where that is asked for', async () => {
        const { source, target, runs, request, log } = await start({ version });
        await source.waitForRounds(1);
        const options = { guardSwitchover: true };
        const outcome = await runs.start(request({ options })).outcome;
        await completed(outcome, source, target);
        const sent = log.filter((line) => /^(stop|cont) on the target/.test(line));
        assert.equal(sent.length, 2, log.join());
        assert.equal(await capability(source, 'pause-before-switchover'), false);
      });

      it('stands still before the switchover until it is released', async () => {
        const { source, target, runs, request } = await start({ version });
        await source.waitForRounds(1);
        const run = runs.start(request({ options: { holdSwitchover: true } }));
        await untilPhase(run, 'held');
        await sleep(500);
        assert.equal(run.record.progress.phase, 'held');
        assert.equal(run.record.progress.owner, 'source');
        assert.equal(await target.guestStatus(), 'inmigrate');
        await run.control({ id: 'release-switchover' });
        await completed(await run.outcome, source, target);
      });

      it('can be cancelled while it stands still, and made anew', async () => {
        const { source, runs, request } = await start({ version });
        await source.waitForRounds(1);
        const run = runs.start(request({ options: { holdSwitchover: true } }));
        await untilPhase(run, 'held');
        run.cancel();
        const outcome = await run.outcome;
        assert.equal(outcome.kind, 'cancelled', JSON.stringify(outcome));
        await source.waitForRounds(1);
        assert.equal(await capability(source, 'pause-before-switchover'), false);
      });

      it('limits writing by the dirty ring alone, and is refused without one', async () => {
        const { source, runs, request } = await start({ version });
        const options = { dirtyLimitMegabytesPerSecond: 50 };
        const outcome = await runs.start(request({ options })).outcome;
        assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
        const words = version === '7.2' ? /dirty-limit/ : /without (a dirty ring|KVM)/;
        assert.match(outcome.details.join(' '), words);
        // As nothing was sent.
        if (version !== '7.2') assert.equal(await capability(source, 'dirty-limit'), false);
      });

      it('sends the devices alone where both map the same memory', async () => {
        const file = join(tmpdir(), `qemu-migration-ram-${process.pid}`);
        const extraArgs = [
          ...['-object', `memory-backend-file,id=ram0,size=256M,mem-path=${file},share=on`],
          ...['-machine', 'memory-backend=ram0'],
        ];
        try {
          const { source, target, runs, request } = await start({
            version,
            source: { extraArgs },
            target: { extraArgs },
          });
          await source.waitForRounds(1);
          const outcome = await runs.start(request({ method: 'shared-ram' })).outcome;
          await completed(outcome, source, target);
          assert.ok((outcome.transferredBytes ?? Infinity) < 4_000_000);
        } finally {
          await rm(file, { force: true });
        }
      });
    });
  }
});

async function completed(
  outcome: RunOutcome,
  source: QemuProcess,
  target: QemuProcess,
): Promise<void> {
  assert.deepEqual(
    { kind: outcome.kind, owner: outcome.owner, runs: outcome.guestRunning },
    { kind: 'completed', owner: 'target', runs: true },
    JSON.stringify(outcome),
  );
  assert.equal(await source.guestStatus(), 'postmigrate');
  await target.waitForRounds(1);
  await verifyGuestMemory(target);
}

function phasesOf(run: Run): RunPhase[] {
  const seen: RunPhase[] = [];
  run.onDidChange(({ progress }) => {
    if (seen.at(-1) !== progress.phase) seen.push(progress.phase);
  });
  return seen;
}

async function untilPhase(run: Run, phase: RunPhase): Promise<void> {
  for (let waits = 0; run.record.progress.phase !== phase; waits++) {
    const { outcome, progress } = run.record;
    assert.equal(outcome, undefined, `ended before ${phase}: ${JSON.stringify(outcome)}`);
    assert.ok(waits < 2000, `never came to ${phase}: ${JSON.stringify(progress)}`);
    await sleep(10);
  }
}

/** One that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function capability(qemu: QemuProcess, name: string): Promise<boolean | undefined> {
  const list = (await qemu.probe('query-migrate-capabilities')) as {
    capability: string;
    state: boolean;
  }[];
  return list.find(({ capability: each }) => each === name)?.state;
}
