import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { allCapabilities, capabilityInfo } from '../../src/migration/settings/catalogue';
import {
  applyChanges,
  SettingsNotAppliedError,
  type SettingsChange,
} from '../../src/migration/settings/change';
import { parameterDefault } from '../../src/migration/settings/defaults';
import { checkChange } from '../../src/migration/settings/findings';
import learnt from '../../src/migration/settings/learntDefaults.json';
import { sameValue } from '../../src/migration/settings/values';
import { QmpCommandError } from '../../src/qmp/errors';
import { stringifyJson, type JsonValue } from '../../src/qmp/json';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle, VmFacts } from '../../src/vm/types';
import { inconsistentMappings, testValues } from '../support/settingValues';

/** A fresh QEMU without a guest, and our connection to it. */
class Fresh {
  private readonly temporary = temporaryDirectory('every');
  private readonly registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    autoReconnect: false,
  });
  private qemu: QemuProcess | undefined;
  private connected: MachineHandle | undefined;

  async start(version: QemuVersionName): Promise<void> {
    const build = await provisionQemu(version);
    const directory = this.temporary.path;
    const accelerator = 'tcg';
    this.qemu = await startQemu({ build, directory, accelerator, name: 'vm', extraArgs: ['-S'] });
    this.connected = await this.registry.connect(this.qemu.qmpSocket);
  }

  get machine(): MachineHandle {
    assert.ok(this.connected);
    return this.connected;
  }

  get facts(): VmFacts {
    const { facts } = this.machine.snapshot;
    assert.ok(facts);
    return facts;
  }

  async end(): Promise<void> {
    this.registry.dispose();
    await this.qemu?.stop();
    await this.temporary.remove();
  }

  /** The command as it is, with nothing of ours before it. @returns whether QEMU took it */
  async execute(command: string, args: { readonly [name: string]: JsonValue }): Promise<boolean> {
    try {
      await this.machine.connection().execute(command, args);
      return true;
    } catch (error) {
      if (!(error instanceof QmpCommandError)) throw error;
      return false;
    } finally {
      await this.machine.refresh(['parameters', 'capabilities']);
    }
  }

  /** `migrate-set-parameters` as it is. */
  async send(name: string, value: JsonValue): Promise<'taken' | 'altered' | 'refused'> {
    if (!(await this.execute('migrate-set-parameters', { [name]: value }))) return 'refused';
    return sameValue(this.facts.parameters[name], value) ? 'taken' : 'altered';
  }

  /** `migrate-set-capabilities` as it is. @returns whether QEMU took it */
  async switch(wanted: Readonly<Record<string, boolean>>): Promise<boolean> {
    const capabilities = Object.entries(wanted).map(([capability, state]) => ({
      capability,
      state,
    }));
    return this.execute('migrate-set-capabilities', { capabilities });
  }
}

/** Where our verdict and QEMU's are not the same, and why that is right. */
interface Exception {
  readonly why: string;
  readonly versions: readonly QemuVersionName[];
  readonly names: readonly string[];
  readonly values: readonly JsonValue[];
  readonly ours: 'send' | 'refuse';
  readonly qemus: 'taken' | 'altered' | 'refused';
}

const since10: readonly QemuVersionName[] = ['10.0', '11.1'];
const levels = {
  why: 'QEMU 7.2 answers that it took a level, and keeps 1 all the same; only -global can set it',
  versions: ['7.2'],
  qemus: 'altered',
} as const;
const negative = {
  why: 'QEMU takes -1 and keeps 2^64-1, which nobody can mean',
  values: [-1n],
  ours: 'refuse',
  qemus: 'altered',
} as const;

/** Exact: one that no longer holds makes its test fail. */
const exceptions: readonly Exception[] = [
  { ...negative, versions: qemuVersions, names: ['max-bandwidth', 'max-postcopy-bandwidth'] },
  { ...negative, versions: since10, names: ['avail-switchover-bandwidth', 'vcpu-dirty-limit'] },
  { ...levels, names: ['multifd-zlib-level'], values: [0n, 4n, 9n], ours: 'send' },
  { ...levels, names: ['multifd-zlib-level'], values: [10n], ours: 'refuse' },
  { ...levels, names: ['multifd-zstd-level'], values: [0n, 10n, 20n], ours: 'send' },
  { ...levels, names: ['multifd-zstd-level'], values: [21n], ours: 'refuse' },
  {
    why: 'What a mapping says is left to QEMU, whose refusal is shown',
    versions: qemuVersions,
    names: ['block-bitmap-mapping'],
    values: inconsistentMappings,
    ours: 'send',
    qemus: 'refused',
  },
];

