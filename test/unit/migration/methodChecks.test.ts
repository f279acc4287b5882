import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ExecFacts } from '../../../src/migration/methods/execFacts';
import { migrationTargets } from '../../../src/migration/run/checks/candidates';
import {
  checkBeforeRun,
  findObstacles,
  RunRefusedError,
} from '../../../src/migration/run/checks/checks';
import type { FileFacts, MethodFacts } from '../../../src/migration/run/checks/methodFacts';
import type { Obstacle, ObstacleId } from '../../../src/migration/run/checks/obstacle';
import type { MigrationRequest } from '../../../src/migration/run/types';
import type { JsonObject } from '../../../src/qmp/json';
import { nothingKnown, type Inventory } from '../../../src/vm/inventory';
import type { PlacedDevice } from '../../../src/vm/places';
import type { MachineHandle, MachineSnapshot, VmFacts } from '../../../src/vm/types';
import { changed, factsOf, processOf, requestOf, snapshotOf } from './support';

const running = factsOf('11.1-stock', { devices: [] });
const waiting: VmFacts = { ...running, runState: { status: 'inmigrate', running: false } };
const idle = { state: { kind: 'idle' }, facts: undefined } as const;

interface SideCase {
  readonly parameters?: JsonObject;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly facts?: Partial<VmFacts>;
  readonly machine?: Partial<MachineSnapshot>;
  readonly inventory?: Partial<Inventory>;
}

interface Case {
  readonly request: Partial<MigrationRequest>;
  readonly source?: SideCase;
  readonly target?: SideCase;
  readonly facts?: MethodFacts;
}

function machine(name: string, base: VmFacts, given: SideCase = {}): MachineSnapshot {
  const facts = changed({ ...base, ...given.facts }, given.parameters ?? {}, given.capabilities);
  return snapshotOf(name, facts, given.machine);
}

