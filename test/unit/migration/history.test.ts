import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import {
  SettingsNotAppliedError,
  type SettingsChange,
} from '../../../src/migration/settings/change';
import { SettingsRefusedError } from '../../../src/migration/settings/findings';
import {
  SettingsHistory,
  UndoConflictError,
  UndoImpossibleError,
  type SettingsStep,
} from '../../../src/migration/settings/history';
import { explain } from '../../../src/migration/view/words';
import type { JsonObject } from '../../../src/qmp/json';
import {
  NotConnectedError,
  type MachineHandle,
  type MachineId,
  type QemuProcess,
} from '../../../src/vm/types';
import { FakeRefusal, noReply, type FakeQmpServer } from '../../support/fakeQmpServer';
import { builds, type Build } from '../../support/recordings';
import { Stage } from '../vm/support';
import { processOf } from './support';

function change(
  parameters: JsonObject,
  capabilities: Readonly<Record<string, boolean>> = {},
): SettingsChange {
  return { parameters, capabilities };
}

describe('the history of settings', () => {
  let stage: Stage;
  let machines: Map<MachineId, MachineHandle>;
  let history: SettingsHistory;
  let fired: number;
  beforeEach(() => {
    stage = new Stage();
    machines = new Map();
    history = new SettingsHistory(machines);
    fired = 0;
    history.onDidChange(() => (fired += 1));
  });
  afterEach(async () => {
    history.dispose();
    await stage.dispose();
  });

  interface Vm {
    readonly server: FakeQmpServer;
    readonly machine: MachineHandle;
    readonly disconnect: () => Promise<void>;
    readonly connect: () => Promise<unknown>;
  }

  const vm = async (build: Build = 'local'): Promise<Vm> => {
    const { server, registry, machine } = await stage.machine({ build });
    machines.set(machine.id, machine);
    return {
      server,
      machine,
      disconnect: () => registry.disconnect(machine.id),
      connect: () => registry.connect(machine.id),
    };
  };
  const stateOf = ({ server }: Vm): unknown => ({
    parameters: server.qemu.parameters,
    capabilities: new Map(server.qemu.capabilities),
  });
  const set = (
    { machine }: Vm,
    parameters: JsonObject,
    capabilities: Readonly<Record<string, boolean>> = {},
  ): Promise<SettingsStep | undefined> =>
    history.perform(`settings of ${machine.snapshot.label}`, [
      { machine, change: change(parameters, capabilities) },
    ]);
  const impossible = async (reason: UndoImpossibleError['reason']): Promise<void> => {
    await assert.rejects(
      history.undo(),
      (error) => error instanceof UndoImpossibleError && error.reason === reason,
    );
  };

  it('begins with nothing to undo', async () => {
    assert.equal(history.last, undefined);
    await impossible('nothing');
  });

  for (const build of builds) {
    it(`${build}: undoes what was done on two machines in one step, step after step`, async () => {
      const vms = [await vm(build), await vm(build)];
      const before = vms.map(stateOf);
      const wanted = change({ 'max-bandwidth': 2n ** 64n - 1n }, { events: true });
      const step = await history.perform(
        'max-bandwidth of both',
        vms.map(({ machine }) => ({ machine, change: wanted })),
      );
      assert.equal(step?.sides.length, 2);
      const between = vms.map(stateOf);
      assert.notDeepEqual(between, before);
      const [first] = vms;
      assert.ok(first);
      await set(first, { 'max-bandwidth': 5 }, { events: false });
      assert.equal(history.last?.title, `settings of ${first.machine.snapshot.label}`);

      await history.undo();
      assert.deepEqual(vms.map(stateOf), between);
      assert.equal(history.last, step);
      assert.equal(await history.undo(), step);
      assert.deepEqual(vms.map(stateOf), before);
      assert.equal(history.last, undefined);
      assert.equal(fired, 4);
    });
  }

  it('does not remember what changed nothing', async () => {
    const a = await vm();
    assert.equal(await set(a, { 'downtime-limit': 300 }), undefined);
    assert.deepEqual([history.last, fired], [undefined, 0]);
  });

  it('does not remember what was refused and put back', async () => {
    const a = await vm();
    await assert.rejects(set(a, { 'multifd-channels': 0 }), SettingsRefusedError);
    a.server.on('migrate-set-capabilities', () => {
      throw new FakeRefusal('no');
    });
    await assert.rejects(
      set(a, { 'downtime-limit': 1 }, { events: true }),
      SettingsNotAppliedError,
    );
    assert.deepEqual([history.last, fired], [undefined, 0]);
  });

  it('forgets the oldest of more than fifty steps', async () => {
    const a = await vm();
    for (let value = 1; value <= 52; value += 1) await set(a, { 'downtime-limit': value });
    for (let value = 51; value >= 2; value -= 1) await history.undo();
    assert.equal(a.server.qemu.parameters['downtime-limit'], 2);
    await impossible('nothing');
  });

  it('carries out what is asked for at once one after the other', async () => {
    const a = await vm();
    const steps = [1, 2, 3].map((value) => set(a, { 'downtime-limit': value }));
    const undos = [history.undo(), history.undo()];
    const befores = (await Promise.all(steps)).map((step) => step?.sides[0]?.before.parameters);
    assert.deepEqual(befores, [
      { 'downtime-limit': 300 },
      { 'downtime-limit': 1 },
      { 'downtime-limit': 2 },
    ]);
    await Promise.all(undos);
    assert.equal(a.server.qemu.parameters['downtime-limit'], 1);
  });

  it('goes on after a failure', async () => {
    const a = await vm();
    const failing = set(a, { 'multifd-channels': 0 });
    const next = set(a, { 'downtime-limit': 1 });
    await assert.rejects(failing);
    await next;
    assert.equal(a.server.qemu.parameters['downtime-limit'], 1);
  });

  describe('when a value was changed since', () => {
    it('tells what it is, and leaves all as it is, until it is asked to undo all the same', async () => {
      const a = await vm();
      await set(a, { 'downtime-limit': 1500, 'announce-rounds': 7, 'tls-creds': 'x' });
      const { qemu } = a.server;
      qemu.parameters = { ...qemu.parameters, 'downtime-limit': 2000, 'announce-rounds': 5 };
      const now = stateOf(a);
      await assert.rejects(history.undo(), (error) => {
        assert.ok(error instanceof UndoConflictError);
        // What has its value of before already is no conflict.
        assert.deepEqual(error.conflicts, [
          {
            label: a.machine.snapshot.label,
            name: 'downtime-limit',
            now: '2 s',
            expected: '1.5 s',
          },
        ]);
        return true;
      });
      assert.deepEqual(stateOf(a), now);
      assert.ok(history.last);
      await history.undo({ evenIfChanged: true });
      assert.equal(qemu.parameters['downtime-limit'], 300);
      assert.equal(qemu.parameters['tls-creds'], '');
      assert.equal(history.last, undefined);
    });
  });

  it('empties what was not set before', async () => {
    const a = await vm();
    await set(a, {
      'block-bitmap-mapping': [{ 'node-name': 'n', alias: 'a', bitmaps: [] }],
      'downtime-limit': 1,
    });
    await history.undo();
    assert.deepEqual(a.server.qemu.parameters['block-bitmap-mapping'], []);
    assert.equal(a.server.qemu.parameters['downtime-limit'], 300);
  });

  it('keeps a step that QEMU refuses to undo', async () => {
    const vms = [await vm(), await vm()];
    const wanted = change({ 'downtime-limit': 1 });
    await history.perform(
      'x',
      vms.map(({ machine }) => ({ machine, change: wanted })),
    );
    const done = vms.map(stateOf);
    vms[1]!.server.on('migrate-set-parameters', () => {
      throw new FakeRefusal('no');
    });
    await assert.rejects(history.undo(), SettingsNotAppliedError);
    assert.deepEqual(vms.map(stateOf), done);
    assert.equal(history.last?.title, 'x');
  });

  it('does not undo while a migration runs', async () => {
    const a = await vm();
    await set(a, { 'announce-rounds': 6 });
    a.server.setMigration({ status: 'active' });
    await assert.rejects(history.undo(), SettingsRefusedError);
    a.server.setMigration({ status: 'completed' });
    await history.undo();
    assert.equal(a.server.qemu.parameters['announce-rounds'], 5);
  });

  it('remembers what could not be put back, and undoes it later', async () => {
    const vms = [await vm(), await vm()];
    const [a, b] = vms;
    assert.ok(a && b);
    const before = vms.map(stateOf);
    b.server.on('migrate-set-capabilities', (args) => {
      b.server.qemu.answer('migrate-set-capabilities', args);
      void b.disconnect();
      return noReply;
    });
    const wanted = change({ 'downtime-limit': 1 }, { events: true });
    await assert.rejects(
      history.perform(
        'both',
        vms.map(({ machine }) => ({ machine, change: wanted })),
      ),
      SettingsNotAppliedError,
    );
    assert.notDeepEqual(stateOf(b), before[1]);
    assert.equal(history.last?.title, 'both');
    assert.deepEqual(
      history.last.sides.map(({ machineId }) => machineId),
      [b.machine.id],
    );
    await assert.rejects(history.undo(), NotConnectedError);
    assert.equal(history.last.title, 'both');
    b.server.on('migrate-set-capabilities', (args) =>
      b.server.qemu.answer('migrate-set-capabilities', args),
    );
    await b.connect();
    await history.undo();
    assert.deepEqual(vms.map(stateOf), before);
  });

  describe('of a machine that is not the one that was changed', () => {
    it('forgets the step when it has left the list', async () => {
      const a = await vm();
      await set(a, { 'downtime-limit': 1 });
      machines.clear();
      await impossible('machine-gone');
      assert.equal(history.last, undefined);
    });

    it('forgets the step when its QEMU has ended', async () => {
      const a = await vm();
      await set(a, { 'downtime-limit': 1 });
      const lost = new Promise<void>((resolve) => {
        a.machine.onDidChange(() => {
          if (a.machine.snapshot.state.kind === 'lost') resolve();
        });
      });
      a.server.emitEvent('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
      await a.server.stop();
      await lost;
      await impossible('machine-gone');
      assert.equal(history.last, undefined);
    });

    it('keeps what the step changed on the other machine, to undo it once more', async () => {
      const [a, b] = [await vm(), await vm()];
      const before = stateOf(a);
      await history.perform(
        'both',
        [a, b].map(({ machine }) => ({ machine, change: change({ 'downtime-limit': 1 }) })),
      );
      machines.delete(b.machine.id);
      await assert.rejects(history.undo(), (error) => {
        assert.ok(error instanceof UndoImpossibleError);
        assert.deepEqual([error.reason, error.label], ['machine-gone', b.machine.snapshot.label]);
        const others = `Undo once more to put back what was changed on ${a.machine.snapshot.label}.`;
        assert.equal(explain(error).nextStep, others);
        return true;
      });
      assert.notDeepEqual(stateOf(a), before);
      assert.equal((await history.undo()).title, 'both');
      assert.deepEqual(stateOf(a), before);
      assert.equal(history.last, undefined);
    });

    it('forgets the step when the process is another', async () => {
      const a = await vm();
      let process: QemuProcess = processOf(100);
      machines.set(
        a.machine.id,
        withProcess(a.machine, () => process),
      );
      const changed: Vm = { ...a, machine: machines.get(a.machine.id) ?? a.machine };
      await set(changed, { 'downtime-limit': 1 });
      await set(changed, { 'downtime-limit': 2 });
      process = processOf(100);
      await history.undo();
      assert.equal(a.server.qemu.parameters['downtime-limit'], 1);
      process = processOf(100, { startTicks: 7n });
      await impossible('another-process');
      assert.equal(a.server.qemu.parameters['downtime-limit'], 1);
      assert.equal(history.last, undefined);
    });

    it('tells it by the UUID where nothing is known of processes', async () => {
      const a = await vm();
      let uuid = 'aaaa';
      machines.set(
        a.machine.id,
        withSnapshot(a.machine, ({ facts, ...rest }) => ({
          ...rest,
          facts: facts && { ...facts, uuid },
        })),
      );
      await set(
        { ...a, machine: machines.get(a.machine.id) ?? a.machine },
        { 'downtime-limit': 1 },
      );
      uuid = 'bbbb';
      await impossible('another-process');
    });
  });
});

type Snapshot = MachineHandle['snapshot'];

function withSnapshot(machine: MachineHandle, look: (now: Snapshot) => Snapshot): MachineHandle {
  return {
    id: machine.id,
    onDidChange: machine.onDidChange,
    onEvent: machine.onEvent,
    get snapshot() {
      return look(machine.snapshot);
    },
    connection: () => machine.connection(),
    refresh: async (parts) => {
      await machine.refresh(parts);
      const { facts } = look(machine.snapshot);
      assert.ok(facts);
      return facts;
    },
    identify: () => Promise.resolve(look(machine.snapshot).process),
    connect: () => machine.connect(),
    watch: () => machine.watch(),
  };
}

function withProcess(machine: MachineHandle, process: () => QemuProcess): MachineHandle {
  return withSnapshot(machine, (snapshot) => ({ ...snapshot, process: process() }));
}
