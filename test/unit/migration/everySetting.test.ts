import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { capabilityInfo } from '../../../src/migration/settings/catalogue';
import { applyChanges, type SettingsChange } from '../../../src/migration/settings/change';
import { capabilityDefault, parameterDefault } from '../../../src/migration/settings/defaults';
import { SettingsRefusedError } from '../../../src/migration/settings/findings';
import { sameValue } from '../../../src/migration/settings/values';
import { stringifyJson, type JsonValue } from '../../../src/qmp/json';
import type { MachineHandle } from '../../../src/vm/types';
import type { FakeQmpServer } from '../../support/fakeQmpServer';
import { builds } from '../../support/recordings';
import { inconsistentMappings, testValues } from '../../support/settingValues';
import { factsOf as factsOfMachine, Stage } from '../vm/support';
import { factsOf } from './support';

// Those of released QEMUs are tried on these themselves: test/qemu/everySetting.test.ts.
describe('every setting of a recorded build', () => {
  for (const build of builds) {
    describe(build, () => {
      const recorded = factsOf(build);
      const settable = recorded.schema
        .arguments('migrate-set-parameters')
        .map(({ name }) => name)
        .sort();
      let stage: Stage;
      let machine: MachineHandle;
      let server: FakeQmpServer;

      before(async () => {
        stage = new Stage();
        ({ machine, server } = await stage.machine({ build }));
      });
      after(() => stage.dispose());

      const set = (change: Partial<SettingsChange>): Promise<unknown> =>
        applyChanges([{ machine, change: { parameters: {}, capabilities: {}, ...change } }]);

      it('has a default: the one that it was recorded with', () => {
        for (const name of settable) {
          const standard = parameterDefault(factsOfMachine(machine), name);
          assert.ok(standard.kind === 'known', name);
          assert.deepEqual(standard.value, recorded.parameters[name], name);
        }
        for (const { name, enabled } of recorded.capabilities) {
          const standard = capabilityDefault(factsOfMachine(machine), name);
          assert.ok(standard.kind === 'known' && standard.value === enabled, name);
        }
      });

      for (const name of settable) {
        it(`${name} can be set, read back and reset`, async () => {
          const facts = factsOfMachine(machine);
          const standard = parameterDefault(facts, name);
          const { legal } = testValues(facts, name);
          assert.ok(legal.length > 0);
          for (const value of legal) {
            await set({ parameters: { [name]: value } });
            assertNow(machine, name, value);
            if (standard.kind === 'unknown' || standard.value === undefined) continue;
            await set({ parameters: { [name]: standard.value } });
            assertNow(machine, name, standard.value);
          }
        });

        it(`${name} keeps its value when it is set to what QEMU would refuse`, async () => {
          const was = server.qemu.parameters[name];
          for (const value of testValues(factsOfMachine(machine), name).illegal) {
            // Left to QEMU; the fake does not look into mappings.
            if (inconsistentMappings.includes(value)) continue;
            const wanted = set({ parameters: { [name]: value } });
            await assert.rejects(wanted, SettingsRefusedError, stringifyJson(value));
          }
          assert.deepEqual(server.qemu.parameters[name], was);
        });
      }

      for (const { name } of recorded.capabilities) {
        it(`${name} can be switched on with what it needs, and off`, async () => {
          const on = [...(capabilityInfo(name)?.needs ?? []), name];
          for (const state of [true, false]) {
            await set({ capabilities: Object.fromEntries(on.map((each) => [each, state])) });
            const { capabilities } = factsOfMachine(machine);
            const changed = capabilities.filter(({ enabled }) => enabled).map((each) => each.name);
            assert.deepEqual(changed.sort(), state ? on.sort() : []);
          }
        });
      }
    });
  }
});

function assertNow(machine: MachineHandle, name: string, value: JsonValue): void {
  const now = factsOfMachine(machine).parameters[name];
  assert.ok(sameValue(now, value), `${stringifyJson(now ?? null)}, not ${stringifyJson(value)}`);
}
