import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import {
  pairBackendTransfer,
  switchRequests,
  type PairBackendTransfer,
} from '../../../src/migration/pair/backendTransferPair';
import {
  backendTransferOf,
  BackendTransferError,
  devicePermissions,
} from '../../../src/migration/settings/backendTransfer';
import { applyChanges, SettingsNotAppliedError } from '../../../src/migration/settings/change';
import type { JsonObject } from '../../../src/qmp/json';
import { MachineRegistry } from '../../../src/vm/registry';
import type {
  DeviceFacts,
  MachineHandle,
  MachineSnapshot,
  NetdevFacts,
  VmFacts,
} from '../../../src/vm/types';
import { FakeQmpServer, FakeRefusal } from '../../support/fakeQmpServer';
import type { Build } from '../../support/recordings';
import { changed, factsOf, nic, processOf, schemaWith, snapshotOf } from './support';

const permittedNetdev = 'tap,id=net0,ifname=tapx,x-permit-local-migration=on';

interface Machine {
  readonly on?: boolean;
  readonly args?: readonly string[];
  readonly devices?: readonly DeviceFacts[];
  readonly facts?: Partial<VmFacts>;
}

function machine(
  name: string,
  build: Build,
  { on = false, args, devices, facts }: Machine,
  status: string,
): MachineSnapshot {
  const parameters: JsonObject = build === '11.1-stock' ? {} : { [build]: on };
  const patched = {
    ...changed(factsOf(build, { runState: { status, running: status === 'running' } }), parameters),
    ...(devices && { devices }),
    ...facts,
  };
  return snapshotOf(name, patched, {
    process: processOf(1, { args: ['qemu', ...(args ?? [])] }),
  });
}

const source = (build: Build, patch: Machine = {}): MachineSnapshot =>
  machine('web-1', build, patch, 'running');
const target = (build: Build, patch: Machine = {}): MachineSnapshot =>
  machine('web-2', build, { args: ['-incoming', 'defer'], ...patch }, 'inmigrate');

