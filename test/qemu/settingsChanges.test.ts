import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { capabilityInfo } from '../../src/migration/settings/catalogue';
import {
  applyChanges,
  ParameterNotTakenError,
  SettingsNotAppliedError,
  type SettingsChange,
} from '../../src/migration/settings/change';
import { checkChange, SettingsRefusedError } from '../../src/migration/settings/findings';
import {
  SettingsHistory,
  UndoConflictError,
  UndoImpossibleError,
} from '../../src/migration/settings/history';
import { explain } from '../../src/migration/view/words';
import { QmpClosedError, QmpCommandError } from '../../src/qmp/errors';
import type { JsonObject } from '../../src/qmp/json';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle, VmFacts } from '../../src/vm/types';

type Capabilities = Readonly<Record<string, boolean>>;

function change(parameters: JsonObject, capabilities: Capabilities = {}): SettingsChange {
  return { parameters, capabilities };
}

/** By the other monitor, as it came over the wire. */
async function stateOf(qemu: QemuProcess): Promise<unknown> {
  return {
    parameters: await qemu.probe('query-migrate-parameters'),
    capabilities: await qemu.probe('query-migrate-capabilities'),
  };
}

async function parameterOf(qemu: QemuProcess, name: string): Promise<unknown> {
  const parameters = await qemu.probe('query-migrate-parameters');
  return (parameters as Readonly<Record<string, unknown>>)[name];
}

