import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { explain } from '../../../src/migration/view/words';
import { QmpConnectError } from '../../../src/qmp/errors';
import type { MachinePart, MachineState } from '../../../src/vm/types';
import { NotConnectedError } from '../../../src/vm/types';
import { FakeRefusal } from '../../support/fakeQmpServer';
import { builds } from '../../support/recordings';
import { commandsDuring, eventually, factsOf, pause, Stage } from './support';

describe('a machine', function () {
  // Longer than any of them takes, on a host that is busy with others.
  this.timeout(20_000);

  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  for (const build of builds) {
    it(`is read in full when it connects (${build})`, async () => {
      const server = await stage.server({ build });
      const registry = stage.registry();
      const states: MachineState['kind'][] = [];
      registry.onDidChange((change) => {
        const state = registry.machines[0]?.snapshot.state.kind;
        if (change.kind === 'machine' && state !== undefined) states.push(state);
      });
      const machine = await registry.connect(server.path);
      assert.deepEqual([...new Set(states)], ['connecting', 'ready']);
      const facts = factsOf(machine);
      assert.deepEqual(facts.failures, {});
      assert.deepEqual(facts.runState, { status: 'running', running: true });
      assert.deepEqual(facts.parameters, server.qemu.parameters);
      assert.equal(facts.capabilities.length, server.qemu.capabilities.size);
      assert.equal(facts.memoryBytes, 64 * 2 ** 20);
      assert.match(facts.machineType ?? '', /^pc-q35-1[01]\.[12]$/);
      assert.ok(facts.schema.hasCommand('migrate'));
      assert.deepEqual(
        facts.devices.map(({ id, driver, netdev }) => [id, driver, netdev?.id, netdev?.ifname]),
        [['nic0', 'virtio-net-pci', 'net0', 'tapx']],
      );
      assert.equal(machine.snapshot.label, 'qmp.sock', 'it has no name of its own');
    });
  }

  it('takes the name that QEMU says, and drops the all-zero UUID', async () => {
    const { machine } = await stage.machine({ overrides: { 'query-name': { name: 'vm "ä"' } } });
    assert.equal(machine.snapshot.label, 'vm "ä"');
    assert.equal(factsOf(machine).uuid, undefined);
  });

  it('shows the rest when QEMU refuses one part or answers it oddly', async () => {
    const server = await stage.server();
    server.on('query-migrate-capabilities', () => {
      throw new FakeRefusal('not today');
    });
    server.on('query-status', () => ['nonsense']);
    server.on('query-name', () => 7);
    server.on('query-memory-size-summary', () => {
      throw new FakeRefusal('no');
    });
    const machine = await stage.registry().connect(server.path);
    const facts = factsOf(machine);
    assert.deepEqual(Object.keys(facts.failures).sort(), ['capabilities', 'status']);
    assert.match(facts.failures.capabilities?.message ?? '', /not today/);
    assert.equal(facts.runState.status, 'unknown');
    assert.equal(facts.memoryBytes, undefined);
    assert.deepEqual(facts.parameters, server.qemu.parameters);
    assert.equal(machine.snapshot.label, 'qmp.sock');
  });

  it('keeps the last value of a part that fails later, and forgets the failure once it works', async () => {
    const { server, machine } = await stage.machine();
    const { parameters } = factsOf(machine);
    let refusing = true;
    server.on('query-migrate-parameters', () => {
      if (refusing) throw new FakeRefusal('busy');
      return { ...parameters, 'downtime-limit': 5 };
    });
    assert.ok((await machine.refresh(['parameters'])).failures.parameters);
    assert.deepEqual(factsOf(machine).parameters, parameters);
    refusing = false;
    const after = await machine.refresh(['parameters']);
    assert.deepEqual([after.failures, after.parameters['downtime-limit']], [{}, 5]);
  });

  it('refuses a monitor that has no schema, in words', async () => {
    const server = await stage.server();
    server.on('query-qmp-schema', () => {
      throw new FakeRefusal('The command query-qmp-schema has not been found', 'CommandNotFound');
    });
    const error: unknown = await stage
      .registry()
      .connect(server.path)
      .catch((reason: unknown) => reason);
    const { headline } = explain(error);
    assert.ok(headline.includes(server.path) && headline.includes('query-qmp-schema'), headline);
  });

  it('shares one schema with other machines of the same build only', async () => {
    const servers = await Promise.all(
      (['local', 'local', '11.1-stock'] as const).map((build) => stage.server({ build })),
    );
    const registry = stage.registry();
    const machines = await Promise.all(servers.map(({ path: file }) => registry.connect(file)));
    const [a, b, other] = machines.map((machine) => factsOf(machine).schema);
    assert.equal(a, b);
    assert.notEqual(a, other);
  });

  describe('and its events', () => {
    it('sends nothing while nothing happens', async () => {
      const { server, machine } = await stage.machine();
      const held = machine.watch();
      assert.deepEqual(await commandsDuring(server, () => undefined, 700), []);
      held.dispose();
    });

    for (const [event, data, commands, parts] of [
      ['STOP', undefined, ['query-status'], ['status']],
      ['RESUME', undefined, ['query-status'], ['status']],
      [
        'MIGRATION',
        { status: 'completed' },
        ['query-migrate', 'query-status'],
        ['migration', 'status'],
      ],
      ['MIGRATION_PASS', { pass: 2 }, ['query-migrate'], ['migration']],
      ['BALLOON_CHANGE', { actual: 1 }, [], []],
      ['NO_SUCH_EVENT_YET', undefined, [], []],
    ] as const) {
      it(`${event} makes it read ${commands.join(' and ') || 'nothing'} again`, async () => {
        const { server, registry } = await stage.machine();
        const changed = new Set<MachinePart>();
        registry.onDidChange((change) => {
          if (change.kind === 'machine') change.change.parts.forEach((part) => changed.add(part));
        });
        const sent = await commandsDuring(server, () => server.emitEvent(event, data));
        assert.deepEqual([...sent].sort(), commands);
        assert.deepEqual([...changed].sort(), parts);
      });
    }

    it('answers a burst of events with one reading', async () => {
      const { server } = await stage.machine();
      const sent = await commandsDuring(server, () => {
        for (let pass = 1; pass <= 20; pass++) server.emitEvent('MIGRATION_PASS', { pass });
        server.emitEvent('STOP');
        server.emitEvent('STOP');
      });
      assert.deepEqual([...sent].sort(), ['query-migrate', 'query-status']);
    });

    it('DEVICE_DELETED makes it read the devices, and the row goes', async () => {
      const { server, machine } = await stage.machine();
      server.on('qom-list', () => []);
      const sent = await commandsDuring(server, () =>
        server.emitEvent('DEVICE_DELETED', { device: 'nic0', path: '/machine/peripheral/nic0' }),
      );
      assert.ok(!sent.includes('query-migrate') && !sent.includes('query-status'));
      assert.deepEqual(factsOf(machine).devices, []);
    });

    it('never misses what changes while it is being read for the first time', async () => {
      const server = await stage.server();
      let release = (): void => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      server.on('human-monitor-command', async () => {
        await held;
        return '';
      });
      const connecting = stage.registry().connect(server.path);
      await eventually(() => server.commands.includes('query-status'));
      await pause(10);
      server.qemu.status = { status: 'paused', running: false };
      server.emitEvent('STOP');
      // Longer than a burst of events is waited for.
      await pause(60);
      release();
      const machine = await connecting;
      await eventually(() => assert.equal(factsOf(machine).runState.status, 'paused'));
    });

    it('are passed on with their data, in order', async () => {
      const { server, machine } = await stage.machine();
      const seen: unknown[] = [];
      machine.onEvent(({ name, data }) => seen.push([name, data['status']]));
      server.emitEvent('MIGRATION', { status: 'setup' });
      server.emitEvent('STOP');
      server.emitEvent('MIGRATION', { status: 'completed' });
      await eventually(() => assert.equal(seen.length, 3));
      assert.deepEqual(seen, [
        ['MIGRATION', 'setup'],
        ['STOP', undefined],
        ['MIGRATION', 'completed'],
      ]);
    });
  });

  describe('when it is lost', () => {
    it('says that QEMU quit, keeps the last facts, and commands are refused by name', async () => {
      const { server, machine } = await stage.machine();
      await machine.connection().execute('quit');
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'lost'));
      const { state } = machine.snapshot;
      assert.ok(state.kind === 'lost');
      assert.equal(state.reason.kind, 'qemu-quit');
      assert.deepEqual(factsOf(machine).parameters, server.qemu.parameters);
      assert.throws(() => machine.connection(), NotConnectedError);
      await assert.rejects(machine.refresh(), NotConnectedError);
    });

    it('stays one that has quit while nothing is there, and comes back when a QEMU listens', async () => {
      const file = stage.path('quit.qmp');
      const first = await stage.server({ path: file });
      const machine = await stage.registry().connect(file);
      const kinds: string[] = [];
      machine.onDidChange(() => {
        const { state } = machine.snapshot;
        const kind = state.kind === 'lost' ? state.reason.kind : state.kind;
        if (kinds.at(-1) !== kind) kinds.push(kind);
      });
      await machine.connection().execute('quit');
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'lost'));
      await first.stop();
      await rm(file, { force: true });
      // Longer than the first pauses between two attempts.
      await new Promise((resolve) => setTimeout(resolve, 1200));
      assert.deepEqual(kinds.slice(-1), ['qemu-quit']);
      const told = kinds.length;
      await stage.server({ path: file });
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'ready'), 8000);
      assert.ok(!kinds.includes('no-such-file'), kinds.join());
      assert.deepEqual(kinds.slice(told), ['connecting', 'ready']);
    });

    it('gives no facts to whoever read it while its connection ended', async () => {
      const { registry, machine } = await stage.machine();
      machine.onDidChange(({ parts }) => {
        if (parts.has('parameters')) void registry.disconnect(machine.id);
      });
      await assert.rejects(machine.refresh(['parameters']), NotConnectedError);
    });

    it('says that the other side hung up, and comes back by itself', async () => {
      const { server, machine } = await stage.machine();
      const kinds: string[] = [];
      machine.onDidChange(() => {
        const { state } = machine.snapshot;
        kinds.push(state.kind === 'lost' ? state.reason.kind : state.kind);
      });
      server.dropClient();
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'lost'));
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'ready'));
      assert.deepEqual(kinds.slice(0, 3), ['peer-closed', 'connecting', 'ready']);
    });

    it('comes back with fresh facts when a QEMU listens on the path again', async () => {
      const file = stage.path('again.qmp');
      const first = await stage.server({ path: file });
      const registry = stage.registry();
      const machine = await registry.connect(file);
      await first.stop();
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'lost'));
      const second = await stage.server({ path: file, build: '11.1-stock' });
      second.qemu.status = { status: 'paused', running: false };
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'ready'), 8000);
      const facts = factsOf(machine);
      assert.deepEqual([facts.version.minor, facts.runState.status], [1, 'paused']);
      assert.equal(facts.schema.argument('migrate-set-parameters', 'local'), undefined);
      assert.equal(registry.machines.length, 1);
    });

    it('does not come back after the user disconnected it', async () => {
      const { server, registry, machine } = await stage.machine();
      await registry.disconnect(machine.id);
      assert.deepEqual(machine.snapshot.state, { kind: 'idle' });
      assert.deepEqual(await commandsDuring(server, () => undefined, 600), []);
      assert.equal(machine.snapshot.state.kind, 'idle');
      await registry.connect(machine.id);
      assert.equal(machine.snapshot.state.kind, 'ready');
    });

    it('is not tried again once the user gave up on it', async () => {
      const file = stage.path('given-up.qmp');
      const first = await stage.server({ path: file });
      const registry = stage.registry();
      const machine = await registry.connect(file);
      await first.stop();
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'lost'));
      await registry.disconnect(machine.id);
      const second = await stage.server({ path: file });
      assert.deepEqual(await commandsDuring(second, () => undefined, 600), []);
      assert.equal(machine.snapshot.state.kind, 'idle');
    });

    it('frees the monitor at once when it is disconnected while being read', async () => {
      const server = await stage.server();
      let first = true;
      server.on('query-migrate', async () => {
        if (first) await new Promise(() => undefined);
        return {};
      });
      const registry = stage.registry();
      const connecting = registry.connect(server.path);
      await eventually(() => server.commands.includes('query-migrate'));
      const [machine] = registry.machines;
      assert.ok(machine);
      const told = assert.rejects(
        connecting,
        (error) => error instanceof QmpConnectError && error.closeReason.kind === 'closed-by-us',
      );
      await registry.disconnect(machine.id);
      await told;
      assert.equal(machine.snapshot.state.kind, 'idle');
      first = false;
      await stage.registry().connect(server.path);
    });

    it('lets a second caller wait for the attempt that is under way', async () => {
      const server = await stage.server();
      const registry = stage.registry();
      const first = registry.connect(server.path);
      const { snapshot } = await registry.connect(server.path);
      assert.equal(snapshot.state.kind, 'ready');
      await first;
      assert.equal(server.commands.filter((command) => command === 'qmp_capabilities').length, 1);
    });
  });

  it('leaves nothing that keeps the process alive once disposed of', async () => {
    const server = await stage.server();
    server.setMigration({ status: 'active' });
    // A process of its own ends by itself only if no socket and no timer is left.
    const script = `
      const { MachineRegistry } = require(${JSON.stringify(path.resolve('src/vm/registry.ts'))});
      const store = { load: () => [], save: () => Promise.resolve() };
      const registry = new MachineRegistry({ store });
      (async () => {
        await registry.setConfigured(['/nowhere/missing.qmp']);
        const machine = await registry.connect(${JSON.stringify(server.path)});
        machine.watch();
        await machine.refresh(['migration']);
        registry.dispose();
        console.log('disposed');
      })();`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', '-e', script], {
      timeout: 15_000,
    });
    assert.equal(stdout.trim(), 'disposed');
  });
});
