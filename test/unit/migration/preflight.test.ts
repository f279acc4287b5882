import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { convergenceFinding, type DirtyRate } from '../../../src/migration/preflight/convergence';
import { judge } from '../../../src/migration/preflight/preflight';
import {
  findingKey,
  type Finding,
  type PreflightInput,
  type PreflightSide,
} from '../../../src/migration/preflight/types';
import type { MigrationRequest } from '../../../src/migration/run/types';
import type { JsonObject } from '../../../src/qmp/json';
import { nothingKnown, type DiskFacts, type Inventory } from '../../../src/vm/inventory';
import type { PlacedDevice } from '../../../src/vm/places';
import type { MachineSnapshot, VmFacts } from '../../../src/vm/types';
import type { Build } from '../../support/recordings';
import { changed, factsOf, processOf, requestOf, snapshotOf } from './support';

const gibibyte = 2 ** 30;

interface SideCase {
  readonly facts?: Partial<VmFacts>;
  readonly parameters?: JsonObject;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly machine?: Partial<MachineSnapshot>;
  readonly inventory?: Partial<Inventory>;
  readonly use?: Partial<PreflightSide['use']>;
  readonly images?: PreflightSide['images'];
  readonly hugePages?: boolean;
}

interface Case {
  readonly build?: Build;
  readonly request?: Partial<MigrationRequest>;
  readonly source?: SideCase;
  readonly target?: SideCase;
  readonly host?: Partial<PreflightInput['host']>;
}

/** Both sides without anything to say of them, unless a case does. */
function inputOf({ build = '11.1-stock', request, source, target, host }: Case): PreflightInput {
  const side = (name: string, given: SideCase = {}, fixed: Partial<VmFacts>): PreflightSide => {
    const facts = changed(
      factsOf(build, { devices: [], ...fixed, ...given.facts }),
      { 'max-bandwidth': 0, 'avail-switchover-bandwidth': gibibyte, ...given.parameters },
      { 'return-path': true, events: true, ...given.capabilities },
    );
    return {
      facts,
      snapshot: snapshotOf(name, facts, given.machine),
      inventory: { ...nothingKnown, ...given.inventory },
      use: { residentBytes: undefined, memlockBytes: undefined, ...given.use },
      images: given.images ?? new Map(),
      hugePages: given.hugePages ?? false,
    };
  };
  return {
    request: requestOf(request),
    source: side('a', source, {}),
    target: side('b', target, { runState: { status: 'inmigrate', running: false } }),
    host: { availableBytes: undefined, anyUserfaultfd: undefined, ...host },
  };
}

/** Without the one that is always there. */
function findings(given: Case): readonly Finding[] {
  return judge(inputOf(given)).filter(({ id }) => id !== 'pause-limit');
}

function names(given: Case): readonly string[] {
  return findings(given).map((finding) => `${finding.level} ${findingKey(finding)}`);
}

