import type { CloseReason } from '../../qmp/errors';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { isMigrating } from '../../vm/machine';
import { readMigrationInfo, stageOf } from '../run/migrationInfo';
import type { RunOutcome, RunRecord } from '../run/types';
import { backendTransferNode } from './backendTransferNodes';
import { capabilitiesNode } from './capabilityNodes';
import type { MachineContext } from './context';
import { lampOf, lampText } from './lamp';
import { driverText, migrationNode, otherDriver, runningIcon, runSummary } from './migrationNodes';
import type { NodeIcon, Tooltip, ViewNode } from './nodes';
import { canSwitch, endsOf, otherLabel, pairNode } from './pairNodes';
import { parametersNode } from './parameterNodes';
import { controlTags } from './runNodes';
import { updateNode } from './updateNode';
import { updateProgressText } from './updateWords';
import { closeText, explainClose } from './words';

/**
 * All rows of one machine, from what QEMU said last, the run that it takes part in and the machine
 * that it is paired with. Pure.
 */
export function buildMachineNode(
  snapshot: MachineSnapshot,
  context: MachineContext = {},
): ViewNode {
  const look = lookOf(snapshot, context);
  const paired = pairText(context);
  const ends = context.pair && endsOf(snapshot, context.pair);
  return {
    id: `vm:${snapshot.id}`,
    kind: 'machine',
    machineId: snapshot.id,
    label: snapshot.label,
    description: [look.description, ...(paired === undefined ? [] : [paired.shown])].join(' · '),
    tooltip: machineTooltip(snapshot, look.explanation),
    icon: look.icon,
    expansion: look.children.length === 0 ? 'leaf' : 'expanded',
    tags: [
      'machine',
      snapshot.state.kind,
      snapshot.origin,
      ...look.tags,
      paired === undefined ? 'unpaired' : 'paired',
      ...(ends !== undefined && canSwitch(ends) ? ['switchable'] : []),
    ],
    spoken: [
      snapshot.label,
      look.description,
      ...(paired === undefined ? [] : [paired.spoken]),
    ].join(', '),
    copyText: snapshot.socketPath,
    ...(snapshot.state.kind === 'idle' && { click: 'connect' as const }),
    children: look.children,
  };
}

/** The pair in few words, for there is a row of its own; none while a run says who goes where. */
function pairText({
  run,
  pair,
}: MachineContext): { readonly shown: string; readonly spoken: string } | undefined {
  if (pair === undefined || (run !== undefined && run.outcome === undefined)) return undefined;
  const other = otherLabel(pair);
  return pair.role === 'source'
    ? { shown: `→ ${other}`, spoken: `paired with the target ${other}` }
    : { shown: `← ${other}`, spoken: `paired with the source ${other}` };
}

interface Look {
  readonly description: string;
  readonly explanation?: string;
  readonly icon: NodeIcon;
  readonly tags: readonly string[];
  readonly children: readonly ViewNode[];
}

function lookOf(snapshot: MachineSnapshot, context: MachineContext): Look {
  const look = ownLook(snapshot, context);
  const { update } = context;
  if (update === undefined || update.outcome !== undefined) return look;
  // Whatever its connection is for the moment: the update says how it goes.
  return {
    ...look,
    description: `live update · ${updateProgressText(update.progress)}`,
    icon: { codicon: 'sync~spin' },
    tags: [...look.tags.filter((tag) => tag !== 'calm' && tag !== 'migrating'), 'updating'],
  };
}

