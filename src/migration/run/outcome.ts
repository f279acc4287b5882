import { QmpCommandError } from '../../qmp/errors';
import { explain } from '../view/words';
import type { MachineHandle } from '../../vm/types';
import { explainFailure, endSentences } from '../failures/explain';
import type { FailureEvidence, FailureExplanation, ProcessEnd } from '../failures/types';
import { formatDurationMs } from '../settings/units';
import { RunRefusedError } from './checks/checks';
import type { Followed } from './followTypes';
import type { Side } from './look';
import { stageOf } from './migrationInfo';
import { decideOwner, type SideView, type Verdict } from './ownership';
import type { SideName } from './journal/entries';
import type { MethodName, OutcomeKind, RunOutcome, RunPhase } from './types';

type Figures = Pick<RunOutcome, 'totalTimeMs' | 'downtimeMs' | 'transferredBytes'>;

const noFigures: Figures = {
  totalTimeMs: undefined,
  downtimeMs: undefined,
  transferredBytes: undefined,
};

interface Labels {
  readonly source: string;
  readonly target: string;
}

const quitTarget = (target: string): string =>
  `Quit ${target}: a target serves one attempt. Start another with "-incoming defer" to try again.`;

/** What is known besides of a run that went wrong; all of it may be absent. */
export interface OutcomeEvidence {
  /** Absent: `precopy`. */
  readonly method?: MethodName;
  /** The last state before the run began to settle; absent: `transfer`, or `prepare` of a start. */
  readonly phase?: RunPhase;
  /** Last lines of standard error since the beginning of the run, oldest first. */
  readonly sourceStderr?: readonly string[];
  readonly targetStderr?: readonly string[];
  /** Absent: only that it is gone shows, in the view of that side. */
  readonly sourceEnd?: ProcessEnd;
  readonly targetEnd?: ProcessEnd;
}

/** A check or a first question failed; nothing was changed. */
export function outcomeOfRefusal(
  error: unknown,
  { source }: { readonly source: MachineHandle; readonly target: MachineHandle },
): RunOutcome {
  const { facts, label, state } = source.snapshot;
  // What QEMU said some time ago proves nothing about now.
  const isFresh = state.kind === 'ready' && facts?.failures.status === undefined;
  const running = isFresh ? facts?.runState.running : undefined;
  // A guest that stands still is there as well.
  const isThere = running === true || (isFresh && facts?.runState.status === 'paused');
  const base = {
    ...noFigures,
    kind: 'refused' as const,
    owner: isThere ? ('source' as const) : ('unknown' as const),
    guestRunning: running,
    sourceError: undefined,
    targetError: undefined,
  };
  if (error instanceof RunRefusedError) {
    return {
      ...base,
      headline: `The migration of ${label} was not started, nothing was changed.`,
      details: error.reasons,
      nextStep: error.nextStep,
      ...(error.obstacles.length > 0 && { obstacles: error.obstacles }),
      ...(error.canBeForced && { canBeForced: true }),
    };
  }
  const { headline, detail, nextStep } = explain(error);
  return {
    ...base,
    headline: `The migration of ${label} was not started, nothing was changed.`,
    details: [headline, ...(detail === undefined ? [] : [detail])],
    nextStep: nextStep ?? 'Try again once both machines are connected.',
  };
}

/** What is known when QEMU did not get as far as an accepted `migrate`. */
export interface FailedStart {
  /** `undefined`: the user cancelled. */
  readonly error: unknown;
  readonly source: SideView;
  readonly target: SideView;
  readonly sides: { readonly source: Side; readonly target: Side };
  readonly notPutBack: readonly string[];
  /** The target was told to listen, and so is used up. */
  readonly targetListens: boolean;
  readonly evidence?: OutcomeEvidence;
}

