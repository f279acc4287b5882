import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  bandwidthAdvice,
  migrationSources,
  migrationTargets,
} from '../../../src/migration/run/checks/candidates';
import {
  checkBeforeRun,
  findObstacles,
  RunRefusedError,
} from '../../../src/migration/run/checks/checks';
import type { MigrationRequest } from '../../../src/migration/run/types';
import { explain } from '../../../src/migration/view/words';
import type { JsonObject } from '../../../src/qmp/json';
import type { MachineHandle, MachineSnapshot, VmFacts } from '../../../src/vm/types';
import { changed, factsOf, nic, processOf, requestOf, snapshotOf } from './support';

const running = factsOf('local');
const waiting = factsOf('local', { runState: { status: 'inmigrate', running: false } });

interface Case {
  readonly request?: Partial<MigrationRequest>;
  readonly source?: Partial<VmFacts>;
  readonly target?: Partial<VmFacts>;
  readonly sourceMachine?: Partial<MachineSnapshot>;
  readonly targetMachine?: Partial<MachineSnapshot>;
}

function reasons(given: Case): string[] {
  const obstacles = findObstacles(
    requestOf(given.request),
    snapshotOf('a', { ...running, ...given.source }, given.sourceMachine),
    snapshotOf('b', { ...waiting, ...given.target }, given.targetMachine),
  );
  for (const { reason, nextStep } of obstacles) {
    assert.match(reason, /^[A-Za-z].*[.)]$/);
    assert.match(nextStep, /[.]$/);
    assert.doesNotMatch(reason + nextStep, /undefined|\[object/);
  }
  return obstacles.map(({ reason }) => reason);
}

function status(name: string, isRunning = false): Partial<VmFacts> {
  return { runState: { status: name, running: isRunning } };
}

function onlyReason(given: Case): string {
  const [first, ...others] = reasons(given);
  assert.deepEqual(others, [], first);
  return first ?? 'no obstacle';
}

function withSettings(
  facts: VmFacts,
  parameters: JsonObject,
  capabilities: Record<string, boolean> = {},
): Partial<VmFacts> {
  return changed(facts, parameters, capabilities);
}

