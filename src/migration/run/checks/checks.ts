import type { MachineHandle, MachineSnapshot, VmFacts } from '../../../vm/types';
import { isMigrating } from '../../../vm/machine';
import { backendTransferOf } from '../../settings/backendTransfer';
import { isOneSided, methodOf, methodTitles } from '../../methods/names';
import { modeOf } from '../../methods/planned';
import { checkBackendTransfer, isOn as isBackendTransferOn } from './backendTransferChecks';
import { differences } from './differenceChecks';
import { applyForce, isForceable } from './force';
import { inventoryObstacles, oneInventoryObstacles, type Inventories } from './inventoryChecks';
import { methodObstacles, type MethodFacts } from './methodChecks';
import { readMigrationInfo, stageOf } from '../migrationInfo';
import type { Obstacle } from './obstacle';
import { asPlanned, isOn } from './projected';
import { methodNotOffered, settingObstacles } from './settingChecks';
import { transportObstacles } from './transportChecks';
import type { MigrationRequest } from '../types';

/** What forbids a run before anything was changed; one sentence each in `reasons`. */
export class RunRefusedError extends Error {
  override readonly name = 'RunRefusedError';
  readonly reasons: readonly string[];
  /** What to do about it. */
  readonly nextStep: string;
  /** What was found; empty where no check of the machines has refused. */
  readonly obstacles: readonly Obstacle[];
  /** Those of them that `request.force` would overrule. */
  readonly forceable: readonly Obstacle[];

  constructor(
    reasons: readonly string[],
    nextStep: string,
    obstacles: readonly Obstacle[] = [],
    forceable: readonly Obstacle[] = [],
  ) {
    super(reasons.join(' '));
    this.reasons = reasons;
    this.nextStep = nextStep;
    this.obstacles = obstacles;
    this.forceable = forceable;
  }

  /** Whether a reason is all that is missing. */
  get canBeForced(): boolean {
    return this.obstacles.length > 0 && this.forceable.length === this.obstacles.length;
  }
}

/**
 * Looks at both sides, as QEMU just described them, for what would hang, kill or double the guest,
 * or could not work. Sends nothing.
 *
 * @returns what `request.force` overrules, to be written down and shown
 * @throws {RunRefusedError} with everything that was found
 */
export function checkBeforeRun(
  request: MigrationRequest,
  source: MachineHandle,
  target: MachineHandle,
  inventories?: Inventories,
  methodFacts?: MethodFacts,
): readonly Obstacle[] {
  const found = findObstacles(request, source.snapshot, target.snapshot, inventories, methodFacts);
  const { remaining, overridden } = applyForce(request, found);
  if (remaining.length === 0) return overridden;
  throw new RunRefusedError(
    remaining.map(({ reason }) => reason),
    [...new Set(remaining.map(({ nextStep }) => nextStep))].join(' '),
    remaining,
    remaining.filter((obstacle) => isForceable(obstacle, request)),
  );
}

/**
 * The same as data; empty when the run may begin. Judged by the settings as they will be when it
 * begins. Without `inventories` and `methodFacts` their parts are left out. Pure.
 */
export function findObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories?: Inventories,
  methodFacts?: MethodFacts,
): readonly Obstacle[] {
  const method = methodOf(request);
  const strangers = isOneSided(method)
    ? notConnected([source])
    : twoMachines(request, source, target);
  if (strangers.length > 0) return strangers;
  const notOffered = methodNotOffered(request, source, target);
  if (notOffered.length > 0) return notOffered;
  const roles = roleObstacles(request, source, target);
  if (roles.length > 0) return roles;
  const settings = settingObstacles(request, source, target, inventories);
  const [from, to] = isOneSided(method)
    ? oneAsPlanned(request, source)
    : [asPlanned(source, request, 'source'), asPlanned(target, request, 'target')];
  return [
    ...settings,
    ...(from.facts === undefined || method === 'restore'
      ? []
      : dangerousCapabilities(from.label, from.facts)),
    ...transportObstacles(request, from, to, methodFacts),
    ...(isTwoPictures(request) && from.facts !== undefined && to.facts !== undefined
      ? differences(from.facts, to.facts)
      : []),
    ...backendTransferObstacles(request, source, target),
    ...(inventories === undefined ? [] : inventoriesOf(request, from, to, inventories)),
    ...methodObstacles(request, from, to, inventories, methodFacts),
  ];
}

