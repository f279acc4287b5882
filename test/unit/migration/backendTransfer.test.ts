import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { Runs } from '../../../src/migration/run/runs';
import type { MigrationRequest, RunOutcome } from '../../../src/migration/run/types';
import {
  backendTransferOf,
  BackendTransferError,
  devicePermissions,
  switchBackendTransfer,
} from '../../../src/migration/settings/backendTransfer';
import { applyChanges } from '../../../src/migration/settings/change';
import { MachineRegistry } from '../../../src/vm/registry';
import type { MachineHandle } from '../../../src/vm/types';
import { FakeQmpServer, FakeRefusal } from '../../support/fakeQmpServer';
import { placeOfNic, waiting, withoutNic } from '../../support/fakeTransferSides';
import type { Build } from '../../support/recordings';

/** Two fake QEMUs of one recorded build: a running source with a NIC, and a waiting target. */
class Stage {
  readonly registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
    autoReconnect: false,
    // The fakes have no process of their own to be found.
    procRoot: '/nowhere',
  });
  readonly runs = new Runs({
    registry: this.registry,
    locateHelper: () => Promise.reject(new Error('no helper in this test')),
  });
  readonly servers: FakeQmpServer[] = [];

  async machine(build: Build, prepare: (server: FakeQmpServer) => void): Promise<MachineHandle> {
    const server = await FakeQmpServer.start({ build });
    this.servers.push(server);
    prepare(server);
    return this.registry.connect(server.path);
  }

  async dispose(): Promise<void> {
    this.runs.dispose();
    this.registry.dispose();
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

async function switchOn(machine: MachineHandle): Promise<void> {
  await applyChanges([{ machine, change: switchBackendTransfer(machine.snapshot, true) }]);
}

/** The recorded runs went over without a pause before the switchover. */
const recordedWay = { options: { guardSwitchover: false } } as const;

/** A source that stands before the switchover until it is told to go on. */
function guardedSource(
  server: FakeQmpServer,
  order: string[],
  targetOf: () => FakeQmpServer | undefined,
): void {
  server.on('migrate', () => {
    order.push('migrate');
    server.qemu.status = { status: 'finish-migrate', running: false };
    server.setMigration({ status: 'pre-switchover' });
    return {};
  });
  server.on('migrate-continue', () => {
    order.push('migrate-continue');
    server.qemu.status = { status: 'postmigrate', running: false };
    server.setMigration({ status: 'completed' });
    const target = targetOf();
    if (target === undefined) return {};
    target.qemu.status = { status: 'paused', running: false };
    target.setMigration({ status: 'completed' });
    return {};
  });
}

/** As QEMU does it: while it waits, "stop" only chooses whether the guest is to start. */
function guardedTarget(server: FakeQmpServer, order: string[]): void {
  server.on('stop', () => {
    order.push('stop');
    return {};
  });
  server.on('cont', () => {
    order.push('cont');
    server.qemu.status = { status: 'running', running: true };
    return {};
  });
}

/** The commands that change something, as names with what matters of their arguments. */
function changes(server: FakeQmpServer | undefined): string[] {
  return (server?.transcript ?? []).flatMap(({ command, arguments: args }) => {
    switch (command) {
      case 'migrate-set-parameters':
        return [`set ${Object.keys(args).join()}=${Object.values(args).map(String).join()}`];
      case 'migrate-set-capabilities':
      case 'netdev_add':
      case 'device_add':
      case 'migrate-incoming':
      case 'migrate':
      case 'cont':
        return [command];
      default:
        return [];
    }
  });
}

describe('backend transfer', () => {
  let stage: Stage | undefined;
  const fresh = (): Stage => (stage = new Stage());

  afterEach(async () => {
    await stage?.dispose();
    stage = undefined;
  });

  async function migrate(
    on: Stage,
    source: MachineHandle,
    target: MachineHandle,
    patch: Partial<MigrationRequest> = {},
  ): Promise<RunOutcome> {
    return on.runs.start({
      source: source.id,
      target: target.id,
      transport: 'unix',
      backendTransfer: 'on',
      ...patch,
    }).outcome;
  }

  for (const [build, parameter] of [
    ['backend-transfer', 'backend-transfer'],
    ['local', 'local'],
  ] as const) {
    it(`is found and switched under the name "${parameter}"`, async () => {
      const machine = await fresh().machine(build, () => undefined);
      const before = backendTransferOf(machine.snapshot);
      assert.ok(before?.kind === 'boolean');
      assert.deepEqual([before.parameter, before.enabled], [parameter, false]);
      await switchOn(machine);
      assert.equal(machine.snapshot.facts?.parameters[parameter], true);
    });
  }

  it('reads the permission of each device where the device has it', async () => {
    const machine = await fresh().machine('backend-transfer', (server) => {
      server.on('qom-get', ({ property }) => (property === 'netdev' ? 'net0' : false));
    });
    const offer = backendTransferOf(machine.snapshot);
    assert.ok(offer?.kind === 'boolean');
    assert.deepEqual(offer.permission, { on: 'device', name: 'backend-transfer' });
    const rows = offer.devices.map(({ device, permission }) => [device.id, permission]);
    assert.deepEqual(rows, [['nic0', 'not-permitted']]);
  });

  it('reads the permission of a netdev from the command line, the only place that tells', async () => {
    const machine = await fresh().machine('local', () => undefined);
    const offerOf = (netdev: string): string | undefined => {
      const process = { args: ['qemu', '-netdev', netdev] };
      const { facts } = machine.snapshot;
      // Only the arguments matter here.
      const offer = backendTransferOf({ facts, process: process as never });
      return offer?.kind === 'boolean' ? offer.devices[0]?.permission : undefined;
    };
    assert.equal(offerOf('tap,id=net0,x-permit-local-migration=on'), 'permitted');
    assert.equal(
      offerOf('{"type":"tap","id":"net0","x-permit-local-migration":true}'),
      'permitted',
    );
    assert.equal(offerOf('tap,id=net0,ifname=tap0'), 'not-permitted');
    assert.equal(offerOf('tap,id=other'), 'unknown');
  });

  it('is refused with words where QEMU has none, naming what it has instead', async () => {
    const machine = await fresh().machine('11.1-stock', () => undefined);
    const offer = backendTransferOf(machine.snapshot);
    assert.ok(offer?.kind === 'absent');
    assert.ok(offer.instead.includes('cpr-transfer'));
    assert.throws(
      () => switchBackendTransfer(machine.snapshot, true),
      (error) => error instanceof BackendTransferError && error.reason === 'absent',
    );
    assert.deepEqual(changes(stage?.servers[0]), []);
  });

  it('keeps the order of the "local" spelling: parameter, netdev, device, incoming, migrate', async () => {
    const on = fresh();
    const source = await on.machine('local', (server) => {
      placeOfNic(server);
      server.replay('success', 'source');
    });
    const target = await on.machine('local', (server) => {
      withoutNic(server);
      placeOfNic(server);
      server.replay('success', 'target');
    });
    const outcome = await migrate(on, source, target, recordedWay);
    const [from, to] = on.servers;
    assert.deepEqual(changes(to), [
      'migrate-set-capabilities',
      'set local=true',
      'netdev_add',
      'device_add',
      'migrate-incoming',
    ]);
    const added = to?.transcript.filter(({ command }) => /_add$/.test(command));
    assert.deepEqual(
      added?.map((call) => call.arguments),
      [
        { type: 'tap', id: 'net0', script: '', downscript: '', 'x-permit-local-migration': true },
        {
          driver: 'virtio-net-pci',
          netdev: 'net0',
          id: 'nic0',
          bus: 'rp1',
          mac: '52:54:00:12:34:56',
        },
      ],
    );
    assert.deepEqual(changes(from), [
      'migrate-set-capabilities',
      'set local=true',
      'set mode=normal',
      'migrate',
    ]);
    assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
  });

  it('keeps the order of the "backend-transfer" spelling: both parameters before incoming', async () => {
    const on = fresh();
    const source = await on.machine('backend-transfer', (server) =>
      server.replay('success', 'source'),
    );
    const target = await on.machine('backend-transfer', (server) => {
      waiting(server);
      server.replay('success', 'target');
    });
    const outcome = await migrate(on, source, target, recordedWay);
    const [from, to] = on.servers;
    assert.deepEqual(changes(to), [
      'migrate-set-capabilities',
      'set backend-transfer=true',
      'migrate-incoming',
    ]);
    assert.deepEqual(changes(from), [
      'migrate-set-capabilities',
      'set backend-transfer=true',
      'set mode=normal',
      'migrate',
    ]);
    assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
  });

  for (const [build, parameter, added] of [
    ['backend-transfer', 'backend-transfer', []],
    ['local', 'local', ['netdev_add', 'device_add']],
  ] as const) {
    it(`keeps the order of the "${parameter}" spelling where the switchover is guarded`, async () => {
      const on = fresh();
      const order: string[] = [];
      const source = await on.machine(build, (server) => {
        if (build === 'local') placeOfNic(server);
        guardedSource(server, order, () => on.servers[1]);
      });
      const target = await on.machine(build, (server) => {
        if (build === 'local') {
          withoutNic(server);
          placeOfNic(server);
        }
        waiting(server);
        guardedTarget(server, order);
      });
      const outcome = await migrate(on, source, target);
      assert.deepEqual(
        [outcome.kind, outcome.owner, outcome.guestRunning],
        ['completed', 'target', true],
        JSON.stringify(outcome),
      );
      assert.deepEqual(order, ['migrate', 'stop', 'migrate-continue', 'cont']);
      const to = changes(on.servers[1]).filter((name) => name !== 'migrate-set-capabilities');
      assert.deepEqual(to, [`set ${parameter}=true`, ...added, 'migrate-incoming', 'cont']);
      const from = changes(on.servers[0]).filter((name) => name !== 'migrate-set-capabilities');
      assert.deepEqual(from, [`set ${parameter}=true`, 'set mode=normal', 'migrate']);
    });
  }

  const refusals: readonly [
    string,
    Build,
    (from: FakeQmpServer, to: FakeQmpServer) => void,
    RegExp,
  ][] = [
    [
      'the target opened its TAP before it knew',
      'local',
      (_, to) => waiting(to),
      /opened a TAP of its own/,
    ],
    [
      'one side may hand over a device and the other may not',
      'backend-transfer',
      (_, to) => {
        waiting(to);
        to.on('qom-get', ({ property }) =>
          property === 'netdev' ? 'net0' : property === 'type' ? 'pc-q35-10.2-machine' : false,
        );
      },
      /one side only/,
    ],
  ];
  for (const [name, build, prepare, words] of refusals) {
    it(`is refused before anything is changed when ${name}`, async () => {
      const on = fresh();
      const servers: FakeQmpServer[] = [];
      const source = await on.machine(build, (server) => {
        servers.push(server);
        server.on('qom-get', ({ property }) =>
          property === 'netdev' ? 'net0' : property === 'type' ? 'pc-q35-10.2-machine' : true,
        );
      });
      const target = await on.machine(build, (server) => {
        const [from] = servers;
        if (from !== undefined) prepare(from, server);
      });
      const outcome = await migrate(on, source, target);
      assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
      assert.match(outcome.details.join(' '), words);
      assert.deepEqual(on.servers.map(changes), [[], []]);
    });
  }

  it('is refused when it is on at one side only, which would end the target', async () => {
    const on = fresh();
    const source = await on.machine('backend-transfer', () => undefined);
    const target = await on.machine('backend-transfer', waiting);
    await switchOn(source);
    const outcome = await migrate(on, source, target, { backendTransfer: 'as-is' });
    assert.equal(outcome.kind, 'refused');
    assert.match(outcome.details.join(' '), /one side only/);
    assert.match(outcome.nextStep, /both/);
  });

  it('puts everything back when the target refuses to listen', async () => {
    const on = fresh();
    const source = await on.machine('backend-transfer', () => undefined);
    const target = await on.machine('backend-transfer', (server) => {
      waiting(server);
      server.on('migrate-incoming', () => {
        throw new FakeRefusal('could not configure /dev/net/tun (tapx): Device or resource busy');
      });
    });
    const outcome = await migrate(on, source, target);
    assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
    assert.equal(outcome.owner, 'source');
    assert.match(outcome.details.join(' '), /resource busy/);
    for (const { qemu } of on.servers) {
      assert.equal(qemu.parameters['backend-transfer'], false);
      assert.equal(qemu.capabilities.get('return-path'), false);
      assert.equal(qemu.capabilities.get('events'), false);
    }
    assert.ok(!changes(on.servers[0]).includes('migrate'));
  });
});