describe('before a migration starts', () => {
  it('nothing stands in the way of a running source and a waiting target', () => {
    assert.deepEqual(reasons({}), []);
    assert.deepEqual(reasons({ request: { transport: 'fd' } }), []);
    assert.deepEqual(reasons({ source: status('paused') }), []);
    // As a target that has received its guest: it may be the source of the next one.
    assert.deepEqual(reasons({ source: { migration: { status: 'completed' } } }), []);
  });

  it('a machine is not its own target', () => {
    const a = snapshotOf('a', running);
    assert.match(findObstacles(requestOf(), a, a)[0]?.reason ?? '', /same machine/);
  });

  it('both must be connected; those who are not are named', () => {
    const lost = { state: { kind: 'lost', reason: { kind: 'peer-closed' } } } as const;
    assert.equal(onlyReason({ sourceMachine: lost }), 'a is not connected.');
    assert.deepEqual(
      reasons({ sourceMachine: { state: { kind: 'idle' } }, targetMachine: { facts: undefined } }),
      ['a is not connected.', 'b is not connected.'],
    );
  });

  it('two monitors of one QEMU are found out', () => {
    const both = { process: processOf(77) };
    assert.match(onlyReason({ sourceMachine: both, targetMachine: both }), /two monitors.*pid 77/);
    const other = { process: processOf(78) };
    assert.deepEqual(reasons({ sourceMachine: both, targetMachine: other }), []);
  });

  for (const [what, source, expected] of [
    ['waits itself', status('inmigrate'), /itself waits/],
    ['has given its guest away', status('postmigrate'), /given its guest away/],
    [
      'is handing it over',
      { ...status('finish-migrate'), migration: { status: 'device' } },
      /given its guest away/,
    ],
    ['is in a state of a later QEMU', { migration: { status: 'x-new' } }, /given its guest away/],
    ['is migrating', { migration: { status: 'active' } }, /under way already \(active\)/],
    [
      'is blocked, by QEMU’s own words',
      { migration: { 'blocked-reasons': ['disk is busy', 'no'], ram: 'garbage' } },
      /QEMU says that a cannot be migrated now: disk is busy/,
    ],
  ] as const) {
    it(`the source: one that ${what}`, () => {
      assert.match(reasons({ source })[0] ?? 'no obstacle', expected);
    });
  }

  it('is not blocked by what blocks a mode that the run does not use', () => {
    const migration = { 'blocked-reasons': ['Memory region pc.ram is not compatible with CPR.'] };
    const parameters = { ...running.parameters, mode: 'cpr-transfer' };
    assert.deepEqual(reasons({ source: { migration, parameters } }), []);
  });

  it('tells every reason that QEMU has for blocking', () => {
    const source = { migration: { 'blocked-reasons': ['one', 'two'] } };
    assert.equal(reasons({ source }).length, 2);
  });

  it('the target: one that does not wait, or was used', () => {
    assert.match(onlyReason({ target: status('running', true) }), /does not wait.*is running/);
    for (const used of ['setup', 'failed', 'active', 'completed']) {
      const target = { migration: { status: used } };
      assert.match(onlyReason({ target }), new RegExp(`status ${used}.*serves one attempt`));
    }
    assert.deepEqual(reasons({ target: { migration: { status: 'none' } } }), []);
  });

  it('capabilities that would let the guest run on both sides', () => {
    for (const name of ['background-snapshot', 'x-colo']) {
      const source = withSettings(running, {}, { [name]: true });
      const target = withSettings(waiting, {}, { [name]: true });
      // Over descriptors nothing else is set that would not go together with it.
      const request = { transport: 'fd' } as const;
      assert.match(
        onlyReason({ request, source, target }),
        new RegExp(`${name}.*run on both sides`),
      );
    }
  });

  it('mapped-ram needs a file, over either transport', () => {
    const source = withSettings(running, {}, { 'mapped-ram': true });
    const target = withSettings(waiting, {}, { 'mapped-ram': true });
    for (const transport of ['fd', 'unix'] as const) {
      assert.match(onlyReason({ source, target, request: { transport } }), /mapped-ram/);
    }
  });

  it('multifd needs more connections than a descriptor pair has', () => {
    const source = withSettings(running, {}, { multifd: true });
    const target = withSettings(waiting, {}, { multifd: true });
    assert.match(onlyReason({ source, target, request: { transport: 'fd' } }), /multifd/);
    assert.deepEqual(reasons({ source, target }), []);
  });

  it('machine types and memory sizes that differ', () => {
    assert.match(
      onlyReason({ target: { machineType: 'pc-i440fx-9.0' } }),
      /machine types differ: pc-q35-11.1 and pc-i440fx-9.0/,
    );
    assert.match(onlyReason({ target: { machineType: undefined } }), /and unknown/);
    assert.deepEqual(reasons({ source: { machineType: undefined } }), []);
    assert.match(onlyReason({ target: { memoryBytes: 2 ** 30 } }), /64 MiB and 1 GiB/);
    assert.deepEqual(reasons({ target: { memoryBytes: undefined } }), []);
  });

  it('UUIDs that differ, where QEMU compares them', () => {
    for (const name of ['multifd', 'validate-uuid']) {
      const sides = (uuids: readonly (string | undefined)[]): string[] =>
        reasons({
          source: { ...withSettings(running, {}, { [name]: true }), uuid: uuids[0] },
          target: { ...withSettings(waiting, {}, { [name]: true }), uuid: uuids[1] },
        });
      assert.match(sides(['a', 'b']).join(), new RegExp(`with ${name} .*: a and b`));
      assert.match(sides(['a', undefined]).join(), /a and none/);
      assert.deepEqual(sides(['a', 'a']), []);
    }
    assert.deepEqual(reasons({ source: { uuid: 'a' }, target: { uuid: 'b' } }), []);
  });

  it('a capability that must be equal, but not one that each side has for itself', () => {
    for (const [name, expected] of [
      ['multifd', ['multifd is on at one side only.']],
      ['x-ignore-shared', ['x-ignore-shared is on at one side only.']],
      ['return-path', []],
      ['events', []],
      ['xbzrle', []],
      // No local migration goes over RDMA.
      ['rdma-pin-all', []],
    ] as const) {
      assert.deepEqual(reasons({ source: withSettings(running, {}, { [name]: true }) }), expected);
      assert.deepEqual(reasons({ target: withSettings(waiting, {}, { [name]: true }) }), expected);
    }
  });

  it('a parameter that must be equal, only while it is in use', () => {
    const source = (multifd: boolean): Partial<VmFacts> =>
      withSettings(running, { 'multifd-channels': 4, 'downtime-limit': 7 }, { multifd });
    const target = (multifd: boolean): Partial<VmFacts> => withSettings(waiting, {}, { multifd });
    assert.equal(
      onlyReason({ source: source(true), target: target(true) }),
      'multifd-channels differs: 4 and 2.',
    );
    assert.deepEqual(reasons({ source: source(false), target: target(false) }), []);
    const chunks = withSettings(running, { 'x-rdma-chunk-size': 2 ** 21 });
    const others = withSettings(waiting, { 'x-rdma-chunk-size': 2 ** 20 });
    assert.deepEqual(reasons({ source: chunks, target: others }), []);
  });

  it('backend transfer on one side only matters unless the run sets it on both', () => {
    for (const [a, b] of [
      [true, false],
      [false, true],
    ] as const) {
      const given = (backendTransfer: 'as-is' | 'on' | 'off'): string[] =>
        reasons({
          request: { backendTransfer },
          source: { ...withSettings(running, { local: a }), devices: [] },
          target: { ...withSettings(waiting, { local: b }), devices: [] },
        });
      assert.deepEqual(given('as-is'), ['Backend transfer is on at one side only.']);
      assert.deepEqual([given('on'), given('off')], [[], []]);
    }
  });

  it('a QEMU without backend transfer is named when it is wanted', () => {
    const given = {
      request: { backendTransfer: 'on' },
      source: factsOf('11.1-stock'),
      target: { devices: [nic] },
    } as const;
    assert.match(onlyReason(given), /QEMU of a has no backend transfer/);
  });

  describe('over a UNIX path', () => {
    const mine = { process: processOf(1) };

    it('QEMUs of other users cannot enter our folder', () => {
      const theirs = { process: processOf(2, { uid: (process.getuid?.() ?? 0) + 1 }) };
      const given = { sourceMachine: mine, targetMachine: theirs };
      assert.match(onlyReason(given), /other users/);
      assert.deepEqual(reasons({ ...given, request: { transport: 'fd' } }), []);
    });

    it('nor can those of one other user, unless we are root', () => {
      const theirs = processOf(2, { uid: (process.getuid?.() ?? 0) + 1 });
      const given = { sourceMachine: { process: theirs }, targetMachine: { process: theirs } };
      const other = { targetMachine: { process: { ...theirs, pid: 3 } } };
      const found = reasons({ ...given, ...other });
      assert.equal(found.length, process.getuid?.() === 0 ? 0 : 1);
    });

    it('nor can one with a root directory of its own', () => {
      const caged = { process: processOf(2, { root: '/srv/jail' }) };
      const given = { sourceMachine: mine, targetMachine: caged };
      assert.match(onlyReason(given), /b runs in a root directory/);
      assert.deepEqual(reasons({ ...given, request: { transport: 'fd' } }), []);
    });

    it('what is not known does not forbid it', () => {
      const unknown = { process: processOf(2, { root: undefined }) };
      assert.deepEqual(reasons({ sourceMachine: mine, targetMachine: unknown }), []);
      assert.deepEqual(reasons({ sourceMachine: mine }), []);
    });
  });

  it('is refused with all reasons at once, and with what to do', () => {
    const handle = (snapshot: MachineSnapshot): MachineHandle => ({ snapshot }) as MachineHandle;
    const source = handle(snapshotOf('a', running));
    const unlike = { ...waiting, machineType: 'pc-q35-9.0', memoryBytes: 5 };
    assert.throws(
      () => checkBeforeRun(requestOf(), source, handle(snapshotOf('b', unlike))),
      (error) => {
        assert.ok(error instanceof RunRefusedError);
        assert.equal(error.reasons.length, 2);
        const { headline, nextStep } = explain(error);
        assert.match(headline, /machine types.*memory sizes/);
        assert.match(nextStep ?? '', /-machine pc-q35-11\.1.*as much memory/);
        return true;
      },
    );
    checkBeforeRun(requestOf(), source, handle(snapshotOf('b', waiting)));
  });
});

