import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { provisionQemu, qemuVersions, startQemu, type QemuProcess } from '../../scripts/lib/qemu';
import { backendTransferOf, devicePermissions } from '../../src/migration/settings/backendTransfer';
import { setCapabilities } from '../../src/migration/settings/capabilities';
import {
  describeParameters,
  parseParameterInput,
  setParameter,
} from '../../src/migration/settings/parameters';
import { buildMachineNode } from '../../src/migration/view/machineTree';
import type { ViewNode } from '../../src/migration/view/nodes';
import { QmpCommandError } from '../../src/qmp/errors';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle } from '../../src/vm/types';

describe('a machine of a real QEMU', () => {
  let qemu: QemuProcess;
  let registry: MachineRegistry;
  let machine: MachineHandle;
  let temporary: ReturnType<typeof temporaryDirectory>;

  afterEach(async () => {
    registry.dispose();
    await qemu.stop();
    await temporary.remove();
  });

  async function connect(version: (typeof qemuVersions)[number]): Promise<void> {
    temporary = temporaryDirectory('machine');
    const build = await provisionQemu(version);
    qemu = await startQemu({ build, name: 'vm', directory: temporary.path, guest: 'none' });
    registry = new MachineRegistry({
      store: { load: () => [], save: () => Promise.resolve() },
      devicePermissions,
    });
    machine = await registry.connect(qemu.qmpSocket);
  }

  const rows = (): ViewNode[] => {
    const flat = (node: ViewNode): ViewNode[] => [node, ...node.children.flatMap(flat)];
    return flat(buildMachineNode(machine.snapshot));
  };

  for (const version of qemuVersions) {
    it(`${version}: the tree has everything that QEMU reports, and its process`, async () => {
      await connect(version);
      const parameters = (await qemu.probe('query-migrate-parameters')) as Record<string, unknown>;
      const capabilities = (await qemu.probe('query-migrate-capabilities')) as {
        capability: string;
      }[];
      const shown = (kind: string): (string | undefined)[] =>
        rows()
          .filter((row) => row.kind === kind)
          .map((row) => row.subject);
      for (const name of Object.keys(parameters))
        assert.ok(shown('parameter').includes(name), name);
      assert.deepEqual(
        shown('capability').sort(),
        capabilities.map(({ capability }) => capability).sort(),
      );
      assert.equal((await machine.identify())?.pid, qemu.pid);
      assert.equal(backendTransferOf(machine.snapshot)?.kind, 'absent');
      assert.match(rows()[0]?.description ?? '', new RegExp(`running · QEMU ${version}\\.`));
    });

    it(`${version}: every number that can be set takes what its input box was opened with`, async () => {
      await connect(version);
      const { facts } = machine.snapshot;
      assert.ok(facts);
      for (const { name, control, editable, value } of describeParameters(facts)) {
        if (control !== 'integer' || !editable || value === undefined) continue;
        const exact = BigInt(value as number | bigint);
        assert.equal(BigInt((await setParameter(machine, name, exact)) as number), exact, name);
      }
    });

    it(`${version}: sets by units, keeps the old value when QEMU refuses, toggles`, async () => {
      await connect(version);
      const limit = describeParameters(machine.snapshot.facts!).find(
        ({ name }) => name === 'downtime-limit',
      );
      assert.ok(limit);
      const parsed = parseParameterInput(limit, '0.45 s');
      assert.ok(parsed.ok);
      await setParameter(machine, 'downtime-limit', parsed.value);
      assert.equal(parseParameterInput(limit, '3000 s').ok, false, 'ours tells before QEMU does');
      await assert.rejects(setParameter(machine, 'downtime-limit', 99_999_999), QmpCommandError);
      assert.equal(machine.snapshot.facts?.parameters['downtime-limit'], 450);
      assert.deepEqual(await setCapabilities(machine, { 'auto-converge': true }), {
        'auto-converge': true,
      });
      const row = rows().find(({ subject }) => subject === 'auto-converge');
      assert.equal(row?.checked, true);
      await assert.rejects(setCapabilities(machine, { 'postcopy-preempt': true }), QmpCommandError);
      const exact = 2n ** 53n + 1n;
      assert.equal(await setParameter(machine, 'max-bandwidth', exact), exact);
    });
  }

  it('says that QEMU is gone, and connects by itself to the next one at that path', async () => {
    await connect('10.0');
    await qemu.stop();
    const until = async (kind: string): Promise<void> => {
      while (machine.snapshot.state.kind !== kind)
        await new Promise((done) => setTimeout(done, 20));
    };
    await until('lost');
    const { build, directory } = qemu;
    qemu = await startQemu({ build, directory, name: 'vm', guest: 'none' });
    await until('ready');
    assert.equal((await machine.identify())?.pid, qemu.pid);
  });
});