/** The same machine for methods with one; `restore` has one that waits. */
function obstacles({ request, source, target, facts = {} }: Case): readonly Obstacle[] {
  const { method = 'precopy' } = request;
  const alone = ['save', 'cpr-reboot', 'cpr-exec', 'restore'].includes(method);
  const a = machine('a', method === 'restore' ? waiting : running, source);
  const b = alone ? a : machine('b', waiting, target);
  const here = { ...nothingKnown, ...source?.inventory };
  const there = alone ? here : { ...nothingKnown, ...target?.inventory };
  const inventories = { source: here, target: there };
  const found = findObstacles(requestOf(request), a, b, inventories, facts);
  for (const { reason, nextStep } of found) {
    assert.match(reason, /^["A-Za-z/-].*[.)]$/);
    assert.match(nextStep, /[.]$/);
    assert.doesNotMatch(reason + nextStep, /undefined|\[object|NaN/);
  }
  return found;
}

function ids(given: Case): readonly ObstacleId[] {
  return obstacles(given).map(({ id }) => id);
}

function memory(patch: Partial<NonNullable<Inventory['memory']>[number]> = {}): Partial<Inventory> {
  const backend = { id: 'ram0', bytes: 4096, shared: true, path: '/m', hugePages: false };
  return { mainMemory: 'ram0', memory: [{ ...backend, ...patch }] };
}

describe('what a run will set, before it begins', () => {
  it('is judged as it will be: multifd by option is on at both sides with one number', () => {
    const options = { multifdChannels: 4, multifdCompression: 'zstd' };
    assert.deepEqual(ids({ request: { options } }), []);
    assert.deepEqual(ids({ request: { options, transport: 'fd' } }), ['multifd-over-fd']);
    const differ = { parameters: { 'multifd-channels': 7 } };
    assert.deepEqual(ids({ request: { options }, target: differ }), []);
    const on = { multifd: true };
    const sides = { source: { capabilities: on }, target: { ...differ, capabilities: on } };
    assert.deepEqual(ids({ request: {}, ...sides }), ['parameter-differs']);
  });

  it('a value that QEMU refuses is named, and one that it takes is not', () => {
    for (const [options, expected] of [
      [{ multifdChannels: 0 }, ['option-refused', 'option-refused']],
      [{ multifdChannels: 255 }, []],
      [{ downtimeLimitMs: 2_000_001 }, ['option-refused']],
      [{ downtimeLimitMs: 2_000_000 }, []],
      [{ multifdChannels: 2, multifdCompression: 'lz4' }, ['option-not-offered']],
      [{ multifdCompression: 'zlib' }, ['option-missing']],
    ] as const) {
      assert.deepEqual(ids({ request: { options } }), expected, JSON.stringify(options));
    }
  });

  it('capabilities that do not go together, one of them by option', () => {
    const options = { multifdChannels: 2, xbzrle: true };
    assert.deepEqual(ids({ request: { options } }), ['options-conflict']);
    assert.deepEqual(ids({ request: { options: { xbzrle: true } } }), []);
    const both = { capabilities: { 'x-ignore-shared': true } };
    const postcopy = { method: 'postcopy' } as const;
    const found = ids({ request: postcopy, source: both, target: both });
    assert.ok(found.includes('options-conflict'), found.join());
    assert.deepEqual(ids({ request: postcopy, facts: { userfaultfd: true } }), []);
  });

  it('an option that has no meaning for the method is refused, not passed over', () => {
    for (const [request, subject] of [
      [{ options: { postcopyAfterPass: 1 } }, 'postcopyAfterPass'],
      [{ options: { tcp: { listen: '127.0.0.1:0' } } }, 'tcp'],
      [{ options: { ignoreShared: true } }, 'ignoreShared'],
      [{ method: 'shared-ram', options: { multifdChannels: 2 } }, 'multifdChannels'],
    ] as const) {
      const found = obstacles({ request }).filter(({ id }) => id === 'option-not-for-method');
      assert.deepEqual(
        found.map((each) => each.subject),
        [subject],
      );
    }
    assert.deepEqual(ids({ request: { options: { xbzrle: false, holdSwitchover: true } } }), []);
  });

  it('a limit of writing needs a dirty ring', () => {
    const options = { dirtyLimitMegabytesPerSecond: 10 };
    const withRing = processOf(1, { args: ['qemu', '-accel', 'kvm,dirty-ring-size=4096'] });
    assert.deepEqual(ids({ request: { options }, source: { machine: { process: withRing } } }), []);
    const without = { machine: { process: processOf(1) } };
    assert.deepEqual(ids({ request: { options }, source: without }), ['dirty-limit-ring']);
  });
});

describe('over TCP', () => {
  const tcp = (listen: string, patch: Partial<MigrationRequest['options']> = {}): Case => ({
    request: { transport: 'tcp', options: { tcp: { listen }, plainTcpConsent: true, ...patch } },
  });
  const creds = { parameters: { 'tls-creds': 'tls0' }, inventory: { objects: ['tls0'] } };

  it('takes an address that a target can listen at, and nothing else', () => {
    for (const listen of ['127.0.0.1:0', '[::1]:4444', 'localhost:65535']) {
      assert.deepEqual(ids(tcp(listen)), [], listen);
    }
    for (const listen of ['', '4444', 'host', 'host:65536', 'host:1,ipv4=on', 'a b:1']) {
      assert.deepEqual(ids(tcp(listen)), ['tcp-address'], listen);
    }
    assert.deepEqual(ids({ request: { transport: 'tcp' } }), ['option-missing']);
  });

  it('takes consent, or TLS at both sides', () => {
    const plain = tcp('127.0.0.1:0', { plainTcpConsent: false });
    assert.deepEqual(ids(plain), ['tcp-consent']);
    assert.deepEqual(ids({ ...plain, source: creds, target: creds }), []);
    assert.ok(ids({ ...plain, source: creds }).includes('tls-one-side'));
  });

  it('does not ask for one user, but for a port that is free', () => {
    const machineOf = (uid: number): SideCase => ({
      machine: { process: processOf(uid, { uid }) },
    });
    const sides = { source: machineOf(12345), target: machineOf(12346) };
    assert.deepEqual(ids({ ...tcp('127.0.0.1:0'), ...sides }), []);
    assert.deepEqual(ids({ ...tcp('127.0.0.1:5'), facts: { portTaken: true } }), [
      'tcp-port-taken',
    ]);
  });
});

describe('memory that both sides map', () => {
  const mapping = (identity: string) => [{ identity, bytes: 4096, path: '/m' }];
  const request = { method: 'shared-ram' } as const;
  const sides = { source: { inventory: memory() }, target: { inventory: memory() } };

  it('must be one file, proven by its inode', () => {
    const same = { sourceMappings: mapping('0:1'), targetMappings: mapping('0:1') };
    assert.deepEqual(ids({ request, ...sides, facts: same }), []);
    const other = { ...same, targetMappings: mapping('0:2') };
    assert.deepEqual(ids({ request, ...sides, facts: other }), ['memory-file-differs']);
    assert.deepEqual(ids({ request, ...sides, facts: {} }), ['memory-unproven']);
    const own = { source: { inventory: memory({ shared: false }) }, target: sides.target };
    assert.deepEqual(ids({ request, ...own, facts: same }), ['memory-not-shared']);
  });

  it('also when x-ignore-shared was turned on by hand', () => {
    const on = { capabilities: { 'x-ignore-shared': true } };
    const both = {
      source: { ...sides.source, ...on },
      target: { ...sides.target, ...on },
      facts: { sourceMappings: mapping('0:1'), targetMappings: mapping('0:2') },
    };
    assert.deepEqual(ids({ request: {}, ...both }), ['memory-file-differs']);
    // Nothing is shared: all is copied as ever.
    const own = { inventory: memory({ shared: false }), ...on };
    assert.deepEqual(ids({ request: {}, source: own, target: own }), []);
  });
});

describe('a live update into another process', () => {
  const cprSocket = '/run/x/cpr.sock';
  const incoming = `{"channel-type":"cpr","addr":{"transport":"socket","type":"unix","path":"${cprSocket}"}}`;
  const holder = processOf(9, { args: ['qemu', '-incoming', 'defer', '-incoming', incoming] });
  const facts: MethodFacts = { auxRamShare: true, cprSocket: { kind: 'socket', holder } };
  const good: Case = {
    request: { method: 'cpr-transfer', options: { cprSocket } },
    source: { inventory: memory(), machine: { process: processOf(8) } },
    target: { machine: idle },
    facts,
  };
  const socket = (patch: Partial<NonNullable<MethodFacts['cprSocket']>>): MethodFacts => ({
    ...facts,
    cprSocket: { kind: 'socket', holder, ...patch },
  });

  it('takes a target that does not answer yet', () => {
    assert.deepEqual(ids(good), []);
    assert.deepEqual(ids({ ...good, target: {} }), ['cpr-target-answers']);
    const late = snapshotOf('b', undefined, { state: { kind: 'idle' } });
    const [first] = migrationTargets(undefined, [snapshotOf('c', running), late], 'cpr-transfer');
    assert.deepEqual([first?.snapshot.label, first?.usable], ['b', true]);
  });

  it('needs memory that can be handed over', () => {
    const own = { ...good.source, inventory: memory({ shared: false }) };
    assert.deepEqual(ids({ ...good, source: own }), ['memory-not-shared']);
    assert.deepEqual(ids({ ...good, facts: { ...facts, auxRamShare: false } }), ['aux-ram-share']);
  });

  it('needs a QEMU that waits for it at that socket', () => {
    const holders: readonly [MethodFacts, ObstacleId][] = [
      [socket({ kind: 'missing', holder: undefined }), 'cpr-socket'],
      [socket({ kind: 'not-a-socket', holder: undefined }), 'cpr-socket'],
      [socket({ holder: undefined }), 'cpr-socket'],
      [socket({ holder: processOf(8) }), 'cpr-socket-holder'],
      [
        socket({ holder: processOf(9, { executable: '/bin/nc', args: ['nc'] }) }),
        'cpr-socket-holder',
      ],
      [socket({ holder: processOf(9) }), 'cpr-socket-holder'],
    ];
    for (const [given, expected] of holders) {
      assert.deepEqual(ids({ ...good, facts: given }), [expected]);
    }
    const relative = { method: 'cpr-transfer', options: { cprSocket: 'cpr.sock' } } as const;
    assert.deepEqual(ids({ ...good, request: relative }), ['cpr-socket']);
    assert.deepEqual(ids({ ...good, request: { method: 'cpr-transfer' } }), ['option-missing']);
  });

  it('never goes over a descriptor, which ends the source', () => {
    assert.deepEqual(ids({ ...good, request: { ...good.request, transport: 'fd' } }), [
      'cpr-main-fd',
    ]);
  });

  it('is not offered by a QEMU that has no such mode', () => {
    const { schema } = running;
    const old = Object.assign(Object.create(Object.getPrototypeOf(schema) as object), schema, {
      enumValues: () => [],
    }) as typeof schema;
    const source = { ...good.source, facts: { schema: old } };
    assert.deepEqual(ids({ ...good, source }), ['method-not-offered']);
  });
});

describe('a live update in place', () => {
  const args = [
    ...[
      '/usr/bin/qemu',
      '-M',
      'q35',
      '-m',
      '64',
      '-object',
      'memory-backend-memfd,id=ram0,size=64M',
    ],
    ...['-device', 'virtio-rng-pci,id=rng0'],
  ];
  const rng: PlacedDevice = {
    ...{ id: 'rng0', named: true, path: '/p', driver: 'virtio-rng-pci', place: '05.0' },
    ...{ mac: undefined, netdev: undefined, sharesWriting: false },
  };
  const exec: ExecFacts = {
    ...{ label: 'a', socketPath: '/run/a.qmp', uid: process.getuid?.() ?? 0, root: '/', cwd: '/' },
    program: { path: '/usr/bin/qemu', isOther: false, problem: undefined },
    ...{ running: args.slice(1), wanted: args.slice(1), machineType: undefined },
    ...{ descriptors: [], missing: [], rehearsal: undefined },
    live: {
      devices: [{ id: 'rng0', named: true }],
      ...{ objects: ['ram0'], chardevs: [], images: [], blockJobs: [], mainMemory: 'ram0' },
    },
  };
  const facts: MethodFacts = { auxRamShare: true, exec };
  const good: Case = {
    request: { method: 'cpr-exec' },
    source: {
      inventory: { ...memory(), devices: [rng] },
      machine: { process: processOf(8, { args }) },
    },
    facts,
  };
  const withCommand = (execCommand: readonly string[], patch: MethodFacts = {}): Case => ({
    ...good,
    request: { method: 'cpr-exec', options: { execCommand } },
    facts: { ...facts, ...patch },
  });

  it('takes the command line of the running QEMU, or one that builds the same machine', () => {
    assert.deepEqual(ids(good), []);
    assert.deepEqual(ids(withCommand(['/opt/qemu', ...args.slice(1), '-S'])), []);
    assert.deepEqual(ids({ ...good, source: { inventory: memory() } }), ['exec-unknown']);
  });

  it('refuses a command that would be the end of the guest', () => {
    const without = (name: string) => {
      const at = args.indexOf(name);
      return args.filter((_, index) => index !== at && index !== at + 1);
    };
    assert.deepEqual(ids(withCommand(without('-m'))), ['exec-command-differs']);
    assert.deepEqual(ids(withCommand(without('-M'))), ['exec-command-differs']);
    assert.deepEqual(ids(withCommand(without('-device'))), ['exec-command-differs']);
    for (const extra of [['-incoming', 'defer'], ['-daemonize']]) {
      assert.deepEqual(ids(withCommand([...args, ...extra])), ['exec-command'], extra.join(' '));
    }
    assert.deepEqual(ids(withCommand(['qemu', ...args.slice(1)])), ['exec-command']);
  });

  it('refuses memory that QEMU would not refuse', () => {
    const own = { ...good.source, inventory: { ...memory({ shared: false }), devices: [rng] } };
    assert.deepEqual(ids({ ...good, source: own }), ['memory-not-shared']);
  });

  it('refuses what the process itself shows, and a process that shows nothing', () => {
    const live = {
      ...exec.live,
      devices: [...(exec.live.devices ?? []), { id: 'hot0', named: true }],
    };
    const plugged = { ...facts, exec: { ...exec, live } };
    assert.deepEqual(ids({ ...good, facts: plugged }), ['exec-hot-plugged']);
    assert.deepEqual(ids({ ...good, facts: { ...facts, exec: undefined } }), ['exec-unknown']);
  });
});

describe('a guest in a file', () => {
  const fresh: FileFacts = {
    ...{ folder: 'directory', kind: 'none', qemuMayWrite: true, qemuMayRead: undefined },
    ...{ weMayWrite: true, weMayRead: false, freeBytes: 100, neededBytes: 100 },
    isMigration: undefined,
  };
  const saved: FileFacts = { ...fresh, kind: 'file', qemuMayRead: true, isMigration: true };
  const save = (file: Partial<FileFacts>, path = '/x/guest', passDescriptor = false): Case => ({
    request: { method: 'save', options: { file: { path, passDescriptor } } },
    facts: { file: { ...fresh, ...file } },
  });
  const restore = (file: Partial<FileFacts>): Case => ({
    request: { method: 'restore', options: { file: { path: '/x/guest' } } },
    facts: { file: { ...saved, ...file } },
  });

  it('is saved where nothing is written over, and all has room', () => {
    assert.deepEqual(ids(save({})), []);
    assert.deepEqual(ids(save({ kind: 'file' })), ['file-exists']);
    assert.deepEqual(ids(save({ kind: 'other' })), ['file-exists']);
    assert.deepEqual(ids(save({ folder: 'missing' })), ['file-missing']);
    assert.deepEqual(ids(save({ freeBytes: 99 })), ['file-space']);
    assert.deepEqual(ids(save({ qemuMayWrite: false })), ['file-not-writable']);
    assert.deepEqual(ids(save({ qemuMayWrite: false }, '/x/guest', true)), []);
    assert.deepEqual(ids(save({ weMayWrite: false }, '/x/guest', true)), ['file-not-writable']);
    for (const path of ['guest', '/x/../y', '/x/', '/x/a,offset=1', '/x/a\nb']) {
      assert.deepEqual(ids(save({}, path)), ['file-path'], JSON.stringify(path));
    }
    assert.deepEqual(ids({ request: { method: 'save' } }), ['option-missing']);
  });

  it('is not saved by one who is blocked, waits, or keeps its memory to itself', () => {
    const blocked = { facts: { migration: { 'blocked-reasons': ['no'] } } };
    assert.deepEqual(ids({ ...save({}), source: blocked }), ['blocked-reason']);
    const waits = { facts: { runState: { status: 'inmigrate', running: false } } };
    assert.deepEqual(ids({ ...save({}), source: waits }), ['source-waits']);
    const left = { capabilities: { 'x-ignore-shared': true }, inventory: memory() };
    assert.deepEqual(ids({ ...save({}), source: left }), ['file-without-memory']);
    const own = { ...left, inventory: memory({ shared: false }) };
    assert.deepEqual(ids({ ...save({}), source: own }), []);
    const runsOn = { capabilities: { 'background-snapshot': true } };
    assert.deepEqual(ids({ ...save({}), source: runsOn }), ['guest-runs-on']);
  });

  it('takes several channels only with mapped-ram', () => {
    const file = (mappedRam: boolean): Case => ({
      request: {
        method: 'save',
        options: { multifdChannels: 2, file: { path: '/x/g', mappedRam } },
      },
      facts: { file: fresh },
    });
    assert.deepEqual(ids(file(true)), []);
    assert.deepEqual(ids(file(false)), ['multifd-over-file']);
  });

  it('leaves its memory only in a file that outlives the QEMU', () => {
    const reboot = (inventory: Partial<Inventory>): Case => ({
      request: { method: 'cpr-reboot', options: { ignoreShared: true, file: { path: '/x/g' } } },
      facts: { file: { ...fresh, freeBytes: 0 } },
      source: { inventory },
    });
    assert.deepEqual(ids(reboot(memory())), []);
    assert.deepEqual(ids(reboot(memory({ path: undefined }))), ['memory-not-in-file']);
    assert.deepEqual(ids(reboot(memory({ shared: false }))), ['memory-not-in-file']);
  });

  it('is restored by a machine that waits, from what was saved', () => {
    assert.deepEqual(ids(restore({})), []);
    assert.deepEqual(ids(restore({ kind: 'none' })), ['file-missing']);
    assert.deepEqual(ids(restore({ kind: 'other' })), ['file-not-a-migration']);
    assert.deepEqual(ids(restore({ isMigration: false })), ['file-not-a-migration']);
    assert.deepEqual(ids(restore({ qemuMayRead: false })), ['file-not-readable']);
    const runs = { facts: { runState: { status: 'running', running: true } } };
    assert.deepEqual(ids({ ...restore({}), source: runs }), ['target-not-waiting']);
  });

  it('does not hand back ends over', () => {
    const request = { ...save({}).request, backendTransfer: 'on' } as const;
    assert.deepEqual(ids({ ...save({}), request }), ['backend-transfer-method']);
  });
});

describe('a reason to go on all the same', () => {
  const handle = (snapshot: MachineSnapshot) => ({ snapshot }) as MachineHandle;
  const a = handle(machine('a', running));
  const older = handle(machine('b', waiting, { facts: { machineType: 'pc-q35-9.0' } }));
  const check = (patch: Partial<MigrationRequest>, b = older): readonly Obstacle[] =>
    checkBeforeRun(requestOf(patch), a, b);
  const refused = (patch: Partial<MigrationRequest>, b = older): RunRefusedError => {
    try {
      check(patch, b);
    } catch (error) {
      assert.ok(error instanceof RunRefusedError);
      return error;
    }
    return assert.fail('it was not refused');
  };
  const force = { reason: 'the types are the same but for a name' };

  it('overrules what QEMU refuses by itself, and tells what was overruled', () => {
    assert.equal(refused({}).canBeForced, true);
    assert.deepEqual(
      check({ force }).map(({ id }) => id),
      ['machine-type'],
    );
    assert.deepEqual(check({ force }, handle(machine('b', waiting))), []);
  });

  it('has to be one', () => {
    for (const reason of ['', '         ', 'because', 'with a \u0007 in it somewhere']) {
      const { obstacles: found } = refused({ force: { reason } });
      assert.ok(
        found.some(({ id }) => id === 'force-reason'),
        JSON.stringify(reason),
      );
    }
  });

  it('overrules nothing that hangs, ends a QEMU, or loses or doubles a guest', () => {
    const hanging = handle(machine('b', waiting, { capabilities: { multifd: true } }));
    const error = refused({ force }, hanging);
    assert.deepEqual(error.forceable, []);
    const mixed = handle(
      machine('b', waiting, {
        capabilities: { multifd: true },
        facts: { machineType: 'pc-q35-9.0' },
      }),
    );
    const both = refused({ force }, mixed);
    assert.deepEqual(
      both.obstacles.map(({ id }) => id),
      ['capability-differs'],
    );
    // Late refusals are too late where pages have gone over already, or are shared.
    for (const method of ['shared-ram', 'cpr-transfer'] as const) {
      assert.equal(refused({ method, force }).forceable.length, 0, method);
    }
  });
});