describe('candidates for a migration', () => {
  const a = snapshotOf('a', running);
  const b = snapshotOf('b', waiting);
  const gone = snapshotOf('gone', factsOf('local', status('postmigrate')));
  const idle = snapshotOf('idle', undefined, { state: { kind: 'idle' } });
  const lost = snapshotOf('lost', waiting, {
    state: { kind: 'lost', reason: { kind: 'peer-closed' } },
  });

  it('as sources: those with a guest first, the others with a reason', () => {
    const found = migrationSources([idle, b, a, gone]);
    assert.deepEqual(
      found.map(({ snapshot, usable }) => [snapshot.label, usable]),
      [
        ['a', true],
        ['idle', false],
        ['b', false],
        ['gone', false],
      ],
    );
    assert.deepEqual(
      found.map(({ reason }) => reason.slice(0, 20)),
      ['', 'Not connected.', 'b itself waits for a', 'gone has given its g'],
    );
  });

  it('as targets: those that wait first, never the source, none that was only seen waiting', () => {
    const found = migrationTargets(a, [a, lost, gone, b]);
    assert.deepEqual(
      found.map(({ snapshot, usable, reason }) => [snapshot.label, usable, reason.slice(0, 18)]),
      [
        ['b', true, ''],
        ['lost', false, 'Not connected.'],
        ['gone', false, 'gone does not wait'],
      ],
    );
    assert.equal(migrationTargets(undefined, [a, b]).length, 2);
  });
});