/** What QEMU refuses without a finding of ours before. */
interface CapabilityException {
  readonly why: string;
  readonly name: string;
  readonly versions: readonly QemuVersionName[];
  /** By all that is on then. */
  readonly holds: (on: (name: string) => boolean) => boolean;
}

/** Exact as well: QEMU must refuse all of these. */
const capabilityExceptions: readonly CapabilityException[] = [
  {
    why: 'It depends on the accelerator (KVM with a dirty ring), which QMP does not tell',
    name: 'dirty-limit',
    versions: since10,
    holds: (on) => on('dirty-limit'),
  },
  {
    why: 'Only recent versions ask for return-path; others would be refused what they take',
    name: 'x-colo',
    versions: ['11.1'],
    holds: (on) => on('x-colo') && !on('return-path'),
  },
  {
    why: 'Versions that let multifd and postcopy-ram go together are not to warn of it',
    name: 'multifd',
    versions: ['10.0'],
    holds: (on) => on('multifd') && on('postcopy-ram'),
  },
];

function verdicts(name: string, value: JsonValue, ours: string, qemus: string): string {
  return `${name} ${stringifyJson(value)}: ${ours} by us, ${qemus} by QEMU`;
}

function exceptionsFor(version: QemuVersionName, name: string): readonly Exception[] {
  return exceptions.filter(
    (entry) => entry.versions.includes(version) && entry.names.includes(name),
  );
}

function ofParameter(name: string, value: JsonValue): SettingsChange {
  return { parameters: { [name]: value }, capabilities: {} };
}

/** By what `checkChange` says. */
function ourVerdict(facts: VmFacts, change: SettingsChange): 'send' | 'warn' | 'refuse' {
  const findings = checkChange(facts, change);
  if (findings.some(({ level }) => level === 'refuse')) return 'refuse';
  return findings.length > 0 ? 'warn' : 'send';
}