/** Both sides can be asked, and compared. */
function isTwoPictures(request: MigrationRequest): boolean {
  const method = methodOf(request);
  return !isOneSided(method) && method !== 'cpr-transfer';
}

function oneAsPlanned(
  request: MigrationRequest,
  machine: MachineSnapshot,
): readonly [MachineSnapshot, MachineSnapshot] {
  const side = methodOf(request) === 'restore' ? 'target' : 'source';
  const planned = asPlanned(machine, request, side);
  return [planned, planned];
}

function inventoriesOf(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories: Inventories,
): readonly Obstacle[] {
  return isTwoPictures(request)
    ? inventoryObstacles(source, target, inventories)
    : oneInventoryObstacles(
        methodOf(request) === 'restore' ? 'target' : 'source',
        source,
        inventories.source,
      );
}

function notConnected(machines: readonly MachineSnapshot[]): readonly Obstacle[] {
  return machines.flatMap(({ label, facts, state }, index): Obstacle[] =>
    facts === undefined || state.kind !== 'ready'
      ? [
          {
            id: 'not-connected',
            side: index === 0 ? 'source' : 'target',
            reason: `${label} is not connected.`,
            nextStep: `Connect ${label} first.`,
          },
        ]
      : [],
  );
}

/** Whether there are two of them, and both can be asked. */
function twoMachines(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
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
  const late = methodOf(request) === 'cpr-transfer';
  const away = notConnected(late ? [source] : [source, target]);
  if (away.length > 0) return away;
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
  return [];
}

function roleObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly Obstacle[] {
  const method = methodOf(request);
  const asSource =
    method === 'restore' || source.facts === undefined
      ? []
      : sourceObstacle(source.label, source.facts, modeOf(request));
  if (method === 'cpr-transfer') return [...asSource, ...answersAlready(target)];
  const takesGuest = method === 'restore' || !isOneSided(method);
  const asTarget =
    takesGuest && target.facts !== undefined ? targetObstacle(target.label, target.facts) : [];
  return [...asSource, ...asTarget];
}

/** A target of cpr-transfer has no machine, and no monitor, before the source begins. */
function answersAlready({ label, state }: MachineSnapshot): readonly Obstacle[] {
  return state.kind === 'ready'
    ? [
        {
          id: 'cpr-target-answers',
          side: 'target',
          reason: `${label} answers already; a QEMU that waits for a CPR channel answers only once it has it.`,
          nextStep:
            'Start another target, with a second "-incoming" for the CPR channel, and choose that.',
        },
      ]
    : [];
}

/** Open back ends travel over a UNIX socket alone, to a QEMU that can be asked. */
function backendTransferObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly Obstacle[] {
  const { backendTransfer, transport } = request;
  const method = methodOf(request);
  const carries = isTwoPictures(request) && transport !== 'tcp';
  if (carries) return checkBackendTransfer(backendTransfer, source, target);
  const inForce = isBackendTransferOn(backendTransferOf(source));
  const wanted = backendTransfer === 'on' || (backendTransfer === 'as-is' && inForce);
  if (!wanted) {
    return isTwoPictures(request) ? checkBackendTransfer(backendTransfer, source, target) : [];
  }
  return [
    {
      id: 'backend-transfer-method',
      side: 'both',
      reason:
        transport === 'tcp' && isTwoPictures(request)
          ? 'Back ends are open descriptors, which TCP does not carry.'
          : `Back ends cannot be handed over with the method "${methodTitles[method]}".`,
      nextStep: 'Turn backend transfer off for this migration.',
    },
  ];
}

/** Why the machine cannot be a source; empty when it can. */
export function sourceObstacle(
  label: string,
  facts: VmFacts,
  /** That the run will set. */
  mode = 'normal',
): readonly Obstacle[] {
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
  // QEMU tells what blocks the mode now set, which may not be that of the run.
  if ((facts.parameters['mode'] ?? 'normal') !== mode) return [];
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
