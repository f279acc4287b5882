import { explain } from '../view/words';
import type { MachineHandle } from '../../vm/types';
import { formatDurationMs } from '../settings/units';
import { RunRefusedError } from './checks';
import type { Followed } from './follow';
import type { Side } from './look';
import { stageOf } from './migrationInfo';
import { decideOwner, type SideView, type Verdict } from './ownership';
import type { OutcomeKind, RunOutcome } from './types';

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

/** A check or a first question failed; nothing was changed. */
export function outcomeOfRefusal(
  error: unknown,
  { source }: { readonly source: MachineHandle; readonly target: MachineHandle },
): RunOutcome {
  const { facts, label, state } = source.snapshot;
  // What QEMU said some time ago proves nothing about now.
  const isFresh = state.kind === 'ready' && facts?.failures.status === undefined;
  const running = isFresh ? facts?.runState.running : undefined;
  const base = {
    ...noFigures,
    kind: 'refused' as const,
    owner: running === true ? ('source' as const) : ('unknown' as const),
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
  return {
    ...base,
    kind: verdict.owner === 'unknown' ? 'unknown' : 'failed',
    headline: `${where} The migration did not begin.`,
    details: [headline, ...(detail === undefined ? [] : [detail]), ...start.notPutBack],
    nextStep: `${nextStep ?? ''}${used}`.trim() || 'Mend the cause and try again.',
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
  return {
    ...figures,
    kind,
    owner: verdict.owner,
    guestRunning: verdict.guestRunning,
    sourceError: info.errorText,
    targetError: sides.target.info.errorText,
    headline: headlineOf(kind, verdict, labels, run),
    details: [...detailsOf(run, labels), ...run.notPutBack],
    nextStep: nextStepOf(kind, verdict, labels, followed),
  };
}

function kindOf(followed: Followed, verdict: Verdict): OutcomeKind {
  if (verdict.owner === 'unknown') return 'unknown';
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
      return where;
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
  switch (verdict.owner) {
    case 'source':
      return `The guest ${state} on ${source}.`;
    case 'target':
      return `The guest ${state} on ${target}.`;
    case 'nobody':
      return `The guest is lost: neither ${source} nor ${target} has all of it.`;
    case 'file':
      return `The guest is saved, and runs nowhere.`;
    case 'neither-yet':
    case 'unknown':
      return `It is not known whether the guest is on ${source} or on ${target}.`;
  }
}

function detailsOf({ followed, sides }: EndedRun, labels: Labels): string[] {
  const details: string[] = [];
  const { errorText: sourceText } = sides.source.info;
  const { errorText: targetText } = sides.target.info;
  // A channel that is cut on purpose makes both sides complain.
  const meant = followed.end.kind === 'cancelled' || followed.cancelReason === 'asked-for';
  const unexpected = followed.end.kind !== 'completed' && !meant;
  if (sourceText !== undefined && unexpected) details.push(`${labels.source} says: ${sourceText}`);
  if (targetText !== undefined && unexpected) {
    details.push(`${labels.target} says: ${targetText}`);
  }
  if (followed.source.kind === 'gone') details.push(`The QEMU of ${labels.source} has ended.`);
  if (followed.target.kind === 'gone') {
    details.push(
      `The QEMU of ${labels.target} has ended; why is told on its standard error, if anywhere.`,
    );
  }
  if (followed.source.kind === 'silent') details.push(`${labels.source} does not answer.`);
  if (followed.target.kind === 'silent') details.push(`${labels.target} does not answer.`);
  return details;
}

function nextStepOf(
  kind: OutcomeKind,
  verdict: Verdict,
  { source, target }: Labels,
  followed: Followed,
): string {
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
      if (verdict.owner === 'nobody') return `Start the guest anew from its disk.`;
      const targetGone = followed.target.kind === 'gone';
      const again = targetGone
        ? 'Start another target with "-incoming defer" to try again.'
        : quitTarget(target);
      return verdict.guestRunning === true ? again : `${again} Then continue ${source}.`;
    }
    case 'refused':
    case 'unknown':
      if (followed.end.kind === 'completed' && followed.target.kind === 'gone') {
        return `${target} took the guest over and ended. ${source} holds the guest as it was at that moment: continue it only if ${target} cannot have run it, or start anew from the disk.`;
      }
      return (
        `Look at "query-status" of both. Continue neither until one is known not to run: ` +
        `${source} may run again only when the QEMU of ${target} is gone.`
      );
  }
}