describe('advice on bandwidth', () => {
  const adviceFor = (value: number | bigint): ReturnType<typeof bandwidthAdvice> =>
    bandwidthAdvice(changed(running, { 'max-bandwidth': value }));

  it('is given for the default, with the pause that no limit risks', () => {
    const advice = bandwidthAdvice(running);
    assert.equal(advice?.currentBytesPerSecond, 134217728n);
    assert.equal(advice.suggestedBytesPerSecond, 0n);
    assert.match(advice.explanation, /128 MiB\/s/);
    assert.match(advice.explanation, /avail-switchover-bandwidth|switchover/);
  });

  it('warns of long pauses where QEMU cannot be told an estimate', () => {
    const parameters = { ...running.parameters };
    Reflect.deleteProperty(parameters, 'avail-switchover-bandwidth');
    const advice = bandwidthAdvice({ ...running, parameters });
    assert.match(advice?.explanation ?? '', /Without a limit.*pauses of .* times downtime-limit/);
  });

  it('is not given without a limit, with a high one, or when nothing is known', () => {
    assert.equal(adviceFor(0), undefined);
    assert.equal(adviceFor(2n ** 64n - 1n), undefined);
    assert.equal(adviceFor(2 ** 31), undefined);
    assert.equal(bandwidthAdvice({ ...running, parameters: {} }), undefined);
    assert.ok(adviceFor(1));
  });
});