export function outcomeOfFailedStart(start: FailedStart): RunOutcome {
  const labels = { source: start.sides.source.label, target: start.sides.target.label };
  const verdict = decideStart(start);
  const used = start.targetListens ? ` ${quitTarget(labels.target)}` : '';
  const base = {
    ...noFigures,
    owner: verdict.owner,
    guestRunning: verdict.guestRunning,
    sourceError: start.sides.source.info.errorText,
    targetError: start.sides.target.info.errorText,
  };
  const where = whereIsTheGuest(verdict, labels);
  if (start.error === undefined) {
    return {
      ...base,
      kind: 'cancelled',
      headline: `Cancelled before the migration began. ${where}`,
      details: start.notPutBack,
      nextStep: start.targetListens
        ? quitTarget(labels.target)
        : 'Both machines can be used again.',
    };
  }
  const { headline, detail, nextStep } = explain(start.error);
  const evidence = evidenceOfStart(start, verdict, labels);
  const cause = explainFailure(evidence);
  const isKnown = cause.id !== 'unknown';
  // The refusal stands in the headline already.
  const quotes = cause.quotes.filter((quote) => !quote.includes(evidence.refusal?.text ?? '\n'));
  const nextSteps = [isKnown ? cause.nextStep : undefined, nextStep].filter(
    (step) => step !== undefined,
  );
  return {
    ...base,
    kind: verdict.owner === 'unknown' ? 'unknown' : 'failed',
    headline: `${where} The migration did not begin.`,
    details: [
      ...(isKnown ? [cause.what, cause.meaning] : []),
      headline,
      ...(detail === undefined ? [] : [detail]),
      ...endSentences(evidence),
      ...quotes,
      ...start.notPutBack,
    ],
    nextStep: `${nextSteps.join(' ')}${used}`.trim() || 'Mend the cause and try again.',
    causeId: cause.id,
    ...cureOf(cause),
  };
}

/** The errors that both sides show may be of an earlier attempt; what was refused now counts. */
function evidenceOfStart(start: FailedStart, verdict: Verdict, labels: Labels): FailureEvidence {
  const { error, evidence = {} } = start;
  const cause = error instanceof Error ? error.cause : undefined;
  const refused = [error, cause].find((one) => one instanceof QmpCommandError);
  const side = refused && sideOfCommand[refused.command];
  return {
    method: 'precopy',
    phase: 'prepare',
    ...evidence,
    labels,
    owner: verdict.owner,
    guestRunning: verdict.guestRunning,
    sourceError: undefined,
    targetError: undefined,
    ...endsOf(start, evidence),
    ...(refused !== undefined && {
      refusal: {
        command: refused.command,
        text: refused.desc,
        ...(side !== undefined && { side }),
      },
    }),
  };
}

/** Only those that a run sends to one side; the others say nothing of who refused. */
const sideOfCommand: Readonly<Record<string, SideName | undefined>> = {
  migrate: 'source',
  'migrate-incoming': 'target',
  netdev_add: 'target',
  device_add: 'target',
};

function endsOf(
  { source, target }: { readonly source: SideView; readonly target: SideView },
  { sourceEnd, targetEnd }: OutcomeEvidence,
): Pick<FailureEvidence, 'sourceEnd' | 'targetEnd'> {
  const here = sourceEnd ?? (source.kind === 'gone' ? {} : undefined);
  const there = targetEnd ?? (target.kind === 'gone' ? {} : undefined);
  return {
    ...(here !== undefined && { sourceEnd: here }),
    ...(there !== undefined && { targetEnd: there }),
  };
}

/** As `migrate` was surely not accepted, a source that stands in no migration has its guest. */
function decideStart({ source, target }: FailedStart): Verdict {
  const verdict = decideOwner(source, target);
  if (verdict.owner !== 'unknown' || source.kind !== 'answered') return verdict;
  // Somebody else may migrate it at the same time.
  const rests = ['none', 'failed', 'cancelled'].includes(stageOf(source.migrationStatus));
  return rests || source.runState.running
    ? { owner: 'source', guestRunning: source.runState.running, twoCopies: false }
    : verdict;
}

export interface EndedRun {
  readonly followed: Followed;
  readonly sides: { readonly source: Side; readonly target: Side };
  readonly notPutBack: readonly string[];
  readonly ranBefore: boolean;
  readonly maxBandwidth: bigint | undefined;
  readonly evidence?: OutcomeEvidence;
}