function ownLook(snapshot: MachineSnapshot, context: MachineContext): Look {
  const { state, facts } = snapshot;
  switch (state.kind) {
    case 'idle':
      return {
        description:
          snapshot.origin === 'discovered'
            ? `found, not connected${pidText(snapshot)}`
            : 'not connected',
        icon: { codicon: 'vm-outline' },
        tags: [],
        children: [],
      };
    case 'connecting':
      return {
        description: 'connecting…',
        icon: { codicon: 'loading~spin' },
        tags: [],
        children: [messageNode(snapshot, 'loading', 'Asking QEMU…')],
      };
    case 'closing':
      return {
        description: 'disconnecting…',
        icon: { codicon: 'loading~spin' },
        tags: [],
        children: [],
      };
    case 'lost':
      if (state.reason.kind === 'qemu-quit') return quitLook(snapshot, state.reason, context);
      return {
        description: [...lampOfLost(snapshot, context), `lost: ${closeText(state.reason)}`].join(
          ' · ',
        ),
        explanation: 'It is connected again by itself when its socket answers.',
        icon: { codicon: 'debug-disconnect', color: 'problemsWarningIcon.foreground' },
        tags: [],
        children: [lostNode(snapshot)],
      };
    case 'ready':
      return facts === undefined
        ? {
            description: 'connected',
            icon: { codicon: 'loading~spin' },
            tags: [],
            children: [messageNode(snapshot, 'loading', 'Asking QEMU…')],
          }
        : readyLook(snapshot, facts, context);
  }
}

/** A QEMU that ended in good order is no trouble. */
function quitLook(
  snapshot: MachineSnapshot,
  reason: Extract<CloseReason, { kind: 'qemu-quit' }>,
  context: MachineContext,
): Look {
  const words = reason.guest ? 'guest shut down, QEMU has quit' : 'QEMU has quit';
  return {
    description: [...lampOfLost(snapshot, context), words].join(' · '),
    explanation: `${closeText(reason)} It is connected again by itself when a QEMU listens at its socket.`,
    icon: { codicon: 'circle-slash' },
    tags: ['quit'],
    children: [],
  };
}

/** Who may run the guest matters most where one of the sides cannot be asked. */
function lampOfLost(snapshot: MachineSnapshot, { run }: MachineContext): readonly string[] {
  if (run === undefined) return [];
  const lamp = lampOf(run, snapshot.id);
  // What it has while nobody can ask it is not for us to say.
  const isKnown = lamp.owner !== 'unknown' && lamp.owner !== 'neither-yet';
  const matters = run.outcome === undefined || needsSomebody(run.outcome);
  return matters && !isKnown ? [lampText(lamp)] : [];
}

function needsSomebody({ kind, owner }: RunOutcome): boolean {
  return kind === 'unknown' && owner === 'unknown';
}

function readyLook(snapshot: MachineSnapshot, facts: VmFacts, context: MachineContext): Look {
  const { run, pair, offers } = context;
  const { description, icon } = currentLook(snapshot, facts, context);
  const active = run?.outcome === undefined ? run : undefined;
  // Somebody else's, known or not: nothing of ours is to be begun meanwhile.
  const driven = active === undefined && isMigrating(facts.migration);
  return {
    description,
    icon,
    tags: [
      ...(active === undefined
        ? driven
          ? ['driven']
          : ['calm', ...guestTags(facts, run)]
        : ['migrating']),
      ...directionTags(facts),
      ...controlTags(offers),
      'as-text',
    ],
    children: [
      statusNode(snapshot, facts, run),
      ...(pair === undefined ? [] : [pairNode(snapshot, pair)]),
      backendTransferNode(snapshot, pair),
      parametersNode(snapshot, facts, pair),
      capabilitiesNode(snapshot, facts, pair),
      migrationNode(snapshot, facts, context),
      context.update && updateNode(snapshot.id, context.update),
    ].flatMap((node) => node ?? []),
  };
}

/** The way that a guest could go from here; none where it is gone already. */
function directionTags({ runState }: VmFacts): readonly string[] {
  if (runState.status === 'inmigrate') return ['incoming'];
  return runState.status === 'postmigrate' ? [] : ['outgoing'];
}

/**
 * What may be done with the guest by hand, before it is judged: `halted`: continue it; `saved`: continue
 * it and remove its file, or nobody here knows where it went; `left-over`: the QEMU has no use any more. A source that gave its guest away is never one to continue.
 */
