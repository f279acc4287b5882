import type { HelperLocation } from '../../fdpass/locate';
import type { MachineHandle } from '../../vm/types';
import type { Channel } from '../methods/channel';
import { descriptorPairOf } from '../methods/descriptorPair';
import { methodOf } from '../methods/names';
import { guardsSwitchover } from '../methods/planned';
import { unixPathOf } from '../methods/unixPath';
import { Arrival } from './arrival';
import { BorrowedSettings } from './borrowedSettings';
import { endFailedStart, endRun, type Ending } from './ending';
import { Evidence } from './evidence';
import { Follower } from './follow';
import { Gate } from './gate';
import { AbsentMachine } from './journal/absentMachine';
import type { ChannelWhat, MachineIdentity } from './journal/entries';
import { RunInterruptedError } from './journal/errors';
import { identityOf, isSameIdentity, isStillThere } from './journal/processes';
import type { RunJournal } from './journal/runJournal';
import type { JournalState } from './journal/state';
import { Side } from './look';
import { stageOf } from './migrationInfo';
import { recoverCprExec } from './oneSided/cprExecRecovery';
import type { SideView } from './ownership';
import { PostcopyRecovery } from './postcopyRecovery';
import { recoverRestore, recoverSave } from './oneSided/recoverOneSided';
import type { Wishes } from './runContext';
import { controlsOf } from './runControls';
import { StateReporter } from './stateReporter';
import { isArriving, openChannel, prepareTarget, startIncoming } from './steps';
import type { RunOutcome, RunProgress } from './types';

export interface RecoveryContext {
  readonly journal: RunJournal;
  /** What the journal proved when it was taken over. */
  readonly state: JournalState;
  /** Connects to a socket, and goes on trying where that fails. */
  readonly attach: (socketPath: string) => Promise<MachineHandle>;
  /** Aborted when the user wants to cancel; see `JournalState.cancelAsked` too. */
  readonly cancel: AbortSignal;
  readonly detach: AbortSignal;
  readonly wishes: Wishes;
  readonly locateHelper: () => Promise<HelperLocation>;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
}

interface Found {
  readonly side: Side;
  readonly machine: MachineHandle;
  /** What a person should know about how it was found, as a sentence. */
  readonly remark: string | undefined;
}

/**
 * Takes up a run whose driver is gone, from what its journal proves and what both QEMUs say. Never
 * rejects; the outcome tells how the run ended, and closes the journal unless it is unknown.
 */
export async function recoverRun(context: RecoveryContext): Promise<RunOutcome> {
  const outcome = await recover(context).catch((error: unknown): RunOutcome => {
    context.log(`recovery of ${context.journal.run}: ${String(error)}`);
    return unknownOutcome(context.state, `It could not be found out: ${String(error)}`);
  });
  return context.journal.end(outcome);
}

async function recover(context: RecoveryContext): Promise<RunOutcome> {
  const { state, journal, report, log } = context;
  const { begin } = state;
  report({ note: 'Looking for both QEMUs.' });
  const [source, target] = await Promise.all([
    find(begin.source, context),
    find(begin.target, context),
  ]);
  const sides = { source: source.side, target: target.side };
  const machines = { source: source.machine, target: target.machine };
  const states = new StateReporter(report, 'unknown');
  states.recordIn(journal);
  const evidence = await Evidence.begin(
    begin.request,
    source.machine.snapshot.process,
    target.machine.snapshot.process,
  );
  states.onEnter((entered) => evidence.enter(entered));
  const gate = new Gate(
    { sides: machines, log, onState: (entered, owner) => states.enter(entered, owner) },
    'prepare',
  );
  const borrowed = new BorrowedSettings(machines, journal, state.loans, gate);
  const channel = channelOf(state.channel, machines);
  const { request } = begin;
  const opening = { ...context, ...machines, request };
  const ending: Ending = {
    ...{ request, sides, borrowed, channel, gate, recorder: journal, report, log, evidence },
    recovery: new PostcopyRecovery({
      ...{ gate, ...sides, recorder: journal, log },
      reopen: () => openChannel(opening, journal, gate),
    }),
  };
  const [sourceView, targetView] = await Promise.all([sides.source.look(), sides.target.look()]);
  report({ note: undefined });
  const ofOneSided = await recoverOneSided(context, ending);
  const outcome =
    ofOneSided !== undefined
      ? ofOneSided
      : sourceView.kind === 'gone' && targetView.kind === 'gone'
        ? await afterBoth(ending, state)
        : state.migrateSent || isUnderWay(sourceView)
          ? await goOn(context, ending)
          : await takeBack(ending, state, sourceView);
  const remarks = [source.remark, target.remark].filter((remark) => remark !== undefined);
  return {
    ...outcome,
    details: [interruptedText(state), ...outcome.details, ...remarks],
  };
}