/** The truthful end of a run that QEMU had begun. */
export function outcomeOfRun(run: EndedRun): RunOutcome {
  const { followed, sides } = run;
  const labels = { source: sides.source.label, target: sides.target.label };
  const stayed =
    followed.guestStayed && (followed.end.kind === 'failed' || followed.end.kind === 'cancelled');
  const verdict = decideOwner(followed.source, followed.target, stayed);
  const kind = kindOf(followed, verdict);
  const { info } = sides.source;
  const figures =
    followed.end.kind === 'completed' || followed.end.kind === 'failed'
      ? {
          totalTimeMs: info.totalTimeMs,
          downtimeMs: info.downtimeMs,
          transferredBytes: info.transferredBytes,
        }
      : noFigures;
  const evidence = evidenceOfRun(run, verdict, labels);
  const cause = hasFailed(kind, followed) ? explainFailure(evidence) : undefined;
  return {
    ...figures,
    kind,
    owner: verdict.owner,
    guestRunning: verdict.guestRunning,
    sourceError: info.errorText,
    targetError: sides.target.info.errorText,
    headline: headlineOf(kind, verdict, labels, run),
    details: [
      ...(cause === undefined ? [] : [cause.what, cause.meaning]),
      ...('neverBegan' in followed.end ? [neverBeganText(labels)] : []),
      ...endSentences(evidence),
      ...silentSides(followed, labels),
      ...(cause?.quotes ?? []),
      ...run.notPutBack,
    ],
    nextStep: nextStepOf(kind, verdict, labels, followed, cause),
    ...(cause !== undefined && { causeId: cause.id, ...cureOf(cause) }),
  };
}

function neverBeganText({ source }: Labels): string {
  return `The connection to ${source} broke just then: "migrate" was lost on its way, and nothing was sent.`;
}

/** Something broke, other than by a cancel that was asked for or by our looking away. */
function hasFailed(kind: OutcomeKind, { end, cancelReason, target }: Followed): boolean {
  if (kind !== 'failed' && kind !== 'unknown') return false;
  if ('neverBegan' in end) return false;
  if (end.kind === 'completed') return target.kind === 'gone';
  // A channel that is cut on purpose makes both sides complain.
  const meant = end.kind === 'cancelled' || cancelReason === 'asked-for';
  const mayGoOn = end.kind === 'interrupted' && kind === 'unknown';
  return !meant && end.kind !== 'lost-sight' && !mayGoOn;
}

function evidenceOfRun(run: EndedRun, verdict: Verdict, labels: Labels): FailureEvidence {
  const { followed, sides, evidence = {} } = run;
  return {
    method: 'precopy',
    phase: 'transfer',
    ...evidence,
    labels,
    owner: verdict.owner,
    guestRunning: verdict.guestRunning,
    sourceError: sides.source.info.errorText,
    targetError: sides.target.info.errorText,
    ...endsOf(followed, evidence),
  };
}

function silentSides({ source, target }: Followed, labels: Labels): string[] {
  return [
    ...(source.kind === 'silent' ? [`${labels.source} does not answer.`] : []),
    ...(target.kind === 'silent' ? [`${labels.target} does not answer.`] : []),
  ];
}

function kindOf(followed: Followed, verdict: Verdict): OutcomeKind {
  if (verdict.owner === 'unknown') return 'unknown';
  // The guest runs on the target, but part of its memory has not come.
  if (followed.end.kind === 'interrupted' && verdict.owner !== 'nobody') return 'unknown';
  if (verdict.owner === 'target') {
    return followed.cancelCameTooLate ? 'too-late-to-cancel' : 'completed';
  }
  if (followed.cancelReason === undefined) {
    return followed.end.kind === 'cancelled' ? 'cancelled' : 'failed';
  }
  return followed.cancelReason === 'asked-for' ? 'cancelled' : 'failed';
}

