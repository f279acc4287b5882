import type { MachineHandle, MachineSnapshot, VmFacts } from '../../vm/types';
import { isMigrating } from '../../vm/machine';
import { allCapabilities, allParameters, type Need } from '../settings/catalogue';
import { comparesUuids, onlyOverRdma } from '../settings/rules';
import { formatBytes } from '../settings/units';
import { isBackendTransferParameter } from '../settings/backendTransfer';
import { checkBackendTransfer } from './backendTransferChecks';
import { inventoryObstacles, type Inventories } from './inventoryChecks';
import type { MethodFacts } from './methodChecks';
import { readMigrationInfo, stageOf } from './migrationInfo';
import type { Obstacle } from './obstacle';
import type { MigrationRequest } from './types';

/** What forbids a run before anything was changed; one sentence each in `reasons`. */
export class RunRefusedError extends Error {
  override readonly name = 'RunRefusedError';
  readonly reasons: readonly string[];
  /** What to do about it. */
  readonly nextStep: string;

  constructor(reasons: readonly string[], nextStep: string) {
    super(reasons.join(' '));
    this.reasons = reasons;
    this.nextStep = nextStep;
  }
}

/**
 * Looks at both sides, as QEMU just described them, for what would hang, kill or double the guest,
 * or could not work. Sends nothing.
 *
 * @throws {RunRefusedError} with everything that was found
 */
export function checkBeforeRun(
  request: MigrationRequest,
  source: MachineHandle,
  target: MachineHandle,
  inventories?: Inventories,
  _facts?: MethodFacts,
): void {
  const findings = findObstacles(request, source.snapshot, target.snapshot, inventories);
  const [first] = findings;
  if (first === undefined) return;
  throw new RunRefusedError(
    findings.map(({ reason }) => reason),
    [...new Set(findings.map(({ nextStep }) => nextStep))].join(' '),
  );
}

/** The same as data; empty when the run may begin. Without `inventories` their part is left out. */
export function findObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories?: Inventories,
): readonly Obstacle[] {
  if (source.id === target.id) {
    return [
      {
        id: 'same-machine',
        side: 'both',
        reason: 'Source and target are the same machine.',
        nextStep: 'Choose another target.',
      },
    ];
  }
  const notThere = [source, target].flatMap(({ id, label, facts, state }): Obstacle[] =>
    facts === undefined || state.kind !== 'ready'
      ? [
          {
            id: 'not-connected',
            side: id === source.id ? 'source' : 'target',
            reason: `${label} is not connected.`,
            nextStep: `Connect ${label} first.`,
          },
        ]
      : [],
  );
  if (notThere.length > 0 || source.facts === undefined || target.facts === undefined) {
    return notThere;
  }
  if (
    source.process !== undefined &&
    source.process.pid === target.process?.pid &&
    source.process.executable === target.process.executable &&
    /qemu/.test(source.process.executable ?? '')
  ) {
    return [
      {
        id: 'same-process',
        side: 'both',
        reason: `${source.label} and ${target.label} are two monitors of the same QEMU (pid ${source.process.pid}).`,
        nextStep: 'Choose a target that is another QEMU process.',
      },
    ];
  }
  const roles = [
    ...sourceObstacle(source.label, source.facts),
    ...targetObstacle(target.label, target.facts),
  ];
  if (roles.length > 0) return roles;
  return [
    ...dangerousCapabilities(source.label, source.facts),
    ...transportObstacles(request, source, target),
    ...differences(source.facts, target.facts),
    ...checkBackendTransfer(request.backendTransfer, source, target),
    ...(inventories === undefined ? [] : inventoryObstacles(source, target, inventories)),
  ];
}

/** Why the machine cannot be a source; empty when it can. */
export function sourceObstacle(label: string, facts: VmFacts): readonly Obstacle[] {
  const { status } = facts.runState;
  const info = readMigrationInfo(facts.migration);
  if (status === 'inmigrate') {
    return [
      {
        id: 'source-waits',
        side: 'source',
        reason: `${label} itself waits for a migration; it has no guest to give.`,
        nextStep: 'Choose the running machine as the source.',
      },
    ];
  }
  if (status === 'postmigrate' || stageOf(info.status) === 'point-of-no-return') {
    return [
      {
        id: 'source-gave-away',
        side: 'source',
        reason: `${label} has given its guest away already (${status}, migration ${info.status ?? 'none'}).`,
        nextStep: 'Migrate from the machine that has the guest now, and quit this one.',
      },
    ];
  }
  if (isMigrating(facts.migration)) {
    return [
      {
        id: 'source-migrating',
        side: 'source',
        reason: `A migration of ${label} is under way already (${info.status ?? 'unknown'}).`,
        nextStep: 'Wait for it, or cancel it.',
      },
    ];
  }
  // QEMU tells what blocks the mode now set; the run itself is made in mode normal.
  if ((facts.parameters['mode'] ?? 'normal') !== 'normal') return [];
  return info.blockedReasons.map((text) => ({
    id: 'blocked-reason',
    side: 'source',
    subject: text,
    reason: `QEMU says that ${label} cannot be migrated now: ${text.replace(/\.$/, '')}.`,
    nextStep: 'Remove what blocks the migration.',
  }));
}

/** Why the machine cannot be a target; empty when it can. */
export function targetObstacle(label: string, facts: VmFacts): readonly Obstacle[] {
  const { status } = facts.runState;
  if (status !== 'inmigrate') {
    return [
      {
        id: 'target-not-waiting',
        side: 'target',
        reason: `${label} does not wait for a migration (it is ${status}).`,
        nextStep: 'Start the target with the same options as the source and "-incoming defer".',
      },
    ];
  }
  const used = readMigrationInfo(facts.migration).status;
  if (used !== undefined && used !== 'none') {
    return [
      {
        id: 'target-used',
        side: 'target',
        reason: `${label} was given an incoming migration already (status ${used}); a target serves one attempt.`,
        nextStep: 'Quit it and start another with "-incoming defer".',
      },
    ];
  }
  return [];
}

