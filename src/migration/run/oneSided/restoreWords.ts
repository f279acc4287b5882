import { explain } from '../../view/words';
import type { MigrationInfo } from '../migrationInfo';
import type { RunOutcome } from '../types';
import { blankOutcome } from './common';

/** What the words of a restore rest on. */
export interface RestoreFacts {
  readonly label: string;
  readonly path: string;
  /** The target's last words. */
  readonly info: MigrationInfo;
  /** What a person should know besides, as sentences. */
  readonly remarks: readonly string[];
}

const another = (path: string): string =>
  `Start another with the same options and "-incoming defer", and restore ${path} into that.`;

export function restoredOutcome(
  { label, path, info, remarks }: RestoreFacts,
  running: boolean,
  askedToCancel: boolean,
): RunOutcome {
  const start = askedToCancel ? 'A restore cannot be cancelled: the guest' : 'The guest';
  return {
    ...blankOutcome,
    kind: askedToCancel ? 'too-late-to-cancel' : 'completed',
    owner: 'target',
    guestRunning: running,
    totalTimeMs: info.totalTimeMs,
    headline: `${start} of ${path} ${running ? 'runs' : 'is paused'} on ${label}.`,
    details: remarks,
    nextStep:
      (running ? '' : `Continue ${label} when you like. `) +
      `From now on ${path} is older than the guest and its disks: do not restore it again.`,
  };
}

/** The guest is where it was: in the file. */
export function notRestoredOutcome(
  { label, path, info, remarks }: RestoreFacts,
  why: {
    readonly kind: 'failed' | 'cancelled';
    /** Of a start that failed; else QEMU's words tell. */
    readonly error?: unknown;
    /** QEMU was told to load, and serves no second attempt. */
    readonly used: boolean;
    readonly targetGone: boolean;
  },
): RunOutcome {
  const told = why.error === undefined ? undefined : explain(why.error);
  const causes =
    told !== undefined
      ? [told.headline, ...(told.detail === undefined ? [] : [told.detail])]
      : why.kind === 'failed' && info.errorText !== undefined
        ? [`${label} says: ${info.errorText}`]
        : [];
  const gone = why.targetGone
    ? [`The QEMU of ${label} has ended; why is told on its standard error, if anywhere.`]
    : [];
  const start = why.kind === 'cancelled' ? 'Cancelled before it began: the' : 'The';
  const end = why.kind === 'cancelled' ? '' : ` It was not restored into ${label}.`;
  const next = why.targetGone
    ? another(path)
    : why.used
      ? `Quit ${label}: a target serves one attempt. ${another(path)}`
      : (told?.nextStep ?? `${label} can be used again.`);
  return {
    ...blankOutcome,
    kind: why.kind,
    owner: 'file',
    guestRunning: false,
    targetError: info.errorText,
    headline: `${start} guest is still in ${path}, which is untouched, and runs nowhere.${end}`,
    details: [...causes, ...gone, ...remarks],
    nextStep: next,
  };
}

/** QEMU had loaded all of the guest, and has ended since. */
export function endedSinceOutcome({ label, path, remarks }: RestoreFacts): RunOutcome {
  return {
    ...blankOutcome,
    kind: 'failed',
    owner: 'nobody',
    headline: `The guest of ${path} was restored into ${label}, whose QEMU has ended since.`,
    details: [
      `The guest may have run there, and its disks with it: ${path} may not fit them any more.`,
      ...remarks,
    ],
    nextStep: 'Start the guest anew from its disk.',
  };
}

export function lostSightOfRestoreOutcome({ label, path, remarks }: RestoreFacts): RunOutcome {
  return {
    ...blankOutcome,
    kind: 'unknown',
    owner: 'unknown',
    headline: `It is not known whether the guest of ${path} is restored into ${label}.`,
    details: remarks,
    nextStep: `Look at "query-status" of ${label}. Do not restore ${path} elsewhere before ${label} is known not to run.`,
  };
}
