import { isDeepStrictEqual } from 'node:util';
import { toLearntValue, type LearntDefaults } from '../../src/migration/settings/defaults';
import { isArray, isObject, type JsonValue } from '../../src/qmp/json';
import { MachineRegistry } from '../../src/vm/registry';
import { recordedReturn, type Build } from '../../test/support/recordings';
import { temporaryDirectory } from '../lib/processes';
import { startQemu, type QemuBuild } from '../lib/qemu';

type LearntVersion = LearntDefaults['versions'][string];
type Settings = Pick<LearntVersion, 'parameters' | 'capabilities'>;

/** Builds with settings that no released QEMU has; each was recorded right after its start. */
const patchedBuilds: readonly Build[] = ['local', 'backend-transfer'];

/**
 * What a fresh QEMU of this build reports with its newest machine type, and what each older one
 * changes. Every machine type gets a process of its own, paused and without a guest.
 */
export async function learnVersion(build: QemuBuild): Promise<LearntVersion> {
  const temporary = temporaryDirectory('learn');
  try {
    const { machineTypes, notSet, ...fresh } = await ask(build, temporary.path, build.machine);
    const machines: Record<string, Partial<Settings>> = {};
    for (const [machineVersion, machineType] of machineTypes) {
      if (machineType === build.machine) continue;
      const older = await ask(build, temporary.path, machineType);
      const difference = {
        ...differenceOf('parameters', older, fresh),
        ...differenceOf('capabilities', older, fresh),
      };
      if (Object.keys(difference).length > 0) machines[machineVersion] = difference;
    }
    return { qemu: build.version, ...fresh, notSet, machines };
  } finally {
    await temporary.remove();
  }
}

interface Answers extends Settings {
  /** Parameters that can be set, but are not reported before. */
  readonly notSet: readonly string[];
  /** The versioned PC machine types by version, oldest first. */
  readonly machineTypes: readonly (readonly [version: string, machineType: string])[];
}

async function ask(build: QemuBuild, directory: string, machine: string): Promise<Answers> {
  const qemu = await startQemu({
    ...{ build, directory, machine, name: 'fresh', guest: 'none', accelerator: 'tcg' },
    // The firmware need not run.
    extraArgs: ['-S'],
  });
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    autoReconnect: false,
  });
  try {
    // Our own connection, not the probe: it keeps integers of any size exact.
    const connected = await registry.connect(qemu.qmpSocket);
    const facts = await connected.refresh(['parameters', 'capabilities']);
    const settable = facts.schema.arguments('migrate-set-parameters').map(({ name }) => name);
    const parameters = Object.entries(facts.parameters).map(
      ([name, value]) => [name, toLearntValue(value)] as const,
    );
    const capabilities = facts.capabilities.map(({ name, enabled }) => [name, enabled] as const);
    return {
      parameters: sorted(parameters),
      capabilities: sorted(capabilities),
      notSet: settable.filter((name) => !Object.hasOwn(facts.parameters, name)).sort(),
      machineTypes: versionedMachines(await connected.connection().execute('query-machines')),
    };
  } finally {
    registry.dispose();
    await qemu.stop();
  }
}

/** Of machines of one version, q35 stands for all: what a version changes is common to them. */
function versionedMachines(reply: JsonValue): Answers['machineTypes'] {
  const found = new Map<string, string>();
  for (const entry of isArray(reply) ? reply : []) {
    const name = textOf(entry, 'name');
    const [, family, version] = /^pc-(q35|i440fx)-([\d.]+)$/.exec(name) ?? [];
    if (version === undefined || (family !== 'q35' && found.has(version))) continue;
    found.set(version, name);
  }
  return [...found].sort(([a], [b]) => compareVersions(a, b));
}

function textOf(entry: JsonValue, key: string): string {
  const text = isObject(entry) ? entry[key] : undefined;
  return typeof text === 'string' ? text : '';
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function differenceOf(
  kind: keyof Settings,
  older: Settings,
  fresh: Settings,
): Partial<Settings> | undefined {
  const changed = Object.entries(older[kind]).filter(
    ([name, value]) => !isDeepStrictEqual(value, fresh[kind][name]),
  );
  return changed.length === 0 ? undefined : { [kind]: sorted(changed) };
}

/** Settings of the recorded patched builds that none of these versions has. */
export function learnPatched(versions: LearntDefaults['versions']): LearntDefaults['patched'] {
  const known = Object.values(versions);
  const isNew = (kind: keyof Settings, name: string): boolean =>
    known.every((version) => !Object.hasOwn(version[kind], name));
  const parameters = patchedBuilds.flatMap((build) => {
    const reply = recordedReturn(build, 'query-migrate-parameters');
    return Object.entries(isObject(reply) ? reply : {})
      .filter(([name]) => isNew('parameters', name))
      .map(([name, value]) => [name, toLearntValue(value)] as const);
  });
  const capabilities = patchedBuilds.flatMap((build) => {
    const reply = recordedReturn(build, 'query-migrate-capabilities');
    return (isArray(reply) ? reply : [])
      .filter(isObject)
      .map((entry) => [textOf(entry, 'capability'), entry['state'] === true] as const)
      .filter(([name]) => isNew('capabilities', name));
  });
  return { parameters: sorted(parameters), capabilities: sorted(capabilities) };
}

function sorted<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}