function guestTags(
  { runState, migration }: VmFacts,
  run: RunRecord | undefined,
): readonly string[] {
  const { status, running } = runState;
  if (running) return [];
  if (status === 'inmigrate') {
    const stage = stageOf(readMigrationInfo(migration).status);
    return stage === 'failed' || stage === 'cancelled' ? ['left-over'] : [];
  }
  if (status !== 'postmigrate' || run?.outcome?.owner === 'source') return ['halted'];
  // A saved guest may go on where it is once its file is removed, which is asked first.
  const isSaved = run === undefined || run.outcome?.owner === 'file';
  return isSaved ? ['left-over', 'saved'] : ['left-over'];
}

/** What goes on, be it ours or another program's, else what the machine is. */
function currentLook(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  context: MachineContext,
): Pick<Look, 'description' | 'icon'> {
  const { run } = context;
  if (run !== undefined && run.outcome === undefined) {
    return { description: runSummary(run, snapshot.id), icon: runningIcon(run) };
  }
  const { description, icon } = restingLook(snapshot, facts, run);
  const driver = otherDriver(facts, context);
  if (driver === undefined && !(isMigrating(facts.migration) && facts.runState.running)) {
    return { description, icon };
  }
  const words =
    driver === undefined ? 'migrating by other hands' : `migration ${driverText(driver)}`;
  return { description: `${words} · ${description}`, icon: { codicon: 'sync~spin' } };
}

/** The machine's own words, and what the last run left where that is more than QEMU tells. */
function restingLook(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  run: RunRecord | undefined,
): StatusLook {
  const look = statusLook(facts);
  const outcome = run?.outcome;
  if (run === undefined || outcome === undefined) return look;
  const version = `QEMU ${versionText(facts)}`;
  if (needsSomebody(outcome)) {
    const words = lampText(lampOf(run, snapshot.id));
    return {
      ...look,
      description: `${words} · ${facts.runState.status} · ${version}`,
      icon: { codicon: 'question', color: 'problemsErrorIcon.foreground' },
    };
  }
  if (facts.runState.status !== 'postmigrate') return look;
  if (outcome.owner === 'file') {
    return {
      ...look,
      description: `guest is saved in a file · ${version}`,
      meaning:
        'The guest was saved. **Do not continue it here** once it was restored from the file: two copies would run. Quit this QEMU.',
    };
  }
  if (outcome.owner === 'target' && run.request.source === snapshot.id) {
    return { ...look, description: `gave its guest to ${run.targetLabel} · ${version}` };
  }
  return look;
}

interface StatusLook {
  readonly description: string;
  readonly meaning: string;
  readonly icon: NodeIcon;
}

/** QAPI `RunState` in words, with what it means for somebody who migrates. */
function statusLook(facts: VmFacts): StatusLook {
  const version = `QEMU ${versionText(facts)}`;
  const { status, running } = facts.runState;
  switch (status) {
    case 'running':
      return {
        description: `running · ${version}`,
        meaning: 'The guest runs here.',
        icon: { codicon: 'vm-running', color: 'testing.iconPassed' },
      };
    case 'inmigrate':
      return incomingLook(facts, version);
    case 'postmigrate':
      return {
        description: `gave its guest away · ${version}`,
        meaning:
          'The guest was migrated away, or saved in a file. **Do not continue it here:** QEMU would accept that, and two copies would run. Quit this QEMU.',
        icon: { codicon: 'vm-outline', color: 'problemsWarningIcon.foreground' },
      };
    default:
      return {
        description: `${status} · ${version}`,
        meaning: running ? 'The guest runs here.' : 'The guest stands still.',
        icon: { codicon: 'vm', color: 'charts.yellow' },
      };
  }
}

