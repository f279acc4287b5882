import { explain } from '../../view/words';
import { formatBytes, formatDurationMs } from '../../settings/units';
import type { MigrationInfo } from '../migrationInfo';
import type { SideView } from '../ownership';
import type { RunOutcome } from '../types';
import { blankOutcome } from './common';
import { notePathOf } from './savedNote';

/** What the words of a save rest on. */
export interface SaveFacts {
  readonly label: string;
  readonly path: string;
  /** QEMU's last words. */
  readonly info: MigrationInfo;
  readonly source: SideView;
  readonly guestRan: boolean;
  readonly notPutBack: readonly string[];
}

/** The file is complete, and on disk. */
export function savedOutcome(
  facts: SaveFacts,
  saved: {
    readonly bytes: number;
    readonly tooLate: boolean;
    /** Why the note beside it could not be written, if so. */
    readonly noteProblem: string | undefined;
    readonly ignoreShared: boolean;
  },
): RunOutcome {
  const { label, path, info, source, guestRan, notPutBack } = facts;
  const { bytes, tooLate, noteProblem, ignoreShared } = saved;
  const start = tooLate ? `Too late to cancel: the guest of ${label}` : `The guest of ${label}`;
  const pause =
    info.downtimeMs === undefined
      ? ''
      : ` It was stopped ${formatDurationMs(info.downtimeMs)} before the end.`;
  const left =
    source.kind === 'gone'
      ? `The QEMU of ${label} has ended since.`
      : `${label} still holds a stopped copy of the guest.`;
  return {
    ...blankOutcome,
    kind: tooLate ? 'too-late-to-cancel' : 'completed',
    owner: 'file',
    guestRunning: false,
    totalTimeMs: info.totalTimeMs,
    downtimeMs: info.downtimeMs,
    transferredBytes: info.transferredBytes,
    headline: `${start} is saved in ${path} (${formatBytes(bytes)}), and runs nowhere now.`,
    details: [
      `${left}${pause}`,
      noteProblem === undefined
        ? `What a restore needs to know is in ${notePathOf(path)}; keep both files together, and the disks as they are.`
        : `The note that a restore would read could not be written: ${noteProblem}. Keep the disks as they are.`,
      ...(ignoreShared
        ? ['Memory that is shared with a file is not in it: keep that file, too, as it is.']
        : []),
      ...notPutBack,
    ],
    nextStep:
      (source.kind === 'gone'
        ? ''
        : `Quit ${label}, and never continue it while the file is of use. `) +
      `To restore: start a QEMU with the same options and "-incoming defer", and restore ${path} into it; the guest ` +
      (guestRan ? 'then runs.' : 'is paused then, as it was.'),
  };
}

/** The save did not happen, and the guest is where it was. */
export function notSavedOutcome(
  facts: SaveFacts,
  why: {
    readonly kind: 'failed' | 'cancelled';
    /** Of a start that failed; else QEMU's words tell. */
    readonly error?: unknown;
    /** What lies at the path now, as a sentence; absent: nothing of ours. */
    readonly leftover: string | undefined;
  },
): RunOutcome {
  const { label, path, info, source, notPutBack } = facts;
  const running = source.kind === 'answered' ? source.runState.running : undefined;
  const where =
    running === undefined
      ? `It is not known what the guest of ${label} does: its QEMU does not answer.`
      : `The guest ${running ? 'runs on' : 'is paused'} on ${label}.`;
  const leftover = why.leftover === undefined ? [] : [why.leftover];
  const base = {
    ...blankOutcome,
    owner: running === undefined ? ('unknown' as const) : ('source' as const),
    guestRunning: running,
  };
  if (why.kind === 'cancelled') {
    return {
      ...base,
      kind: running === undefined ? 'unknown' : 'cancelled',
      headline: `Cancelled: ${where.replace(/^The /, 'the ').replace(/^It /, 'it ')}`,
      details: [...leftover, ...notPutBack],
      nextStep: running === false ? `Continue ${label} when you like.` : 'It can be saved again.',
    };
  }
  const told = why.error === undefined ? undefined : explain(why.error);
  const causes =
    told === undefined
      ? info.errorText === undefined
        ? []
        : [`${label} says: ${info.errorText}`]
      : [told.headline, ...(told.detail === undefined ? [] : [told.detail])];
  const again =
    told?.nextStep ??
    `Look at the free space and the rights of the folder of ${path}, and try again.`;
  return {
    ...base,
    kind: running === undefined ? 'unknown' : 'failed',
    sourceError: info.errorText,
    headline: `${where} It was not saved.`,
    details: [...causes, ...leftover, ...notPutBack],
    nextStep: running === false ? `Continue ${label} when you like. ${again}` : again,
  };
}

/** QEMU ended before it said that the file is complete. */
export function lostWhileSavingOutcome({ label, path }: SaveFacts, begun: boolean): RunOutcome {
  return {
    ...blankOutcome,
    kind: 'failed',
    owner: 'nobody',
    headline: `The QEMU of ${label} has ended, and its guest with it. It was not saved.`,
    details: begun
      ? [
          `What was written so far is left in ${path}: QEMU did not say that it is complete, so it is most likely no guest.`,
        ]
      : [],
    nextStep: begun
      ? `Start the guest anew from its disk, and remove ${path}.`
      : 'Start the guest anew from its disk, if it is still needed.',
  };
}

/** QEMU completed the save, and somebody has continued the guest since. */
export function continuedSinceOutcome({ label, path, notPutBack }: SaveFacts): RunOutcome {
  return {
    ...blankOutcome,
    kind: 'failed',
    owner: 'source',
    guestRunning: true,
    headline: `The guest runs on ${label}: it was saved, and has been continued since.`,
    details: [
      `${path} is older than the guest and its disks now, and must not be restored.`,
      ...notPutBack,
    ],
    nextStep: `Remove ${path}, and save again when you like.`,
  };
}

/** QEMU said that all is written, but the disk did not confirm it. */
export function notOnDiskOutcome({ label, path, notPutBack }: SaveFacts, why: string): RunOutcome {
  return {
    ...blankOutcome,
    kind: 'failed',
    owner: 'source',
    guestRunning: false,
    headline: `The guest is stopped on ${label}: QEMU saved it in ${path}, but the disk did not confirm that.`,
    details: [why, ...notPutBack],
    nextStep: `Do not quit ${label}. Remove ${path}, continue the guest, and save it to another disk.`,
  };
}

/** Nobody watches any more, and the end is not known. */
export function lostSightOfSaveOutcome({ label, path }: SaveFacts): RunOutcome {
  return {
    ...blankOutcome,
    kind: 'unknown',
    owner: 'unknown',
    headline: `It is not known whether the guest of ${label} is saved in ${path}.`,
    details: [],
    nextStep: `Look at "query-migrate" of ${label}: with "completed" the file is the guest, and ${label} must not be continued.`,
  };
}