/** Capabilities that let the source's guest run on after the target's was started. */
const runsOnAtSource = ['background-snapshot', 'x-colo'];

function dangerousCapabilities(label: string, facts: VmFacts): readonly Obstacle[] {
  return runsOnAtSource.flatMap((name) =>
    isOn(facts, name)
      ? [
          {
            id: 'guest-runs-on',
            side: 'source',
            subject: name,
            reason: `${name} is on at ${label}: the guest would run on both sides.`,
            nextStep: `Turn ${name} off.`,
          },
        ]
      : [],
  );
}

function transportObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly Obstacle[] {
  const facts = [source.facts, target.facts].flatMap((side) => side ?? []);
  if (facts.some((side) => isOn(side, 'mapped-ram'))) {
    return [
      {
        id: 'mapped-ram',
        side: 'both',
        reason: 'mapped-ram is on; it needs a file, not a connection.',
        nextStep: 'Turn mapped-ram off on both sides.',
      },
    ];
  }
  if (request.transport === 'fd') {
    return facts.some((side) => isOn(side, 'multifd'))
      ? [
          {
            id: 'multifd-over-fd',
            side: 'both',
            reason: 'multifd is on; it needs several connections, and a descriptor pair is one.',
            nextStep: 'Choose the UNIX socket transport, or turn multifd off on both sides.',
          },
        ]
      : [];
  }
  return unixPathObstacles(source, target);
}

function unixPathObstacles(source: MachineSnapshot, target: MachineSnapshot): readonly Obstacle[] {
  const ours = process.getuid?.() ?? -1;
  const owners = [source.process?.uid, target.process?.uid].filter((uid) => uid !== undefined);
  const nextStep = 'Choose the descriptor pair as the transport: it needs no path.';
  if (new Set(owners).size > 1 || (ours !== 0 && owners.some((uid) => uid !== ours))) {
    return [
      {
        id: 'unix-path-users',
        side: 'both',
        reason: 'The QEMUs run as other users, who cannot enter a private folder of yours.',
        nextStep,
      },
    ];
  }
  const foreign = [source, target].find(({ process: qemu }) => (qemu?.root ?? '/') !== '/');
  return foreign === undefined
    ? []
    : [
        {
          id: 'unix-path-root',
          side: foreign.id === source.id ? 'source' : 'target',
          reason: `${foreign.label} runs in a root directory of its own.`,
          nextStep,
        },
      ];
}

function isOn(facts: VmFacts, capability: string): boolean {
  return facts.capabilities.some(({ name, enabled }) => name === capability && enabled);
}

/** What QEMU needs to be equal and would not notice, or notice by hanging. */
function differences(source: VmFacts, target: VmFacts): readonly Obstacle[] {
  const nextStep = 'Make both sides equal.';
  const found: Obstacle[] = [];
  const { machineType, memoryBytes } = source;
  if (machineType !== target.machineType && machineType !== undefined) {
    found.push({
      id: 'machine-type',
      side: 'target',
      reason: `The machine types differ: ${machineType} and ${target.machineType ?? 'unknown'}.`,
      nextStep: `Start the target with "-machine ${machineType}".`,
    });
  }
  if (
    memoryBytes !== undefined &&
    target.memoryBytes !== undefined &&
    memoryBytes !== target.memoryBytes
  ) {
    found.push({
      id: 'memory-size',
      side: 'target',
      reason: `The memory sizes differ: ${formatBytes(memoryBytes)} and ${formatBytes(target.memoryBytes)}.`,
      nextStep: 'Start the target with as much memory as the source.',
    });
  }
  const comparing = comparesUuids.find((name) => isOn(source, name) && isOn(target, name));
  if (comparing !== undefined && source.uuid !== target.uuid) {
    found.push({
      id: 'uuid',
      side: 'target',
      reason: `The UUIDs differ, and with ${comparing} the target refuses another one: ${source.uuid ?? 'none'} and ${target.uuid ?? 'none'}.`,
      nextStep:
        source.uuid === undefined
          ? 'Start the target without "-uuid".'
          : `Start the target with "-uuid ${source.uuid}".`,
    });
  }
  for (const { name, sides } of allCapabilities) {
    if (sides !== 'both-equal' || onlyOverRdma.has(name)) continue;
    if (isOn(source, name) !== isOn(target, name)) {
      found.push({
        id: 'capability-differs',
        side: 'both',
        subject: name,
        reason: `${name} is on at one side only.`,
        nextStep,
      });
    }
  }
  for (const { name, sides, needs } of allParameters) {
    if (sides !== 'both-equal' || onlyOverRdma.has(name)) continue;
    // A run sets it on both sides, or checks it by the rules of its own.
    if (isBackendTransferParameter(name)) continue;
    if (!(needs ?? []).every((need) => inUse(need, source, target))) continue;
    const [a, b] = [source.parameters[name], target.parameters[name]];
    if (
      a !== undefined &&
      b !== undefined &&
      a !== b &&
      typeof a !== 'object' &&
      typeof b !== 'object'
    ) {
      found.push({
        id: 'parameter-differs',
        side: 'both',
        subject: name,
        reason: `${name} differs: ${String(a)} and ${String(b)}.`,
        nextStep,
      });
    }
  }
  return found;
}

function inUse({ capability }: Need, source: VmFacts, target: VmFacts): boolean {
  return capability === undefined || isOn(source, capability) || isOn(target, capability);
}