/** A target that waits, receives, or is of no use any more. */
function incomingLook(facts: VmFacts, version: string): StatusLook {
  const started = 'This QEMU was started with `-incoming` and has no guest yet.';
  switch (stageOf(readMigrationInfo(facts.migration).status)) {
    case 'none':
      return {
        description: `waiting for a migration · ${version}`,
        meaning: started,
        icon: { codicon: 'vm-outline', color: 'charts.blue' },
      };
    case 'failed':
    case 'cancelled':
      return {
        description: `used up by a migration that failed · ${version}`,
        meaning: `${started} Its one attempt failed: quit it and start another.`,
        icon: { codicon: 'vm-outline', color: 'problemsWarningIcon.foreground' },
      };
    case 'moving':
    case 'paused-before-switchover':
    case 'point-of-no-return':
    case 'ending':
    case 'completed':
      return {
        description: `receiving a guest · ${version}`,
        meaning: started,
        icon: { codicon: 'vm-outline', color: 'charts.blue' },
      };
  }
}

function statusNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  run: RunRecord | undefined,
): ViewNode {
  const { meaning } = restingLook(snapshot, facts, run);
  const { icon } = statusLook(facts);
  const { status } = facts.runState;
  const failure = facts.failures.status;
  const machineType = facts.machineType === undefined ? [] : [facts.machineType];
  const description = [`QEMU ${versionText(facts)}`, ...machineType].join(' · ');
  return {
    id: `vm:${snapshot.id}/status`,
    kind: 'status',
    machineId: snapshot.id,
    label: status,
    description,
    icon: { ...icon, codicon: failure === undefined ? 'pulse' : 'warning' },
    tooltip: {
      title: `Status: ${status}`,
      body: meaning,
      fields: [
        ['QMP', 'query-status'],
        ['QEMU', versionText(facts)],
        ...(facts.machineType === undefined
          ? []
          : ([['Machine type', facts.machineType]] as const)),
        ...(facts.uuid === undefined ? [] : ([['UUID', facts.uuid]] as const)),
      ],
      ...(failure !== undefined && { warnings: [failure.message] }),
    },
    expansion: 'leaf',
    tags: ['status', 'copyable'],
    spoken: `Status ${status}, ${description}`,
    copyText: status,
    children: [],
  };
}

function versionText({ version }: VmFacts): string {
  return `${version.major}.${version.minor}.${version.micro}`;
}

function lostNode(snapshot: MachineSnapshot): ViewNode {
  if (snapshot.state.kind !== 'lost') return messageNode(snapshot, 'failure', 'Lost');
  const { headline, detail, nextStep } = explainClose(snapshot.state.reason, snapshot.socketPath);
  const body = [detail, nextStep].filter((part) => part !== undefined).join(' ');
  return {
    ...messageNode(snapshot, 'failure', headline),
    tooltip: { title: headline, ...(body !== '' && { body }) },
    description: 'tried again by itself',
    click: 'retry',
  };
}

function messageNode(
  snapshot: MachineSnapshot,
  kind: 'loading' | 'failure',
  label: string,
): ViewNode {
  return {
    id: `vm:${snapshot.id}/${kind}`,
    kind,
    machineId: snapshot.id,
    label,
    icon: { codicon: kind === 'loading' ? 'loading~spin' : 'error' },
    expansion: 'leaf',
    tags: [kind],
    spoken: label,
    children: [],
  };
}

function pidText({ process }: MachineSnapshot): string {
  return process === undefined ? '' : ` · pid ${process.pid}`;
}

function machineTooltip(snapshot: MachineSnapshot, explanation: string | undefined): Tooltip {
  const { process } = snapshot;
  return {
    title: snapshot.label,
    ...(explanation !== undefined && { body: explanation }),
    fields: [
      ['QMP socket', snapshot.socketPath],
      ...(process === undefined ? [] : ([['Process', `pid ${process.pid}`]] as const)),
      ...(process?.executable === undefined ? [] : ([['Program', process.executable]] as const)),
    ],
  };
}