function paired(from: MachineSnapshot, to: MachineSnapshot): PairBackendTransfer {
  const found = pairBackendTransfer(from, to);
  assert.ok(found);
  const advice = found.devices.flatMap((device) => device.advice ?? []);
  for (const text of [...found.problems, ...found.order, ...advice]) {
    assert.match(text, /^[A-Zw"].*[.`]$/, text);
    assert.doesNotMatch(text, /undefined|\[object/);
  }
  return found;
}

function device(
  id: string,
  netdev: Partial<NetdevFacts> | undefined,
  permissions = {},
): DeviceFacts {
  return {
    ...nic,
    id,
    permissions,
    netdev: netdev && {
      id: `net-${id}`,
      type: 'tap',
      ifname: undefined,
      incoming: false,
      ...netdev,
    },
  };
}

/** Both sides of a spelling as they ought to be. */
const fine = {
  local: (on: boolean): [MachineSnapshot, MachineSnapshot] => [
    source('local', { on, args: ['-netdev', permittedNetdev] }),
    target('local', { on, devices: [] }),
  ],
  'backend-transfer': (on: boolean): [MachineSnapshot, MachineSnapshot] => [
    source('backend-transfer', { on }),
    target('backend-transfer', { on }),
  ],
};

describe('backend transfer of a pair', () => {
  for (const build of ['local', 'backend-transfer'] as const) {
    it(`has nothing in its way when both are as they ought to be ("${build}")`, () => {
      for (const on of [true, false]) {
        const found = paired(...fine[build](on));
        assert.deepEqual(found.problems, []);
        assert.equal(found.state, on ? 'on' : 'off');
        assert.deepEqual(found.names, { source: build, target: build });
        const [first] = found.devices;
        assert.deepEqual([first?.side, first?.device, first?.netdev], ['source', 'nic0', 'net0']);
        assert.deepEqual([first?.permission, first?.advice], ['permitted', undefined]);
      }
    });
  }

  it('is not there while nothing is known of one side', () => {
    assert.equal(pairBackendTransfer(source('local'), snapshotOf('b', undefined)), undefined);
  });

  it('that is on at one side tells what would happen, and what to do', () => {
    const [, off] = fine.local(false);
    const [on] = fine.local(true);
    const found = paired(on, off);
    assert.equal(found.state, 'mixed');
    assert.match(found.problems.join(), /on at web-1 only: web-2 would open.*Switch both/);
    const [without] = fine['backend-transfer'](false);
    const [, waiting] = fine['backend-transfer'](true);
    assert.match(
      paired(without, waiting).problems.join(),
      /on at web-2 only: .* nobody hands over/,
    );
  });

  it('that one QEMU does not have names the side, and what that has instead', () => {
    const found = paired(source('11.1-stock'), target('local'));
    assert.equal(found.state, 'absent');
    assert.deepEqual(found.names, { source: undefined, target: 'local' });
    assert.match(found.problems.join(), /QEMU of web-1 has no backend transfer\. It has cpr-/);
    assert.deepEqual(found.order, []);
  });

  it('that is a list is to be set by hand', () => {
    const schema = schemaWith('backend-transfer', 'backend-transfer', '[str]');
    const found = paired(
      source('backend-transfer'),
      target('backend-transfer', { facts: { schema } }),
    );
    assert.equal(found.state, 'absent');
    assert.match(found.problems.join(), /QEMU of web-2 backend transfer is a list/);
    const listed = (...entries: string[]): Partial<VmFacts> => ({
      schema,
      parameters: { 'backend-transfer': entries },
    });
    const lists = (from: string[], to: string[]): readonly string[] =>
      paired(
        source('backend-transfer', { facts: listed(...from) }),
        target('backend-transfer', { facts: listed(...to) }),
      ).problems;
    assert.equal(lists(['a'], ['b']).length, 2);
    assert.equal(lists([], []).length, 2);
    assert.deepEqual(lists(['a'], ['a']), []);
  });

  it('by two stages of the work is not known to work', () => {
    const found = paired(fine.local(true)[0], fine['backend-transfer'](true)[1]);
    assert.equal(found.state, 'on');
    assert.match(
      found.problems.join(),
      /"local" in .* web-1, "backend-transfer" in .* web-2: .*not known/,
    );
    assert.deepEqual(found.order, []);
  });

  describe('with the permission on the netdev', () => {
    it('gives the exact option where it is missing on the source', () => {
      const advice = (given: string): string | undefined => {
        const found = paired(
          source('local', { args: ['-netdev', given] }),
          target('local', { devices: [] }),
        );
        assert.equal(found.devices[0]?.permission, 'not-permitted');
        assert.ok(found.problems[0]?.includes(found.devices[0].advice ?? '-'));
        return /`(.*)`/.exec(found.devices[0].advice ?? '')?.[1];
      };
      assert.equal(
        advice('tap,id=net0,ifname=tapx,script=no'),
        '-netdev tap,id=net0,ifname=tapx,script=no,x-permit-local-migration=on',
      );
      assert.equal(
        advice('tap,id=net0,x-permit-local-migration=off,vhost=on'),
        '-netdev tap,id=net0,vhost=on,x-permit-local-migration=on',
      );
      assert.equal(
        advice('{"type":"tap","id":"net0"}'),
        '-netdev {"type":"tap","id":"net0","x-permit-local-migration":true}',
      );
    });

    it('tells apart what is permitted, not supported, and not known', () => {
      const devices = [
        device('a', {}),
        device('b', { type: 'user' }),
        device('c', {}),
        device('d', { type: undefined }),
        device('e', { type: undefined }),
        device('f', undefined, { 'backend-transfer': true }),
      ];
      const args = [
        '-netdev',
        'tap,id=net-a,x-permit-local-migration=yes',
        '-netdev',
        '{"type":"user","id":"net-e"}',
      ];
      const found = paired(source('local', { devices, args }), target('local', { devices: [] }));
      assert.deepEqual(
        found.devices.map((each) => [each.device, each.permission]),
        [
          ['a', 'permitted'],
          ['b', 'unsupported'],
          ['c', 'unknown'],
          ['d', 'unknown'],
          ['e', 'unsupported'],
          ['f', 'unsupported'],
        ],
      );
      const advice = (name: string): string =>
        found.devices.find((each) => each.device === name)?.advice ?? '';
      assert.match(advice('b'), /"user" cannot be handed over.*one of its own/);
      assert.match(advice('c'), /tells whether the netdev "net-c" .*x-permit-local-migration=on/);
      assert.deepEqual(found.problems, [], 'what is not known does not stand in the way');
    });

    it('sends a target with the TAP already there back to its start', () => {
      for (const on of [true, false]) {
        const [from] = fine.local(on);
        const found = paired(from, target('local', { on }));
        assert.equal(found.problems.length, 1);
        assert.match(
          found.problems[0] ?? '',
          /web-2 has "nic0" with a back end of its own already.*Start web-2 without the netdev "net0"/,
        );
        const there = found.devices.find(({ side }) => side === 'target');
        assert.match(there?.advice ?? '', /Start web-2 without/);
      }
    });

    it('is content with a TAP on the target that waits for its descriptors', () => {
      const devices = [{ ...nic, netdev: { ...nic.netdev, incoming: true } as NetdevFacts }];
      const found = paired(fine.local(true)[0], target('local', { on: true, devices }));
      assert.deepEqual(found.problems, []);
      assert.deepEqual(
        found.devices.map(({ side, permission }) => [side, permission]),
        [
          ['source', 'permitted'],
          ['target', 'permitted'],
        ],
      );
    });

    it('explains its order: parameter, netdev, device, incoming, migrate', () => {
      const args = [
        '-netdev',
        permittedNetdev,
        '-device',
        'virtio-net-pci,id=nic0,mac=52:54:00:00:00:01,bus=rp1',
      ];
      const { order } = paired(source('local', { args }), target('local', { devices: [] }));
      const commands = order.flatMap((step) => /"execute":"([^"]+)"/.exec(step)?.[1] ?? []);
      assert.deepEqual(commands, [
        'migrate-set-capabilities',
        'migrate-set-parameters',
        'netdev_add',
        'device_add',
        'migrate-incoming',
        'migrate',
      ]);
      assert.match(order[0] ?? '', /Start web-2 with `-incoming defer`, without/);
      const all = order.join('\n');
      assert.ok(
        all.includes(
          '{"execute":"netdev_add","arguments":{"type":"tap","id":"net0","script":"","downscript":"","x-permit-local-migration":true}}',
        ),
      );
      assert.ok(all.includes('"netdev":"net0","mac":"52:54:00:00:00:01","bus":"rp1"'));
      assert.match(order.at(-1) ?? '', /Quit web-1/);
    });
  });

  describe('with the permission on the device', () => {
    const with_ = (value: boolean): DeviceFacts[] => [
      { ...nic, permissions: { 'backend-transfer': value } },
    ];
    const pairOf = (from: Machine, to: Machine): PairBackendTransfer =>
      paired(source('backend-transfer', from), target('backend-transfer', to));

    it('gives the exact option where one side lacks it, and says that age matters', () => {
      const args = ['-device', 'virtio-net-pci,id=nic0,netdev=net0,backend-transfer=off'];
      const here = pairOf({ devices: with_(false), args }, {});
      assert.equal(here.problems.length, 1);
      assert.match(
        here.problems[0] ?? '',
        /^web-1 may not hand over "nic0".*`-device virtio-net-pci,id=nic0,netdev=net0,backend-transfer=on`.*cannot be changed.*older versions/,
      );
      const there = pairOf({}, { devices: with_(false) });
      assert.match(
        there.problems[0] ?? '',
        /^web-2 may not.*`-device virtio-net-pci,id=nic0,\.\.\.,backend/,
      );
      const last = there.devices.at(-1);
      assert.deepEqual([last?.side, last?.permission], ['target', 'not-permitted']);
      assert.match(last?.advice ?? '', /Start web-2/);
    });

    it('leaves alone what neither side hands over, unless nothing is left', () => {
      const nothing = pairOf({ devices: with_(false) }, { devices: with_(false) });
      assert.match(nothing.problems[0] ?? '', /Neither side.*nothing would be/);
      const other = device('nic1', {}, { 'backend-transfer': true });
      const devices = [...with_(false), other];
      assert.deepEqual(pairOf({ devices }, { devices }).problems, []);
    });

    it('wants the target started with the same device', () => {
      const found = pairOf({}, { devices: [] });
      assert.match(found.problems[0] ?? '', /web-2 has no "nic0".*same `-netdev` and `-device`/);
      assert.match(found.order[0] ?? '', /same `-netdev` and `-device` as web-1/);
      assert.match(found.order.join(), /UNIX socket: over any other the source QEMU aborts/);
    });

    it('tells devices that have no such property, or a value that says nothing', () => {
      const devices = [
        ...with_(true),
        { ...device('old', {}), driver: 'e1000' },
        device('slirp', { type: 'user' }, { 'backend-transfer': true }),
        device('odd', {}, { 'backend-transfer': 'perhaps' }),
      ];
      const found = pairOf({ devices }, { devices });
      assert.deepEqual(
        found.devices.filter(({ side }) => side === 'source').map(({ permission }) => permission),
        ['permitted', 'unsupported', 'unsupported', 'unknown'],
      );
      assert.match(found.devices[1]?.advice ?? '', /back end of a e1000|of its own/);
      assert.deepEqual(found.problems, []);
    });
  });

  it('needs a target that waits for a UNIX socket and has not been told where to listen', () => {
    const cases: (readonly [Machine, RegExp | undefined])[] = [
      [{ args: ['-incoming', 'unix:/run/m'] }, /started with `-incoming unix:\/run\/m`.*defer/],
      [{ args: ['--incoming', 'tcp:0:4444'] }, /`-incoming tcp:0:4444`/],
      [{ facts: { runState: { status: 'running', running: true } } }, /does not wait/],
      [{ facts: { migration: { status: 'setup' } } }, /one attempt/],
      [{ on: true, facts: { migration: { status: 'setup' } } }, undefined],
      [
        {
          on: true,
          facts: {
            migration: { status: 'setup', 'socket-address': [{ type: 'inet', port: '1' }] },
          },
        },
        /does not listen at a UNIX socket/,
      ],
      [{ args: [] }, undefined],
    ];
    for (const [patch, expected] of cases) {
      const { on = false } = patch;
      const [from] = fine.local(on);
      const { problems } = paired(from, target('local', { devices: [], ...patch }));
      if (expected === undefined) assert.deepEqual(problems, []);
      else assert.match(problems.join(' '), expected);
    }
  });
});

describe('switching backend transfer of a pair', () => {
  // Only the snapshot is looked at.
  const handle = (snapshot: MachineSnapshot): MachineHandle => ({ snapshot }) as MachineHandle;

  it('sets each side under its own name', () => {
    const [a, b] = [handle(source('local')), handle(target('backend-transfer'))];
    assert.deepEqual(
      switchRequests(a, b, true).map(({ machine: on, change }) => [on.snapshot.label, change]),
      [
        ['web-1', { parameters: { local: true }, capabilities: {} }],
        ['web-2', { parameters: { 'backend-transfer': true }, capabilities: {} }],
      ],
    );
  });

  it('is refused for the side that has no switch', () => {
    const schema = schemaWith('backend-transfer', 'backend-transfer', '[str]');
    const list = handle(target('backend-transfer', { facts: { schema } }));
    for (const [to, reason] of [
      [handle(target('11.1-stock')), 'absent'],
      [list, 'list'],
    ] as const) {
      assert.throws(
        () => switchRequests(handle(source('local')), to, true),
        (error) =>
          error instanceof BackendTransferError &&
          error.reason === reason &&
          error.label === 'web-2',
      );
    }
  });
});

describe('the switch of a pair', () => {
  const servers: FakeQmpServer[] = [];
  let registry: MachineRegistry;

  beforeEach(() => {
    registry = new MachineRegistry({
      store: { load: () => [], save: () => Promise.resolve() },
      devicePermissions,
      autoReconnect: false,
      procRoot: '/nowhere',
    });
  });

  afterEach(async () => {
    registry.dispose();
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  });

  async function connect(build: Build): Promise<[MachineHandle, FakeQmpServer]> {
    const server = await FakeQmpServer.start({ build });
    servers.push(server);
    return [await registry.connect(server.path), server];
  }

  it('is thrown on both sides, and read back from both', async () => {
    const [from, first] = await connect('local');
    const [to, second] = await connect('backend-transfer');
    for (const on of [true, false]) {
      await applyChanges(switchRequests(from, to, on));
      assert.equal(first.qemu.parameters['local'], on);
      assert.equal(second.qemu.parameters['backend-transfer'], on);
      const state = pairBackendTransfer(from.snapshot, to.snapshot)?.state;
      assert.equal(state, on ? 'on' : 'off');
    }
  });

  it('goes back on the one side when the other refuses', async () => {
    const [from, first] = await connect('local');
    const [to, second] = await connect('local');
    second.on('migrate-set-parameters', () => {
      throw new FakeRefusal('no');
    });
    await assert.rejects(applyChanges(switchRequests(from, to, true)), SettingsNotAppliedError);
    assert.deepEqual(
      [first, second].map(({ qemu }) => qemu.parameters['local']),
      [false, false],
    );
    assert.equal(pairBackendTransfer(from.snapshot, to.snapshot)?.state, 'off');
  });
});

describe('a draft that decides by its list alone', () => {
  it('does not tell of a virtio-net TAP whether it would be handed over, and of others that not', () => {
    const schema = schemaWith('backend-transfer', 'backend-transfer', '[str]');
    const devices = [
      device('a', {}),
      { ...device('b', {}), driver: 'e1000' },
      device('c', { type: 'vhost-user' }),
    ];
    const offer = backendTransferOf(source('backend-transfer', { devices, facts: { schema } }));
    assert.ok(offer?.kind === 'list');
    assert.deepEqual(
      offer.devices.map(({ permission }) => permission),
      ['unknown', 'unsupported', 'unsupported'],
    );
  });
});
