import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import {
  qemuVersions,
  verifyGuestMemory,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import {
  applyProfile,
  planProfile,
  ProfileNotApplicableError,
  type ProfileTarget,
} from '../../src/migration/profiles/apply';
import { builtinProfiles } from '../../src/migration/profiles/builtin';
import { parseProfileFile } from '../../src/migration/profiles/profileFile';
import type { Profile } from '../../src/migration/profiles/types';
import type { Transport } from '../../src/migration/run/types';
import { SettingsNotAppliedError } from '../../src/migration/settings/change';
import { SettingsHistory } from '../../src/migration/settings/history';
import { startPair, type Pair } from '../support/pair';

type State = Readonly<Record<string, unknown>>;

/** Parameters and capabilities by name, asked by the other monitor. */
async function stateOf(qemu: QemuProcess): Promise<State> {
  const parameters = (await qemu.probe('query-migrate-parameters')) as State;
  const capabilities = (await qemu.probe('query-migrate-capabilities')) as {
    readonly capability: string;
    readonly state: boolean;
  }[];
  const byName = capabilities.map(({ capability, state }) => [capability, state] as const);
  return { ...parameters, ...Object.fromEntries(byName) };
}

/** The part of `state` that has the names of `like`. */
function partOf(state: State, like: State): State {
  return Object.fromEntries(Object.keys(like).map((name) => [name, state[name]]));
}

function builtin(name: string): Profile {
  const found = builtinProfiles.find((profile) => profile.name === name);
  assert.ok(found, name);
  return found;
}

function inFile(members: string): Profile {
  const text = `{ "version": 1, "profiles": { "p": { ${members} } } }`;
  const [profile] = parseProfileFile(text).profiles;
  assert.ok(profile);
  return profile;
}

/** What each side has to have afterwards, as a released QEMU can. */
const expected: Readonly<Record<string, { readonly source: State; readonly target: State }>> = {
  'Lowest downtime': {
    source: {
      'downtime-limit': 50,
      'max-bandwidth': 0,
      'avail-switchover-bandwidth': 2 ** 30,
      'auto-converge': true,
      'return-path': true,
      events: true,
    },
    target: { 'downtime-limit': 300, 'auto-converge': false, 'return-path': true, events: true },
  },
  'Fastest total': {
    source: { multifd: true, 'multifd-channels': 4, 'max-bandwidth': 0, 'downtime-limit': 2000 },
    target: { multifd: true, 'multifd-channels': 4, 'downtime-limit': 300, 'return-path': true },
  },
  Postcopy: {
    source: { 'postcopy-ram': true, 'postcopy-preempt': true, 'return-path': true, multifd: false },
    target: { 'postcopy-ram': true, 'postcopy-preempt': true, 'return-path': true, multifd: false },
  },
  'Snapshot to file': {
    source: { 'mapped-ram': true, 'return-path': false, 'max-bandwidth': 0, 'postcopy-ram': false },
    target: { 'mapped-ram': true, 'return-path': false, 'postcopy-ram': false },
  },
};

/** Settings that 7.2 does not have yet. */
const notIn72 = ['avail-switchover-bandwidth', 'mapped-ram'];

function expectedOf(name: string, side: 'source' | 'target', version: QemuVersionName): State {
  const wanted = Object.entries(expected[name]?.[side] ?? {});
  return Object.fromEntries(wanted.filter(([key]) => version !== '7.2' || !notIn72.includes(key)));
}

describe('profiles on real QEMUs', () => {
  let pair: Pair;
  let history: SettingsHistory;
  let sides: readonly ProfileTarget[];

  async function start(version: QemuVersionName): Promise<void> {
    // Its channels make multifd ask for the same machine on both sides.
    const uuid = randomUUID();
    pair = await startPair({ version, source: { uuid }, target: { uuid } });
    history = new SettingsHistory(pair.registry);
    sides = [
      { machine: pair.sourceMachine, side: 'source' },
      { machine: pair.targetMachine, side: 'target' },
    ];
  }

  const states = (): Promise<State[]> => Promise.all([pair.source, pair.target].map(stateOf));

  afterEach(async () => {
    history.dispose();
    await pair.dispose();
  });

  for (const version of qemuVersions) {
    it(`${version}: the built-in ones set both sides, and one undo brings all back`, async () => {
      await start(version);
      const before = await states();
      for (const name of Object.keys(expected)) {
        await applyProfile(history, builtin(name), sides);
        for (const [index, side] of (['source', 'target'] as const).entries()) {
          const wanted = expectedOf(name, side, version);
          assert.deepEqual(
            partOf((await states())[index] ?? {}, wanted),
            wanted,
            `${name} ${side}`,
          );
        }
        assert.equal(await applyProfile(history, builtin(name), sides), undefined, 'has it all');
        await history.undo();
        assert.deepEqual(await states(), before, name);
      }
    });

    it(`${version}: each of the built-in ones can follow each other`, async () => {
      await start(version);
      const names = Object.keys(expected);
      for (const first of names) {
        for (const second of names) {
          await applyProfile(history, builtin(first), sides);
          await applyProfile(history, builtin(second), sides);
          const wanted = expectedOf(second, 'source', version);
          assert.deepEqual(
            partOf(await stateOf(pair.source), wanted),
            wanted,
            `${first}, ${second}`,
          );
        }
      }
    });

    it(`${version}: one that does not fit changes nothing on either side`, async () => {
      await start(version);
      const before = await states();
      const misfits = [
        builtin('Local backend transfer'),
        inFile('"parameters": { "downtime-limit": "1 s", "of-tomorrow": 1 }'),
        inFile('"parameters": { "downtime-limit": "1 s" }, "capabilities": { "x-nope": true }'),
        inFile('"capabilities": { "events": true, "postcopy-preempt": true }'),
      ];
      for (const profile of misfits) {
        for (const { machine, side } of sides) {
          assert.ok(machine.snapshot.facts);
          assert.ok(planProfile(profile, machine.snapshot.facts, side).problems.length > 0);
        }
        await assert.rejects(applyProfile(history, profile, sides), ProfileNotApplicableError);
      }
      assert.deepEqual(await states(), before);
      assert.equal(history.last, undefined);
    });

    for (const [name, transport] of [
      ['Lowest downtime', 'fd'],
      ['Fastest total', 'unix'],
      ['Postcopy', 'unix'],
    ] as const satisfies [string, Transport][]) {
      it(`${version}: with "${name}" a guest moves by ${transport}`, async () => {
        await start(version);
        const { source, target, runs, request } = pair;
        await source.waitForRounds(1);
        await applyProfile(history, builtin(name), sides);
        const outcome = await runs.start(request({ transport })).outcome;
        assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
        await target.waitForRounds(2);
        assert.equal((await verifyGuestMemory(target)).pages, 2048);
        const wanted = expectedOf(name, 'source', version);
        assert.deepEqual(partOf(await stateOf(source), wanted), wanted);
      });
    }
  }

  for (const version of ['10.0', '11.1'] as const) {
    it(`${version}: with "Snapshot to file" a guest is saved and goes on from the file`, async () => {
      await start(version);
      const { source, target } = pair;
      await source.waitForRounds(1);
      await applyProfile(history, builtin('Snapshot to file'), sides);
      const file = join(source.directory, 'guest');
      await source.probe('migrate', { uri: `file:${file}` });
      await ended(source);
      // Each page has its place: as large as the memory, and a little more.
      const { size } = await stat(file);
      assert.ok(size > 256 * 2 ** 20 && size < 300 * 2 ** 20, String(size));
      await target.probe('migrate-incoming', { uri: `file:${file}` });
      await ended(target);
      await target.waitForRounds(2);
      assert.equal((await verifyGuestMemory(target)).pages, 2048);
    });
  }

  it('what QEMU itself refuses is put back on both sides', async () => {
    await start('11.1');
    const before = await states();
    // Needs an accelerator that was started for it, which only QEMU can tell.
    const profile = inFile(
      `"parameters": { "downtime-limit": "1 s" }, "capabilities": { "events": true },
       "target": { "capabilities": { "dirty-limit": true } }`,
    );
    await assert.rejects(applyProfile(history, profile, sides), (error) => {
      assert.ok(error instanceof SettingsNotAppliedError, String(error));
      assert.equal(error.label, pair.targetMachine.snapshot.label);
      assert.deepEqual(error.notPutBack, []);
      return true;
    });
    assert.deepEqual(await states(), before);
  });
});

async function ended(qemu: QemuProcess): Promise<void> {
  for (;;) {
    const { status } = (await qemu.probe('query-migrate')) as { readonly status?: string };
    if (status === 'completed') return;
    assert.notEqual(status, 'failed', qemu.stderr());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