describe('every setting', () => {
  for (const version of qemuVersions) {
    describe(`of QEMU ${version}`, () => {
      const { parameters, notSet, capabilities } = learnt.versions[version];
      const parameterNames = [...Object.keys(parameters), ...notSet].sort();
      const capabilityNames = Object.keys(capabilities);
      let fresh: Fresh;

      before(async () => {
        fresh = new Fresh();
        await fresh.start(version);
      });
      after(() => fresh.end());

      it('is tested: these are all that its schema and its answers name', () => {
        const { facts } = fresh;
        const settable = facts.schema.arguments('migrate-set-parameters').map(({ name }) => name);
        assert.deepEqual([...settable].sort(), parameterNames);
        for (const name of Object.keys(facts.parameters)) {
          assert.ok(parameterNames.includes(name), name);
        }
        assert.deepEqual(facts.capabilities.map(({ name }) => name).sort(), capabilityNames);
      });

      for (const name of parameterNames) {
        it(`${name} can be set, read back and reset`, async () => {
          const standard = parameterDefault(fresh.facts, name);
          assert.ok(standard.kind === 'known');
          const { legal } = testValues(fresh.facts, name);
          assert.ok(legal.length > 0);
          const ignored = exceptionsFor(version, name).some(
            ({ ours, qemus }) => ours === 'send' && qemus === 'altered',
          );
          const set = async (value: JsonValue): Promise<JsonValue | undefined> => {
            await applyChanges([{ machine: fresh.machine, change: ofParameter(name, value) }]);
            return fresh.facts.parameters[name];
          };
          for (const value of legal) {
            if (ignored) {
              await assert.rejects(set(value), SettingsNotAppliedError);
            } else {
              assert.ok(sameValue(await set(value), value), stringifyJson(value));
            }
            // What QEMU does not report in the beginning cannot be unset again.
            if (standard.value === undefined) continue;
            assert.ok(sameValue(await set(standard.value), standard.value), 'reset');
          }
        });

        it(`${name} is refused by us when QEMU refuses it, and only then`, async () => {
          const { illegal, legal } = testValues(fresh.facts, name);
          const standard = parameterDefault(fresh.facts, name);
          const found: string[] = [];
          for (const value of [...legal, ...illegal]) {
            const ours = ourVerdict(fresh.facts, ofParameter(name, value));
            const qemus = await fresh.send(name, value);
            if (standard.kind === 'known' && standard.value !== undefined) {
              await fresh.send(name, standard.value);
            }
            if (qemus === (ours === 'refuse' ? 'refused' : 'taken')) continue;
            found.push(verdicts(name, value, ours === 'warn' ? 'send' : ours, qemus));
          }
          const expected = exceptionsFor(version, name).flatMap(({ values, ours, qemus }) =>
            values.map((value) => verdicts(name, value, ours, qemus)),
          );
          assert.deepEqual(found.sort(), expected.sort());
        });
      }

      for (const name of capabilityNames) {
        it(`${name} is refused by us when QEMU refuses it, alone and with each other`, async () => {
          const found: string[] = [];
          const used = new Set<string>();
          const allOff = Object.fromEntries(capabilityNames.map((other) => [other, false]));
          const check = async (wanted: Readonly<Record<string, boolean>>): Promise<void> => {
            const before = fresh.facts;
            const ours = ourVerdict(before, { parameters: {}, capabilities: wanted });
            const qemus = (await fresh.switch(wanted)) ? 'taken' : 'refused';
            const on = (other: string): boolean =>
              wanted[other] ?? before.capabilities.some((x) => x.name === other && x.enabled);
            const exception = capabilityExceptions.find(
              ({ versions, holds }) => versions.includes(version) && holds(on),
            );
            if (qemus === 'refused' ? ours !== 'send' : ours !== 'refuse' && !exception) return;
            if (qemus === 'refused' && exception) used.add(exception.name);
            else found.push(verdicts(name, wanted, ours, qemus));
          };
          await check({ [name]: true });
          for (const other of capabilityNames) {
            if (other === name) continue;
            assert.ok(await fresh.switch(allOff));
            await check({ [name]: true, [other]: true });
            await check({ [name]: false });
            // One after the other.
            assert.ok(await fresh.switch(allOff));
            await fresh.switch({ [other]: true });
            await check({ [name]: true });
          }
          assert.ok(await fresh.switch(allOff));
          assert.deepEqual(found, []);
          for (const exception of capabilityExceptions) {
            if (exception.name !== name || !exception.versions.includes(version)) continue;
            assert.ok(used.has(name), `${exception.why}: this is no exception any more`);
          }
        });
      }
    });
  }
});

/** Conflicts that the catalogue has, and none of the tested versions. */
const conflictsOfOthers: readonly string[] = [
  // Of versions between those that are tested.
  'compress mapped-ram',
  'compress xbzrle',
];

describe('conflicts of capabilities', () => {
  it('are told where one of these versions refuses the two, and nowhere else', async () => {
    const refused = new Map<string, boolean>();
    for (const version of qemuVersions) {
      const fresh = new Fresh();
      try {
        await fresh.start(version);
        const names = fresh.facts.capabilities.map(({ name }) => name);
        const allOff = Object.fromEntries(names.map((name) => [name, false]));
        for (const { name, conflicts = [] } of allCapabilities) {
          for (const other of conflicts) {
            const pair = `${name} ${other}`;
            if (name > other) continue;
            refused.set(pair, refused.get(pair) ?? false);
            if (!names.includes(name) || !names.includes(other)) continue;
            const wanted = withNeeds([name, other]);
            if (!(await fresh.switch(wanted))) refused.set(pair, true);
            assert.ok(await fresh.switch(allOff));
          }
        }
      } finally {
        await fresh.end();
      }
    }
    const unfounded = [...refused].filter(([, found]) => !found).map(([pair]) => pair);
    assert.deepEqual(unfounded, conflictsOfOthers);
  });
});

/** These capabilities on, and those that they need. */
function withNeeds(names: readonly string[]): Readonly<Record<string, boolean>> {
  const on = new Set(names);
  for (const name of on) for (const need of capabilityInfo(name)?.needs ?? []) on.add(need);
  return Object.fromEntries([...on].map((name) => [name, true]));
}
