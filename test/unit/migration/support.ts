import { isObject, type JsonObject, type JsonValue } from '../../../src/qmp/json';
import { QmpSchema } from '../../../src/qmp/schema';
import { noProgress } from '../../../src/migration/run/progressText';
import type { MigrationRequest, RunOutcome, RunRecord } from '../../../src/migration/run/types';
import type {
  Capability,
  DeviceFacts,
  MachineSnapshot,
  QemuProcess,
  VmFacts,
} from '../../../src/vm/types';
import { FakeQemu, schemaOf } from '../../support/fakeQemu';
import { recordedReturn, type Build } from '../../support/recordings';

export const nic: DeviceFacts = {
  id: 'nic0',
  driver: 'virtio-net-pci',
  path: '/machine/peripheral/nic0',
  permissions: {},
  netdev: { id: 'net0', type: 'tap', ifname: 'tap0', incoming: false },
};

/** The facts of a running guest, as the recorded QEMU of that build gave them. */
export function factsOf(build: Build, patch: Partial<VmFacts> = {}): VmFacts {
  const qemu = new FakeQemu(build);
  return {
    version: { major: 11, minor: 1, micro: 0, package: '' },
    name: undefined,
    uuid: undefined,
    machineType: 'pc-q35-11.1',
    memoryBytes: 64 * 2 ** 20,
    runState: { status: 'running', running: true },
    parameters: qemu.parameters,
    capabilities: capabilitiesOf(qemu),
    migration: {},
    devices: [
      { ...nic, permissions: build === 'backend-transfer' ? { 'backend-transfer': true } : {} },
    ],
    schema: schemaOf(build),
    migrationProperties: new Map(),
    failures: {},
    ...patch,
  };
}

function capabilitiesOf(qemu: FakeQemu): Capability[] {
  return [...qemu.capabilities].map(([name, enabled]) => ({ name, enabled }));
}

/** The facts with other values of some parameters and capabilities. */
export function changed(
  facts: VmFacts,
  parameters: JsonObject,
  capabilities: Readonly<Record<string, boolean>> = {},
): VmFacts {
  return {
    ...facts,
    parameters: { ...facts.parameters, ...parameters },
    capabilities: facts.capabilities.map(({ name, enabled }) => ({
      name,
      enabled: capabilities[name] ?? enabled,
    })),
  };
}

export function processOf(pid: number, patch: Partial<QemuProcess> = {}): QemuProcess {
  return {
    pid,
    startTicks: BigInt(pid),
    uid: process.getuid?.() ?? 0,
    executable: '/usr/bin/qemu-system-x86_64',
    root: '/',
    args: ['qemu-system-x86_64'],
    ...patch,
  };
}

/** A connected machine at `/run/NAME.qmp`. */
export function snapshotOf(
  name: string,
  facts: VmFacts | undefined,
  patch: Partial<MachineSnapshot> = {},
): MachineSnapshot {
  return {
    id: `/run/${name}.qmp`,
    socketPath: `/run/${name}.qmp`,
    origin: 'remembered',
    label: name,
    state: { kind: 'ready' },
    process: undefined,
    facts,
    ...patch,
  };
}

export function requestOf(patch: Partial<MigrationRequest> = {}): MigrationRequest {
  return {
    source: '/run/a.qmp',
    target: '/run/b.qmp',
    transport: 'unix',
    backendTransfer: 'as-is',
    ...patch,
  };
}

export function runOf(
  progress: Partial<RunRecord['progress']>,
  outcome?: Partial<RunOutcome>,
): RunRecord {
  return {
    id: 1,
    request: requestOf(),
    sourceLabel: 'a',
    targetLabel: 'b',
    startedAt: 0,
    progress: { ...noProgress, phase: 'transfer', ...progress },
    outcome: outcome && {
      kind: 'completed',
      owner: 'target',
      guestRunning: true,
      sourceError: undefined,
      targetError: undefined,
      totalTimeMs: undefined,
      downtimeMs: undefined,
      transferredBytes: undefined,
      headline: 'The guest runs on b.',
      details: [],
      nextStep: 'Quit a.',
      ...outcome,
    },
  };
}

type Entries = readonly JsonObject[];

/** The recorded schema of a build, with another type for one argument of migrate-set-parameters. */
export function schemaReplyWith(build: Build, name: string, type: string): Entries {
  const reply = recordedReturn(build, 'query-qmp-schema');
  const entries = (Array.isArray(reply) ? reply : []).filter((entry: JsonValue) => isObject(entry));
  const command = entries.find((entry) => entry['name'] === 'migrate-set-parameters');
  return entries.map((entry) => {
    if (entry['name'] !== command?.['arg-type'] || entry['meta-type'] !== 'object') return entry;
    const members = Array.isArray(entry['members']) ? (entry['members'] as Entries) : [];
    const others = members.filter((member) => member['name'] !== name);
    return { ...entry, members: [...others, { name, type, default: null }] };
  });
}

export function schemaWith(build: Build, name: string, type: string): QmpSchema {
  return QmpSchema.parse(schemaReplyWith(build, name, type));
}