/** Methods with one machine end in ways of their own. */
function recoverOneSided(
  context: RecoveryContext,
  ending: Ending,
): Promise<RunOutcome> | undefined {
  switch (methodOf(ending.request)) {
    case 'save':
    case 'cpr-reboot':
      return recoverSave(context, ending);
    case 'restore':
      return recoverRestore(context, ending);
    case 'cpr-exec':
      return recoverCprExec(context, ending);
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
    case 'cpr-transfer':
      return undefined;
  }
}

/** The very QEMU that the journal means, or a stand-in where it cannot be reached. */
async function find(identity: MachineIdentity, { attach }: RecoveryContext): Promise<Found> {
  const { process: known, socket, label } = identity;
  const absent = (hasEnded: boolean, remark?: string): Found => {
    const machine = new AbsentMachine(identity, hasEnded);
    return { machine, side: new Side(machine, known), remark };
  };
  if (known !== undefined && !(await isStillThere(known))) return absent(true);
  const machine = await attach(socket);
  const ready = machine.snapshot.state.kind === 'ready';
  const process = ready ? await machine.identify() : undefined;
  const uuid = ready ? machine.snapshot.facts?.uuid : undefined;
  const isSameUuid = uuid !== undefined && uuid === identity.uuid;
  const isOther =
    process !== undefined && known !== undefined
      ? !isSameIdentity(await identityOf(process), known)
      : // Two may listen at one path, and which of them answers cannot be told.
        known !== undefined
        ? ready && !isSameUuid
        : uuid !== undefined && identity.uuid !== undefined && !isSameUuid;
  if (isOther) {
    const pid = known === undefined ? '' : `, pid ${known.pid},`;
    const remark = `At ${socket} another QEMU listens now; ${label}${pid} cannot be asked.`;
    return absent(known === undefined, remark);
  }
  return { machine, side: new Side(machine, known), remark: undefined };
}

function channelOf(
  what: ChannelWhat | undefined,
  { source, target }: { readonly source: MachineHandle; readonly target: MachineHandle },
): Channel | undefined {
  switch (what?.transport) {
    case undefined:
    // Nothing is left of it but what belongs to the user.
    case 'tcp':
    case 'file':
      return undefined;
    case 'unix':
      return unixPathOf(what.directory);
    case 'fd':
      return descriptorPairOf(what.name, source, target);
  }
}

/** The source is in a migration, whatever the journal says: its last entries may be missing. */
function isUnderWay(source: SideView): boolean {
  if (source.kind !== 'answered') return false;
  if (source.runState.status === 'postmigrate') return true;
  return ['moving', 'paused-before-switchover', 'point-of-no-return', 'ending'].includes(
    stageOf(source.migrationStatus),
  );
}

/** `migrate` may have been sent: follows it from where it is. */
async function goOn(context: RecoveryContext, ending: Ending): Promise<RunOutcome> {
  const { state, detach, report, log, journal } = context;
  const { source, target } = ending.sides;
  const { gate, recovery, borrowed, request } = ending;
  gate.enter('transfer');
  const cancelling = new AbortController();
  const cancel = (): void => cancelling.abort();
  // Whoever asked for it still wants it.
  if (state.cancelAsked || context.cancel.aborted) cancel();
  else context.cancel.addEventListener('abort', cancel, { once: true });
  const { holds } = state;
  const isHeld = holds.source !== 'none' || holds.target !== 'none';
  const runsNow = source.lastSeen().facts?.runState.running === true;
  const follower = new Follower(source, target, {
    ...{ gate, cancel: cancelling.signal, detach, report, log, recorder: journal },
    holdSwitchover: request.options?.holdSwitchover === true,
    guardSwitchover: guardsSwitchover(request),
    arrival: arrivalOf(context, ending),
    recovery,
    earlier: {
      hold: {
        source: holds.source !== 'none',
        target: holds.target !== 'none',
        // Its user may have paused it since, unless that was us.
        guestRan: isHeld ? state.guestRan : state.guestRan || runsNow,
      },
      cancelReason: state.cancelReason,
      heldBeforeCancel: state.heldBeforeCancel,
    },
  });
  context.wishes.handle(
    controlsOf({ gate, source, target, follower, borrowed, recorder: journal, recovery }),
  );
  return endRun(ending, await follower.follow(), state.begin.guestRan);
}