function only(given: Case): Finding {
  const [first, ...others] = findings(given);
  assert.ok(first, 'nothing was found');
  assert.deepEqual(others.map(findingKey), [], findingKey(first));
  for (const sentence of [first.what, first.why, first.nextStep]) {
    assert.match(sentence, /^[A-Za-z0-9"].*[.]$/);
    assert.doesNotMatch(sentence, /undefined|\[object|NaN/);
  }
  return first;
}

const rng: PlacedDevice = {
  id: 'rng0',
  named: true,
  path: '/machine/peripheral/rng0',
  driver: 'virtio-rng-pci',
  place: '05.0',
  mac: undefined,
  netdev: undefined,
  sharesWriting: false,
};

const disk: DiskFacts = {
  device: '/machine/peripheral/disk0/virtio-backend',
  nodeName: 'node0',
  driveId: undefined,
  file: '/images/one.img',
  driver: 'raw',
  readOnly: false,
  virtualBytes: 1024,
  direct: false,
  noFlush: false,
};

const blk: PlacedDevice = {
  ...rng,
  id: 'disk0',
  path: '/machine/peripheral/disk0',
  driver: 'virtio-blk-pci',
};

describe('the check before a migration', () => {
  it('has nothing to say of two equal machines, whatever their QEMUs do not tell', () => {
    assert.deepEqual(names({}), []);
    assert.deepEqual(names({ source: { inventory: { cpus: { count: 4, model: 'max' } } } }), []);
    assert.deepEqual(names({ target: { inventory: { devices: [rng], pci: [], disks: [] } } }), []);
    assert.deepEqual(names({ host: { availableBytes: 0 } }), []);
  });

  it('takes over what forbids a run, with what comes of it and what settings can mend', () => {
    const multifd = { capabilities: { multifd: true } };
    const finding = only({
      request: { transport: 'fd' },
      source: multifd,
      target: multifd,
    });
    assert.deepEqual(
      [finding.id, finding.level, finding.side],
      ['multifd-over-fd', 'blocks', 'both'],
    );
    const off = { parameters: {}, capabilities: { multifd: false } };
    assert.deepEqual([finding.fix?.source, finding.fix?.target], [off, off]);
    const type = only({ target: { facts: { machineType: 'pc-q35-10.0' } } });
    assert.equal(type.fix, undefined, 'no setting changes the machine type');
  });

  it('gives the target the value of the source where that is what blocks', () => {
    const on = { capabilities: { multifd: true } };
    const finding = only({
      source: { ...on, parameters: { 'multifd-channels': 4 } },
      target: { ...on, parameters: { 'multifd-channels': 2 } },
    });
    assert.equal(findingKey(finding), 'parameter-differs multifd-channels');
    assert.deepEqual(finding.fix?.target?.parameters, { 'multifd-channels': 4 });
  });

  it('compares devices by where they sit, for that names their state', () => {
    const device = (patch: Partial<PlacedDevice>): SideCase => ({
      inventory: { devices: [{ ...rng, ...patch }] },
    });
    const given = (source: SideCase, target: SideCase): readonly string[] =>
      names({ source, target });
    assert.deepEqual(given(device({}), device({})), []);
    assert.deepEqual(given(device({}), device({ id: 'other' })), ['tells device-id rng0']);
    assert.deepEqual(given(device({}), device({ driver: 'virtio-balloon-pci' })), [
      'blocks device-differs rng0',
    ]);
    assert.deepEqual(given(device({ place: '01.0/00.0' }), device({ place: '02.0/00.0' })), [
      'blocks device-missing rng0',
      'warns device-extra rng0',
    ]);
    assert.deepEqual(
      given(device({ mac: '52:54:00:aB:00:01' }), device({ mac: '52:54:00:Ab:00:01' })),
      [],
    );
    assert.deepEqual(given(device({ netdev: 'n0' }), device({})), ['warns netdev-missing rng0']);
  });

  it('knows devices of the machine itself by what they are', () => {
    const bus = (pciId: string): SideCase => ({
      inventory: { devices: [], pci: [{ address: '01.0', pciId, deviceId: undefined }] },
    });
    assert.deepEqual(names({ source: bus('1234:1111'), target: bus('1234:1111') }), []);
    assert.deepEqual(names({ source: bus('1234:1111'), target: bus('1013:00b8') }), [
      'blocks device-differs 01.0',
    ]);
    const none = { inventory: { devices: [], pci: [] } };
    assert.deepEqual(names({ source: bus('1234:1111'), target: none }), [
      'blocks device-missing 01.0',
    ]);
    assert.deepEqual(names({ source: bus('1b36:0005'), target: none }), [], 'it has no state');
  });

  it('does not miss on the target a device that the run itself adds there', () => {
    const tap = {
      id: 'nic0',
      path: '/machine/peripheral/nic0',
      driver: 'virtio-net-pci',
      permissions: {},
      netdev: { id: 'net0', type: 'tap', ifname: 'tap0', incoming: false },
    };
    const args = ['qemu', '-netdev', 'tap,id=net0,x-permit-local-migration=on'];
    const source: SideCase = {
      facts: { devices: [tap] },
      machine: { process: processOf(1, { args }) },
      inventory: { devices: [{ ...rng, ...tap, netdev: 'net0' }] },
    };
    const target: SideCase = {
      machine: { process: processOf(2, { args: ['qemu'] }) },
      inventory: { devices: [] },
    };
    assert.deepEqual(names({ build: 'local', source, target }), ['tells backend-transfer-off']);
    assert.deepEqual(
      names({ build: 'local', request: { backendTransfer: 'on' }, source, target }),
      [],
    );
    assert.deepEqual(names({ source, target }), ['blocks device-missing nic0']);
  });

  it('tells that nothing but care keeps two guests from one disk', () => {
    const images = new Map([
      ['/images/one.img', { path: '/images/one.img', identity: '1:1', network: false }],
    ]);
    const side = (args: readonly string[], patch: Partial<DiskFacts> = {}): SideCase => ({
      inventory: { disks: [{ ...disk, ...patch }], devices: [blk] },
      machine: { process: processOf(args.length, { args }) },
      images,
    });
    const json = '{"driver":"file","node-name":"f","filename":"/images/one.img","locking":"off"}';
    assert.deepEqual(names({ source: side(['q']), target: side(['q', '']) }), []);
    assert.deepEqual(names({ source: side(['q', '-blockdev', json]), target: side(['q']) }), [
      'warns disk-lock disk0 (source)',
    ]);
    assert.deepEqual(
      names({
        source: side(['q', '-blockdev', json], { readOnly: true }),
        target: side(['q'], { readOnly: true }),
      }),
      [],
    );
    const shared = { ...blk, sharesWriting: true };
    const target = side(['q']);
    const inventory = { ...target.inventory, devices: [shared] };
    assert.deepEqual(names({ source: side(['q', '']), target: { ...target, inventory } }), [
      'warns disk-lock disk0 (target)',
    ]);
  });

  it('takes two names of one file for one, and sizes to the last digit', () => {
    const side = (file: string, identity: string, patch: Partial<DiskFacts> = {}): SideCase => ({
      inventory: { disks: [{ ...disk, file, ...patch }], devices: [blk] },
      images: new Map([[file, { path: `/images/${file}`, identity, network: true }]]),
    });
    assert.deepEqual(names({ source: side('a.img', '1:1'), target: side('link.img', '1:1') }), [
      'tells disk-cache disk0',
    ]);
    assert.deepEqual(
      names({
        source: side('a.img', '1:1', { direct: true, virtualBytes: 2n ** 60n }),
        target: side('b.img', '1:2', { virtualBytes: 2n ** 60n + 1n }),
      }),
      ['warns disk-file disk0', 'warns disk-size disk0'],
    );
    const unsafe = { noFlush: true };
    assert.match(
      only({ source: side('a.img', '1:1', unsafe), target: side('a.img', '1:1') }).what,
      /ignores the guest's flushes/,
    );
  });

  it('weighs the memory that the target has yet to fill against what the host has', () => {
    const facts = { memoryBytes: 8 * gibibyte };
    const given = (residentBytes: number, availableBytes: number, shared = false): Case => {
      const inventory: Partial<Inventory> = {
        mainMemory: 'ram',
        memory: [
          { id: 'ram', bytes: 8 * gibibyte, shared, path: '/dev/shm/ram', hugePages: false },
        ],
      };
      const side = { facts, inventory, capabilities: { 'x-ignore-shared': shared } };
      return {
        source: side,
        target: { ...side, use: { residentBytes } },
        host: { availableBytes },
      };
    };
    assert.match(only(given(gibibyte, 6 * gibibyte)).what, /7 GiB more memory.*6 GiB available/);
    assert.deepEqual(names(given(gibibyte, 7 * gibibyte)), []);
    assert.deepEqual(names(given(0, gibibyte, true)), [], 'the file is there already');
    const { target, ...rest } = given(0, gibibyte);
    const huge = { ...target, hugePages: true };
    assert.deepEqual(names({ ...rest, target: huge }), [], 'huge pages are put aside already');
  });

  it('warns of sending without copies where little memory may be locked', () => {
    const given = (memlockBytes: number | 'unlimited', uid = 1000): Case => ({
      source: {
        capabilities: { 'zero-copy-send': true },
        machine: { process: processOf(7, { uid }) },
        use: { memlockBytes },
      },
    });
    const mine = process.getuid?.() ?? 0;
    const ids = (one: Case): readonly string[] =>
      findings(one).flatMap(({ id, level }) => (level === 'warns' ? id : []));
    assert.deepEqual(ids(given(65536)), ['memlock']);
    assert.deepEqual(ids(given('unlimited', mine)), []);
    assert.deepEqual(ids(given(65536, 0)), [], 'root may lock what it likes');
  });

  it('warns of postcopy where the host keeps page faults to root', () => {
    const on = { capabilities: { 'postcopy-ram': true } };
    const given = (uid: number, anyUserfaultfd: boolean | undefined): readonly string[] =>
      findings({
        source: on,
        target: { ...on, machine: { process: processOf(7, { uid }) } },
        host: { anyUserfaultfd },
      }).flatMap(({ id }) => (id.startsWith('unix') ? [] : id));
    assert.deepEqual(given(1000, false), ['userfaultfd']);
    assert.deepEqual(given(1000, true), []);
    assert.deepEqual(given(1000, undefined), []);
    assert.deepEqual(given(0, false), []);
  });

  it('says what a run sets by itself', () => {
    const off = { capabilities: { 'return-path': false } };
    const path = only({ source: off, target: off });
    assert.deepEqual([path.id, path.level], ['return-path', 'tells']);
    assert.match(path.what, /^return-path is off at a and b;/);
    const mode = only({
      source: {
        parameters: { mode: 'cpr-transfer' },
        inventory: {
          mainMemory: 'pc.ram',
          memory: [{ id: 'pc.ram', bytes: 1, shared: false, path: undefined, hugePages: false }],
        },
      },
    });
    assert.match(mode.what, /mode is cpr-transfer at the source; a run sets it to normal/);
    assert.match(mode.why, /"pc\.ram" was started without share=on/);
  });

  it('tells what the CPU options hide behind one model', () => {
    const side = (cpu: string | undefined, pid: number): SideCase => ({
      inventory: { cpus: { count: 1, model: 'host' } },
      machine: {
        process: processOf(pid, { args: ['q', ...(cpu === undefined ? [] : ['-cpu', cpu])] }),
      },
    });
    const given = (a: string | undefined, b: string | undefined): readonly string[] =>
      names({ source: side(a, 1), target: side(b, 2) });
    assert.deepEqual(given('host,-avx,+x2apic', 'host,+x2apic,-avx'), []);
    assert.deepEqual(given(undefined, 'host'), []);
    assert.deepEqual(given('host,-avx', 'host'), ['warns cpu-model']);
  });

  describe('of speed and pause', () => {
    const slow = { 'max-bandwidth': 128 * 2 ** 20 };

    it('warns of the default limit, unless the run lifts it', () => {
      const finding = only({ source: { parameters: slow } });
      assert.equal(finding.id, 'bandwidth-low');
      assert.deepEqual(Object.keys(finding.fix?.source?.parameters ?? {}), [
        'max-bandwidth',
        'avail-switchover-bandwidth',
      ]);
      const request = { maxBandwidthBytesPerSecond: 0n };
      assert.deepEqual(names({ request, source: { parameters: slow } }), []);
    });

    it('warns of nothing where the guest stands still: it writes nothing, and misses no time', () => {
      const facts = { runState: { status: 'paused', running: false } };
      for (const parameters of [
        slow,
        { 'downtime-limit': 0 },
        { 'max-bandwidth': 0, 'avail-switchover-bandwidth': 0 },
      ]) {
        const found = judge(inputOf({ source: { facts, parameters } }));
        const warned = found.filter(({ level }) => level === 'warns').map(({ id }) => id);
        assert.deepEqual(warned, [], JSON.stringify(parameters));
      }
    });

    it('warns of an unlimited link whose end is guessed', () => {
      const unset = { 'avail-switchover-bandwidth': 0 };
      const finding = only({ source: { parameters: unset } });
      assert.equal(finding.id, 'switchover-guess');
      assert.equal(
        only({ source: { parameters: { 'downtime-limit': 0 } } }).id,
        'pause-impossible',
      );
    });
  });

  describe('of the end', () => {
    const limit = 128 * 2 ** 20;
    const verdict = (rate: DirtyRate | number, given: SideCase = {}): Finding =>
      convergenceFinding(
        inputOf({
          source: {
            ...given,
            parameters: { 'max-bandwidth': limit, 'downtime-limit': 300, ...given.parameters },
          },
        }),
        typeof rate === 'number' ? { kind: 'measured', bytesPerSecond: rate } : rate,
      );

    it('says whether it comes, with the numbers', () => {
      assert.equal(verdict({ kind: 'paused' }).level, 'tells');
      assert.equal(verdict(30 * 2 ** 20).what, 'The migration will converge.');
      assert.match(verdict(60 * 2 ** 20).what, /will probably converge/);
      const never = verdict(192 * 2 ** 20);
      assert.equal(never.level, 'warns');
      assert.match(never.what, /will not converge/);
      assert.match(never.why, /192 MiB in one second; 128 MiB\/s .* 38\.4 MiB .* 300 ms/);
    });

    it('offers first the speed, then a slower guest, then a longer pause', () => {
      const much = 4 * gibibyte;
      assert.match(verdict(much).fix?.title ?? '', /^Set max-bandwidth to no limit/);
      const fast = { parameters: { 'max-bandwidth': 0 } };
      assert.deepEqual(verdict(much, fast).fix?.source?.capabilities, { 'auto-converge': true });
      const last = verdict(much, { ...fast, capabilities: { 'auto-converge': true } });
      assert.deepEqual(last.fix?.source?.parameters, { 'downtime-limit': 4800 });
    });

    it('says why it cannot tell', () => {
      const unknown = verdict({ kind: 'unknown', reason: 'QEMU says: no.' });
      assert.deepEqual([unknown.level, unknown.why], ['tells', 'QEMU says: no.']);
    });
  });
});