function headlineOf(
  kind: OutcomeKind,
  verdict: Verdict,
  labels: Labels,
  { followed, sides }: EndedRun,
): string {
  const where = whereIsTheGuest(verdict, labels);
  switch (kind) {
    case 'completed': {
      const { downtimeMs } = sides.source.info;
      const pause =
        downtimeMs === undefined || followed.end.kind !== 'completed'
          ? ''
          : `, after a pause of ${formatDurationMs(downtimeMs)}`;
      return `${where.replace(/\.$/, '')}${pause}.`;
    }
    case 'too-late-to-cancel':
      return `Too late to cancel: ${lowerFirst(where)}`;
    case 'cancelled':
      return `Cancelled: ${lowerFirst(where)}`;
    case 'failed':
      return verdict.owner === 'nobody' ? where : `${where} The migration did not happen.`;
    case 'refused':
    case 'unknown':
      return followed.end.kind === 'interrupted'
        ? `${where} Part of its memory has not come: postcopy is interrupted.`
        : where;
  }
}

function lowerFirst(text: string): string {
  return text.replace(/^The /, 'the ');
}

/** One sentence that names the side and whether the guest moves. */
export function whereIsTheGuest(verdict: Verdict, { source, target }: Labels): string {
  if (verdict.twoCopies) {
    return `DANGER: the guest runs on both ${source} and ${target}.`;
  }
  const state = verdict.guestRunning === true ? 'runs' : 'is paused';
  // Methods with one machine have it on both sides.
  const isOne = source === target;
  switch (verdict.owner) {
    case 'source':
      return `The guest ${state} on ${source}.`;
    case 'target':
      return `The guest ${state} on ${target}.`;
    case 'nobody':
      return isOne
        ? `The guest is lost: ${source} does not have all of it.`
        : `The guest is lost: neither ${source} nor ${target} has all of it.`;
    case 'file':
      return `The guest of ${source} is saved to its file, and runs nowhere.`;
    case 'neither-yet':
      return isOne
        ? `The guest of ${source} stands still.`
        : `The guest stands still between ${source} and ${target}.`;
    case 'unknown':
      if (isOne) return `It is not known whether ${source} still has the guest.`;
      return `It is not known whether the guest is on ${source} or on ${target}.`;
  }
}

/** The catalogue knows one only where it knows the text. */
function cureOf(cause: FailureExplanation): Pick<RunOutcome, 'cure'> {
  return cause.id === 'unknown' ? {} : { cure: cause.nextStep };
}

function nextStepOf(
  kind: OutcomeKind,
  verdict: Verdict,
  { source, target }: Labels,
  followed: Followed,
  cause: FailureExplanation | undefined,
): string {
  const mend = cause && cureOf(cause).cure;
  const cure = mend === undefined ? '' : ` ${mend}`;
  if (verdict.twoCopies) {
    return `Stop one of them now ("stop" on ${target}), before both write to the same disk, then find out which one is right.`;
  }
  switch (kind) {
    case 'completed':
    case 'too-late-to-cancel': {
      const quit = `Quit ${source} soon, and never continue it: the guest lives on ${target} now.`;
      return verdict.guestRunning === true ? quit : `${quit} Continue ${target} when you like.`;
    }
    case 'cancelled':
    case 'failed': {
      if (verdict.owner === 'nobody') return `Start the guest anew from its disk.${cure}`;
      const targetGone = followed.target.kind === 'gone';
      const again = targetGone
        ? `Start another target with "-incoming defer" to try again.`
        : quitTarget(target);
      const safe = verdict.guestRunning === true ? again : `${again} Then continue ${source}.`;
      return `${safe}${cure}`;
    }
    case 'refused':
    case 'unknown':
      if (followed.end.kind === 'interrupted') {
        return `Quit neither side: each has a part of the guest's memory. Join them again ("migrate-recover" on ${target}, then "migrate" with "resume" on ${source}), and never continue ${source}.`;
      }
      if (followed.end.kind === 'completed' && followed.target.kind === 'gone') {
        return `${target} took the guest over and ended. ${source} holds the guest as it was at that moment: continue it only if ${target} cannot have run it, or start anew from the disk.`;
      }
      return (
        `Look at "query-status" of both. Continue neither until one is known not to run: ` +
        `${source} may run again only when the QEMU of ${target} is gone.`
      );
  }
}