/** A target that came up only during the run, and was perhaps not told to listen. */
function arrivalOf(context: RecoveryContext, ending: Ending): Arrival | undefined {
  const { request, borrowed, channel, gate, recorder, sides, log } = ending;
  if (!isArriving(request)) return undefined;
  const { machine: source } = sides.source;
  const { machine: target } = sides.target;
  const tell = async (): Promise<void> => {
    if (channel === undefined) throw new RunInterruptedError(context.state.driver);
    await target.refresh();
    await prepareTarget({ request, source, target, log }, borrowed);
    await startIncoming(target, gate, channel.uri, recorder, () => arrival.markTold());
  };
  const arrival = new Arrival(target, tell, context.state.incomingSent);
  return arrival;
}

/** Nothing was sent yet that moves a guest. */
async function takeBack(
  ending: Ending,
  state: JournalState,
  source: SideView,
): Promise<RunOutcome> {
  const outcome = await endFailedStart(ending, {
    error: state.cancelAsked ? undefined : new RunInterruptedError(state.driver),
    targetListens: state.incomingSent,
  });
  if (source.kind !== 'gone' || outcome.owner !== 'unknown') return outcome;
  const { label } = state.begin.source;
  return {
    ...outcome,
    kind: 'failed',
    owner: 'nobody',
    guestRunning: undefined,
    headline: `The QEMU of ${label} has ended, and its guest with it. The migration had not begun.`,
    nextStep: 'Start the guest anew from its disk, if it is still needed.',
  };
}

/** Both QEMUs have ended since, which may be long ago and was perhaps meant so. */
async function afterBoth(ending: Ending, { begin }: JournalState): Promise<RunOutcome> {
  await ending.channel?.close();
  const { source, target } = begin;
  return {
    ...noOutcome,
    kind: 'failed',
    owner: 'nobody',
    headline: `The QEMUs of ${source.label} and ${target.label} have both ended since.`,
    details: [],
    nextStep: 'Nothing is left to do for this migration.',
  };
}

const noOutcome = {
  guestRunning: undefined,
  sourceError: undefined,
  targetError: undefined,
  totalTimeMs: undefined,
  downtimeMs: undefined,
  transferredBytes: undefined,
} as const;

/** In words that also the summary of a journal uses. */
function interruptedText({ driver, left, incomplete, startedAt }: JournalState): string {
  const when = new Date(startedAt).toLocaleString();
  const how = left ? 'stopped watching it' : 'ended in the middle of it';
  const gap = incomplete ? ' Its journal is incomplete.' : '';
  return `It was begun ${when} by ${driver.program} (pid ${driver.pid}), which ${how}.${gap}`;
}

/** The end of a run that nobody could find out. */
export function unknownOutcome({ begin }: JournalState, detail: string): RunOutcome {
  const { source, target } = begin;
  return {
    ...noOutcome,
    kind: 'unknown',
    owner: 'unknown',
    headline: `It is not known whether the guest is on ${source.label} or on ${target.label}.`,
    details: [detail],
    nextStep: `Look at "query-status" of both. Continue neither until one is known not to run.`,
  };
}

/** What is written when a person says that a run needs no more attention. */
export function forgottenOutcome({ begin }: JournalState): RunOutcome {
  const { source, target } = begin;
  return {
    ...noOutcome,
    kind: 'failed',
    owner: 'unknown',
    headline: `The run of ${source.label} to ${target.label} was set aside by hand; nothing was sent.`,
    details: [],
    nextStep: 'Settings that it borrowed were not put back.',
  };
}