/** QEMU's refusal, asked directly; `undefined` when it took the capabilities. */
async function refusalOf(
  qemu: QemuProcess,
  capabilities: Capabilities,
): Promise<string | undefined> {
  const list = Object.entries(capabilities).map(([capability, state]) => ({ capability, state }));
  try {
    await qemu.probe('migrate-set-capabilities', { capabilities: list });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe('changes of settings on real QEMUs', () => {
  let ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  interface Vm {
    readonly qemu: QemuProcess;
    readonly machine: MachineHandle;
  }

  async function start(
    version: QemuVersionName,
    ...each: readonly Partial<QemuOptions>[]
  ): Promise<{ readonly vms: readonly Vm[]; readonly history: SettingsHistory }> {
    ends = [];
    const temporary = temporaryDirectory('changes');
    ends.push(() => temporary.remove());
    const registry = new MachineRegistry({
      store: { load: () => [], save: () => Promise.resolve() },
      devicePermissions,
    });
    const build = await provisionQemu(version);
    const vms: Vm[] = [];
    for (const [index, options] of each.entries()) {
      const qemu = await startQemu({
        build,
        name: `vm${index}`,
        directory: temporary.path,
        guest: 'none',
        ...options,
      });
      ends.push(() => qemu.stop());
      vms.push({ qemu, machine: await registry.connect(qemu.qmpSocket) });
    }
    const history = new SettingsHistory(registry);
    ends.push(
      () => registry.dispose(),
      () => history.dispose(),
    );
    return { vms, history };
  }

  const [first, second] = [{}, { incoming: true }];

  for (const version of qemuVersions) {
    it(`${version}: are made on both machines and undone, to the exact values`, async () => {
      const { vms, history } = await start(version, first, second);
      const states = (): Promise<unknown[]> => Promise.all(vms.map(({ qemu }) => stateOf(qemu)));
      const before = await states();
      const wanted = change(
        { 'max-bandwidth': 2n ** 64n - 1n, 'downtime-limit': 1500, 'tls-hostname': 'a b' },
        { events: true, multifd: true },
      );
      const step = await history.perform(
        'both',
        vms.map(({ machine }) => ({ machine, change: wanted })),
      );
      assert.deepEqual(
        step?.sides.map(({ process, after }) => [process?.pid, after]),
        vms.map(({ qemu }) => [qemu.pid, wanted]),
      );
      const [a] = vms;
      assert.ok(a);
      const done = await stateOf(a.qemu);
      await history.perform('one', [{ machine: a.machine, change: change({}, { events: false }) }]);
      await history.undo();
      assert.deepEqual(await stateOf(a.qemu), done);

      await a.qemu.probe('migrate-set-parameters', { 'downtime-limit': 900 });
      await assert.rejects(history.undo(), (error) => {
        assert.ok(error instanceof UndoConflictError);
        assert.match(
          explain(error).detail ?? '',
          /^downtime-limit of vm0 was set to 1.5 s, and is 900 ms now\.$/,
        );
        return true;
      });
      await history.undo({ evenIfChanged: true });
      assert.deepEqual(await states(), before);
      await assert.rejects(history.undo(), UndoImpossibleError);
    });

    it(`${version}: refused by the second machine leave the first exactly as it was`, async () => {
      const { vms, history } = await start(version, first, second);
      const [a, b] = vms;
      assert.ok(a && b);
      await a.qemu.probe('migrate-set-parameters', { 'max-bandwidth': 12345 });
      const before = await Promise.all(vms.map(({ qemu }) => stateOf(qemu)));
      const parameters = { 'max-bandwidth': 5, 'multifd-compression': 'zlib' };
      // Only QEMU knows whether it takes these two together; we only warn.
      const impossible = { 'background-snapshot': true, multifd: true };
      await assert.rejects(
        history.perform('x', [
          { machine: a.machine, change: change(parameters, { multifd: true }) },
          { machine: b.machine, change: change(parameters, impossible) },
        ]),
        (error) => {
          assert.ok(error instanceof SettingsNotAppliedError);
          assert.ok(error.cause instanceof QmpCommandError);
          assert.deepEqual([error.label, error.notPutBack], ['vm1', []]);
          assert.match(explain(error).headline, /^The QEMU of vm1 refused the change: Background/);
          return true;
        },
      );
      assert.deepEqual(await Promise.all(vms.map(({ qemu }) => stateOf(qemu))), before);
      assert.equal(history.last, undefined);
    });

    it(`${version}: find the order between zero-copy and compression, both ways`, async () => {
      const { vms, history } = await start(version, first);
      const [a] = vms;
      assert.ok(a);
      const { machine, qemu } = a;
      const compressed = change(
        { 'multifd-compression': 'zlib' },
        { multifd: true, 'zero-copy-send': false },
      );
      const zeroCopy = change(
        { 'multifd-compression': 'none' },
        { multifd: true, 'zero-copy-send': true },
      );
      await history.perform('compression', [{ machine, change: compressed }]);
      const before = await stateOf(qemu);
      await history.perform('zero-copy', [{ machine, change: zeroCopy }]);
      const between = await stateOf(qemu);
      await history.perform('compression', [{ machine, change: compressed }]);
      assert.deepEqual(await stateOf(qemu), before);
      await history.undo();
      assert.deepEqual(await stateOf(qemu), between);
      await history.undo();
      assert.deepEqual(await stateOf(qemu), before);
      await assert.rejects(
        applyChanges([{ machine, change: change({}, { 'zero-copy-send': true }) }]),
        SettingsRefusedError,
      );
    });

    it(`${version}: during which a machine is killed are put back on the other`, async () => {
      const { vms } = await start(version, first, second);
      const [a, b] = vms;
      assert.ok(a && b);
      const before = await stateOf(a.qemu);
      const listening = a.machine.onDidChange(() => {
        if (a.machine.snapshot.facts?.parameters['downtime-limit'] === 77) b.qemu.kill('SIGKILL');
      });
      const requests = vms.map(({ machine }) => ({
        machine,
        change: change({ 'downtime-limit': 77 }, { events: true }),
      }));
      // The other one is killed as soon as the first shows its new value, and before it is asked.
      const pause = holdBack(b.machine, b.qemu.exited);
      const held = requests.map((request, index) =>
        index === 1 ? { ...request, machine: pause } : request,
      );
      await assert.rejects(applyChanges(held), (error) => {
        assert.ok(error instanceof SettingsNotAppliedError);
        assert.ok(error.cause instanceof QmpClosedError);
        assert.deepEqual([error.label, error.notPutBack], ['vm1', []]);
        return true;
      });
      listening.dispose();
      assert.deepEqual(await stateOf(a.qemu), before);
    });

    it(`${version}: refused leave what QEMU cannot unset as it was`, async () => {
      const { vms, history } = await start(version, first, second);
      const [a, b] = vms;
      assert.ok(a && b);
      const before = await Promise.all(vms.map(({ qemu }) => stateOf(qemu)));
      const mapping = [{ 'node-name': 'n', alias: 'a', bitmaps: [] }];
      const mapped = { 'block-bitmap-mapping': mapping };
      // QEMU does not take these two together.
      const refused = { 'background-snapshot': true, 'postcopy-ram': true };
      for (const requests of [
        [{ machine: a.machine, change: change({ ...mapped, 'downtime-limit': 5 }, refused) }],
        [
          { machine: a.machine, change: change(mapped) },
          { machine: b.machine, change: change({ 'downtime-limit': 5 }, refused) },
        ],
      ]) {
        await assert.rejects(history.perform('x', requests), (error) => {
          assert.ok(error instanceof SettingsNotAppliedError);
          assert.deepEqual(error.notPutBack, []);
          return true;
        });
        assert.deepEqual(await Promise.all(vms.map(({ qemu }) => stateOf(qemu))), before);
      }
    });

    it(`${version}: of what was not set before are emptied when undone`, async () => {
      const { vms, history } = await start(version, first);
      const [a] = vms;
      assert.ok(a);
      const name = 'block-bitmap-mapping';
      assert.equal(await parameterOf(a.qemu, name), undefined);
      const mapping = [{ 'node-name': 'n', alias: 'a', bitmaps: [{ name: 'b', alias: 'c' }] }];
      await history.perform(name, [{ machine: a.machine, change: change({ [name]: mapping }) }]);
      assert.deepEqual(await parameterOf(a.qemu, name), mapping);
      await history.undo();
      assert.deepEqual(await parameterOf(a.qemu, name), []);
    });

    it(`${version}: of capabilities are refused only where QEMU refuses, and else warned of`, async () => {
      const { vms } = await start(version, first);
      const [a] = vms;
      assert.ok(a);
      const { qemu, machine } = a;
      const { facts } = machine.snapshot;
      assert.ok(facts);
      const names = facts.capabilities.map(({ name }) => name);
      const off = Object.fromEntries(names.map((name) => [name, false]));
      const wrong: string[] = [];
      const compare = async (capabilities: Capabilities): Promise<void> => {
        const refusal = await refusalOf(qemu, capabilities);
        if (refusal === undefined) assert.equal(await refusalOf(qemu, off), undefined);
        const findings = checkChange(facts, change({}, capabilities));
        const isRefused = findings.some(({ level }) => level === 'refuse');
        const text = `${Object.keys(capabilities).join(' + ')}: ${refusal ?? 'taken'}`;
        if (isRefused && refusal === undefined) wrong.push(`not for QEMU to refuse: ${text}`);
        if (refusal !== undefined && findings.length === 0 && !isOurs(names, capabilities)) {
          wrong.push(`nothing said: ${text}`);
        }
      };
      for (const [index, name] of names.entries()) {
        await compare({ [name]: true });
        for (const other of names.slice(index + 1)) {
          await compare({ [name]: true, [other]: true });
          await compare(withNeeds({ [name]: true, [other]: true }));
        }
      }
      assert.deepEqual(wrong, []);
    });

    it(`${version}: refused with mapped-ram are those after which QEMU takes no other`, async () => {
      const { vms } = await start(version, first);
      const [a] = vms;
      assert.ok(a);
      const { qemu, machine } = a;
      const both = change({ 'multifd-compression': 'zlib' }, { 'mapped-ram': true });
      await assert.rejects(applyChanges([{ machine, change: both }]), SettingsRefusedError);
      if ((await refusalOf(qemu, { 'mapped-ram': true })) !== undefined) {
        assert.equal(version, '7.2');
        return;
      }
      await qemu.probe('migrate-set-parameters', { 'multifd-compression': 'zlib' });
      const harmless = { machine, change: change({ 'downtime-limit': 5 }) };
      await assert.rejects(applyChanges([harmless]), (error) => {
        assert.ok(error instanceof SettingsNotAppliedError);
        return error.cause instanceof QmpCommandError && error.notPutBack.length === 0;
      });
      const facts = await machine.refresh();
      const [finding] = checkChange(facts, harmless.change);
      const fix = finding?.fix;
      assert.ok(finding?.level === 'warn' && fix);
      await applyChanges([{ machine, change: fix }, harmless]);
      assert.equal(await parameterOf(qemu, 'downtime-limit'), 5);
    });
  }

  it('7.2: that QEMU accepts and ignores are noticed, and the rest is put back', async () => {
    const { vms } = await start('7.2', first);
    const [a] = vms;
    assert.ok(a);
    const before = await stateOf(a.qemu);
    const wanted = change({ 'multifd-zlib-level': 5, 'downtime-limit': 5 }, { multifd: true });
    await assert.rejects(applyChanges([{ machine: a.machine, change: wanted }]), (error) => {
      assert.ok(error instanceof SettingsNotAppliedError);
      assert.ok(error.cause instanceof ParameterNotTakenError);
      assert.match(
        explain(error).headline,
        /QEMU accepted multifd-zlib-level = 5, but reports 1\.$/,
      );
      assert.deepEqual(error.notPutBack, []);
      return true;
    });
    assert.deepEqual(await stateOf(a.qemu), before);
  });

  it('11.1: are not undone on another QEMU at the same socket', async () => {
    const { vms, history } = await start('11.1', first);
    const [a] = vms;
    assert.ok(a);
    const { machine, qemu } = a;
    await history.perform('x', [{ machine, change: change({ 'downtime-limit': 5 }) }]);
    const ended = machine.connection();
    await qemu.stop();
    const again = await startQemu({
      build: qemu.build,
      name: qemu.name,
      directory: qemu.directory,
      guest: 'none',
    });
    ends.push(() => again.stop());
    await new Promise<void>((resolve) => {
      const isBack = (): boolean =>
        machine.snapshot.state.kind === 'ready' && machine.connection() !== ended;
      const listening = machine.onDidChange(() => {
        if (!isBack()) return;
        listening.dispose();
        resolve();
      });
      if (isBack()) resolve();
    });
    await again.probe('migrate-set-parameters', { 'downtime-limit': 5 });
    await assert.rejects(
      history.undo(),
      (error) => error instanceof UndoImpossibleError && error.reason === 'another-process',
    );
    assert.equal(await parameterOf(again, 'downtime-limit'), 5);
    assert.equal(history.last, undefined);
  });

  it('11.1: on a QEMU that came a moment ago are undone, as its own', async () => {
    const { vms, history } = await start('11.1', first, second);
    const [a, b] = vms;
    assert.ok(a && b);
    b.qemu.kill('SIGKILL');
    await b.qemu.exited;
    const { build, directory, name } = b.qemu;
    const isBack = new Promise<void>((resolve) => {
      const listening = b.machine.onDidChange(() => {
        if (b.machine.snapshot.state.kind !== 'ready') return;
        listening.dispose();
        resolve();
      });
    });
    const again = await startQemu({ build, directory, name, guest: 'none', incoming: true });
    ends.push(() => again.stop());
    await isBack;
    const wanted = change({ 'downtime-limit': 5 });
    const step = await history.perform(
      'both',
      vms.map(({ machine }) => ({ machine, change: wanted })),
    );
    assert.deepEqual(
      step?.sides.map(({ process }) => process?.pid),
      [a.qemu.pid, again.pid],
    );
    await history.undo();
    for (const qemu of [a.qemu, again]) {
      assert.equal(await parameterOf(qemu, 'downtime-limit'), 300);
    }
  });

  it('11.1: are undone on one machine when the other has ended', async () => {
    const { vms, history } = await start('11.1', first, second);
    const [a, b] = vms;
    assert.ok(a && b);
    const before = await stateOf(a.qemu);
    const wanted = change({ 'downtime-limit': 5 }, { events: true });
    await history.perform(
      'both',
      vms.map(({ machine }) => ({ machine, change: wanted })),
    );
    const { closed } = b.machine.connection();
    b.qemu.kill('SIGKILL');
    await b.qemu.exited;
    await closed;
    await assert.rejects(
      history.undo(),
      (error) => error instanceof UndoImpossibleError && error.others.length === 1,
    );
    await history.undo();
    assert.deepEqual(await stateOf(a.qemu), before);
  });
});

/** The capabilities with all that these need by our account, and what only the newest ask for. */
function withNeeds(capabilities: Capabilities): Capabilities {
  const all: Record<string, boolean> = { ...capabilities };
  for (const name of Object.keys(capabilities)) {
    for (const need of capabilityInfo(name)?.needs ?? []) all[need] = true;
    if (name === 'x-colo') all['return-path'] = true;
  }
  return all;
}

/** What is left for QEMU to say: it depends on the version, or on how QEMU was started. */
function isOurs(names: readonly string[], capabilities: Capabilities): boolean {
  const on = (name: string): boolean => capabilities[name] === true;
  return (
    // Needs KVM with `dirty-ring-size`.
    on('dirty-limit') ||
    // Asked for by QEMU 11, where `x-colo` is on.
    (on('x-colo') && !on('return-path')) ||
    // Refused by QEMU 10 alone, which has `zero-blocks` still and `mapped-ram` already.
    (on('multifd') && on('postcopy-ram') && names.includes('mapped-ram'))
  );
}

/** The machine, but the first command that sets something waits until `until`. */
function holdBack(machine: MachineHandle, until: Promise<unknown>): MachineHandle {
  const forward = {
    id: machine.id,
    onDidChange: machine.onDidChange,
    onEvent: machine.onEvent,
    refresh: (parts): Promise<VmFacts> => machine.refresh(parts),
    identify: () => machine.identify(),
    connect: () => machine.connect(),
    watch: () => machine.watch(),
  } satisfies Partial<MachineHandle>;
  return {
    ...forward,
    get snapshot() {
      return machine.snapshot;
    },
    connection: () =>
      new Proxy(machine.connection(), {
        get(connection, key) {
          const value: unknown = Reflect.get(connection, key, connection);
          if (key !== 'execute' || typeof value !== 'function') return value;
          return async (command: string, args: JsonObject) => {
            await until;
            return await connection.execute(command, args);
          };
        },
      }),
  };
}
