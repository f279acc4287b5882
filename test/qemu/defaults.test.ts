import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { learnPatched, learnVersion } from '../../scripts/learn/learn';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { provisionQemu, qemuVersions, startQemu, type QemuProcess } from '../../scripts/lib/qemu';
import { capabilityDefault, parameterDefault } from '../../src/migration/settings/defaults';
import learnt from '../../src/migration/settings/learntDefaults.json';
import { sameValue } from '../../src/migration/settings/values';
import type { JsonValue } from '../../src/qmp/json';
import { MachineRegistry } from '../../src/vm/registry';
import type { VmFacts } from '../../src/vm/types';

describe('defaults', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let registry: MachineRegistry;
  let started: QemuProcess[];

  beforeEach(() => {
    temporary = temporaryDirectory('defaults');
    started = [];
    registry = new MachineRegistry({
      store: { load: () => [], save: () => Promise.resolve() },
      autoReconnect: false,
    });
  });

  afterEach(async () => {
    registry.dispose();
    for (const qemu of started) await qemu.stop();
    await temporary.remove();
  });

  async function fresh(
    version: (typeof qemuVersions)[number],
    machine?: string,
  ): Promise<{ qemu: QemuProcess; facts: VmFacts }> {
    const build = await provisionQemu(version);
    const qemu = await startQemu({
      ...{ build, directory: temporary.path, name: `vm${started.length}`, extraArgs: ['-S'] },
      ...(machine !== undefined && { machine }),
    });
    started.push(qemu);
    const { facts } = (await registry.connect(qemu.qmpSocket)).snapshot;
    assert.ok(facts);
    return { qemu, facts };
  }

  for (const version of qemuVersions) {
    it(`${version}: fresh QEMUs of all machine types say what was learnt (else: npm run learn-defaults)`, async () => {
      const { qemu: exact, ...now } = await learnVersion(await provisionQemu(version));
      const { qemu: then, ...before } = learnt.versions[version];
      assert.deepEqual(now, before);
      // A later bug-fix release of Debian's is no reason to fail.
      for (const release of [exact, then]) assert.ok(release.startsWith(`${version}.`), release);
    });

    it(`${version}: all that QEMU reports at its start is the default`, async () => {
      const { qemu, facts } = await fresh(version);
      const reported = await qemu.probe('query-migrate-parameters');
      for (const [name, value] of Object.entries(reported as Record<string, JsonValue>)) {
        const found = parameterDefault(facts, name);
        assert.ok(found.kind === 'known', name);
        assert.ok(sameValue(found.value, value), name);
      }
      for (const { name, enabled } of facts.capabilities) {
        const found = capabilityDefault(facts, name);
        assert.equal(found.kind === 'known' && found.value, enabled, name);
      }
    });

    it(`${version}: its own list of properties would have told most of them`, async () => {
      const { facts } = await fresh(version);
      const listed = [...facts.migrationProperties.keys()];
      assert.ok(listed.includes('x-max-bandwidth') && listed.includes('multifd-channels'));
      // As if it were a version of which nothing was learnt.
      const stranger = { ...facts, version: { ...facts.version, major: 99 } };
      for (const [name, value] of Object.entries(facts.parameters)) {
        const found = parameterDefault(stranger, name);
        assert.ok(found.kind === 'known', name);
        assert.ok(sameValue(found.value, value), name);
      }
      const sources = Object.keys(facts.parameters).map((name) => {
        const found = parameterDefault(stranger, name);
        return found.kind === 'known' ? found.source : '';
      });
      const own = sources.filter((source) => source.startsWith("this QEMU's own list"));
      assert.ok(own.length >= 20, `${own.length} of ${sources.length}`);
    });
  }

  for (const machine of ['pc-q35-8.2', 'pc-i440fx-7.2', 'microvm']) {
    it(`of ${machine} are those of that machine type`, async () => {
      const { facts } = await fresh('11.1', machine);
      for (const [name, value] of Object.entries(facts.parameters)) {
        const found = parameterDefault(facts, name);
        assert.ok(found.kind === 'known', name);
        assert.deepEqual(found.value, value, name);
      }
    });
  }

  it('of patched builds are those of the recordings', () => {
    assert.deepEqual(learnPatched(learnt.versions), learnt.patched);
  });
});
