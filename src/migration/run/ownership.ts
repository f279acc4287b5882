import { lstat } from 'node:fs/promises';
import type { RunState } from '../../vm/types';
import type { SideName } from './journal/entries';
import { stageOf } from './migrationInfo';
import type { GuestOwner } from './types';

/** What one side was last proven to be. */
export type SideView =
  /** It answered just now. */
  | {
      readonly kind: 'answered';
      readonly runState: RunState;
      /** QAPI `MigrationStatus` */
      readonly migrationStatus: string | undefined;
    }
  /** Its process has ended: it runs nothing. */
  | { readonly kind: 'gone' }
  /** It does not answer, and its end is not proven. */
  | { readonly kind: 'silent' };

export interface Verdict {
  readonly owner: GuestOwner;
  /** `undefined` when the owner is unknown. */
  readonly guestRunning: boolean | undefined;
  /** Both sides answered that they run the guest: the worst that can happen. */
  readonly twoCopies: boolean;
}

const unknown: Verdict = { owner: 'unknown', guestRunning: undefined, twoCopies: false };

/** Run states in which a guest is there, complete, and could be continued on its own. */
const holdsGuest = new Set([
  'running',
  'paused',
  'debug',
  'prelaunch',
  'suspended',
  'shutdown',
  'guest-panicked',
  'io-error',
  'watchdog',
  'save-vm',
  'restore-vm',
]);

/**
 * Who may run the guest, from what both sides say after a run. Pure: the same views give the same
 * verdict, and whatever is not proven is `unknown`.
 *
 * @param guestStayed the target is proven not to run the guest, whether it answers or not
 */
export function decideOwner(source: SideView, target: SideView, guestStayed = false): Verdict {
  if (isTornApart(source, target)) return ownedBy('nobody', undefined);
  if (guestStayed && source.kind === 'answered' && !isRunning(target)) {
    return ownedBy('source', source.runState.running);
  }
  if (source.kind === 'answered' && target.kind === 'answered') {
    return decideFromBoth(source, target);
  }
  if (target.kind === 'answered') {
    if (target.runState.running) {
      return source.kind === 'gone' ? ownedBy('target', true) : unknown;
    }
    if (source.kind !== 'gone') return unknown;
    // The source is gone: either the target got everything, or nobody has the guest.
    if (isLoaded(target)) return ownedBy('target', false);
    return stageOf(target.migrationStatus) === 'failed' ? ownedBy('nobody', undefined) : unknown;
  }
  if (source.kind === 'answered') {
    if (source.runState.running) {
      return target.kind === 'gone' ? ownedBy('source', true) : unknown;
    }
    // What the target did with the guest before it ended nobody knows.
    if (wasHandedOver(source)) return unknown;
    return target.kind === 'gone' ? ownedBy('source', false) : unknown;
  }
  return source.kind === 'gone' && target.kind === 'gone' ? ownedBy('nobody', undefined) : unknown;
}

/** Postcopy of which one side is gone, and with it the pages that only that side had. */
function isTornApart(source: SideView, target: SideView): boolean {
  if (target.kind === 'gone')
    return source.kind === 'answered' && isPostcopy(source.migrationStatus);
  if (source.kind !== 'gone' || target.kind !== 'answered') return false;
  return target.migrationStatus === 'postcopy-paused';
}

export type Answered = Extract<SideView, { kind: 'answered' }>;

function decideFromBoth(source: Answered, target: Answered): Verdict {
  if (source.runState.running && target.runState.running) {
    return { owner: 'unknown', guestRunning: true, twoCopies: true };
  }
  if (target.runState.running) return ownedBy('target', true);
  if (source.runState.running) return ownedBy('source', true);
  if (wasHandedOver(source)) return isLoaded(target) ? ownedBy('target', false) : unknown;
  if (isLoaded(target)) return unknown;
  return holdsGuest.has(source.runState.status) ? ownedBy('source', false) : unknown;
}

function wasHandedOver({ runState, migrationStatus }: Answered): boolean {
  return runState.status === 'postmigrate' && stageOf(migrationStatus) === 'completed';
}

/** It answered that its guest runs. */
export function isRunning(side: SideView): boolean {
  return side.kind === 'answered' && side.runState.running;
}

function isLoaded(side: Answered): boolean {
  return holdsGuest.has(side.runState.status) && stageOf(side.migrationStatus) === 'completed';
}

function ownedBy(owner: GuestOwner, guestRunning: boolean | undefined): Verdict {
  return { owner, guestRunning, twoCopies: false };
}

/** The file of a saved guest is not there any more; made by looking alone. */
export class FileGone {
  /** Makes the type nominal. */
  protected readonly isGone = true;
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async look(path: string): Promise<FileGone | undefined> {
    try {
      await lstat(path);
      return undefined;
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      return isMissing ? new FileGone(path) : undefined;
    }
  }
}

/**
 * What allows one command that starts, stops or ends a guest, or may do so. Only made here, from what
 * both sides showed; without one the gate sends nothing.
 */
export class Proof {
  /** Makes the type nominal: nothing else passes for a proof. */
  protected readonly isProof = true;
  readonly side: SideName;
  /** For the log: what was proven. */
  readonly why: string;

  private constructor(side: SideName, why: string) {
    this.side = side;
    this.why = why;
  }

  /**
   * For `cont` on a source that a failed migration left standing: the target runs nothing and never
   * will. A target that merely stands still is no proof, for anybody may continue it.
   */
  static continueSource(source: SideView, target: SideView): Proof | undefined {
    if (source.kind !== 'answered' || source.runState.running) return undefined;
    return mayContinueSource(target)
      ? new Proof('source', "the target's process is gone")
      : undefined;
  }

  /** For `cont` on a source that we paused for the moment of a cancel, and that says so. */
  static continueHeldSource(source: SideView): Proof | undefined {
    const isOurs = source.kind === 'answered' && source.runState.status === 'paused';
    return isOurs
      ? new Proof('source', 'we paused it; whatever the target got is a paused guest')
      : undefined;
  }

  /**
   * For `migrate_cancel` of a save: there is no target that could run the guest, and QEMU itself
   * ignores it once the file is complete.
   */
  static cancelSave(source: SideView): Proof | undefined {
    if (source.kind !== 'answered') return undefined;
    const stage = stageOf(source.migrationStatus);
    return stage === 'moving' || stage === 'paused-before-switchover'
      ? new Proof('source', 'it saves to a file, and no target can start')
      : undefined;
  }

  /**
   * For `cont` on a source that gave its guest to a file: QEMU says that the save did not complete, or
   * the complete file is proven to be gone. Else there would be two copies, one of them in the file.
   */
  static continueSaved(source: SideView, gone: FileGone | undefined): Proof | undefined {
    if (source.kind !== 'answered' || source.runState.status !== 'postmigrate') return undefined;
    const stage = stageOf(source.migrationStatus);
    if (stage === 'failed' || stage === 'cancelled') {
      return new Proof('source', 'QEMU says that the file did not become a guest');
    }
    return gone === undefined ? undefined : new Proof('source', `${gone.path} is gone`);
  }

  /** For `cont` on a target that has all of the guest: see `mayContinueTarget`. */
  static continueTarget(source: SideView, target: SideView): Proof | undefined {
    return mayContinueTarget(source, target)
      ? new Proof('target', 'it has all of the guest, and the source gave it away')
      : undefined;
  }

  /**
   * For `quit` to a source whose guest went over: QEMU says that it gave all of it away, and the target
   * that it runs it, or has all of it.
   */
  static quitSource(source: SideView, target: SideView): Proof | undefined {
    if (source.kind !== 'answered' || source.runState.running || !wasHandedOver(source)) {
      return undefined;
    }
    return isRunning(target) || mayContinueTarget(source, target)
      ? new Proof('source', 'it gave the guest away, and the target has it')
      : undefined;
  }

  /**
   * For `quit` to a target of ours that did not get the guest: it waits or has failed, and the source
   * answers that it has the guest.
   */
  static quitTarget(source: SideView, target: SideView): Proof | undefined {
    if (target.kind !== 'answered' || target.runState.running || isLoaded(target)) return undefined;
    return decideOwner(source, target).owner === 'source'
      ? new Proof('target', 'the source has the guest, and the target has none')
      : undefined;
  }

  /** For `stop` on a waiting target: QEMU then only notes that it must not start by itself. */
  static holdTarget(target: SideView): Proof | undefined {
    const waits = target.kind === 'answered' && target.runState.status === 'inmigrate';
    return waits ? new Proof('target', 'it waits, and is kept from starting by itself') : undefined;
  }

  /**
   * For `stop` on the target of a run that the source ended by taking the guest back: whatever the
   * target has, and whenever it comes to it, it must not run.
   */
  static stopTarget(source: SideView): Proof | undefined {
    if (source.kind !== 'answered' || !source.runState.running) return undefined;
    const tookBack = ['ending', 'failed', 'cancelled'].includes(stageOf(source.migrationStatus));
    return tookBack
      ? new Proof('target', 'the source has taken the guest back and runs it')
      : undefined;
  }

  /** For `stop` on a source whose target cannot be asked, while nothing was handed over. */
  static holdSource(source: SideView): Proof | undefined {
    return source.kind === 'answered' && canBeCancelled(source)
      ? new Proof('source', 'the guest is paused for the moment of the cancel')
      : undefined;
  }

  /**
   * For `migrate_cancel`: the source has not begun to hand over, and the target was kept from
   * starting by itself or is gone.
   */
  static cancel(source: SideView, isTargetHeld: boolean): Proof | undefined {
    if (source.kind !== 'answered' || !canBeCancelled(source) || !isTargetHeld) return undefined;
    return new Proof('source', 'nothing was handed over, and the target cannot start by itself');
  }

  /**
   * For `yank`, which cuts the channel: as for a cancel, but also when the source does not answer any
   * more, if it was last seen before the switchover; and always when the target's process is gone.
   */
  static yank(
    lastAnswer: Answered | undefined,
    target: SideView,
    isTargetHeld: boolean,
  ): Proof | undefined {
    if (target.kind === 'gone') return new Proof('source', "the target's process is gone");
    if (lastAnswer === undefined || !isTargetHeld) return undefined;
    const ending = stageOf(lastAnswer.migrationStatus) === 'ending';
    return canBeCancelled(lastAnswer) || ending
      ? new Proof('source', 'nothing was handed over, and the target cannot start by itself')
      : undefined;
  }
}

/** The target runs nothing and never will. */
export function mayContinueSource(target: SideView): boolean {
  return target.kind === 'gone';
}

/**
 * The proof that `cont` on the target needs: the source gave the guest away (or is gone), and the
 * target holds all of it.
 */
export function mayContinueTarget(source: SideView, target: SideView): boolean {
  if (target.kind !== 'answered' || !isLoaded(target)) return false;
  if (source.kind === 'gone') return true;
  return source.kind === 'answered' && !source.runState.running && wasHandedOver(source);
}

/** Whether a `migrate_cancel` now would find the guest in the source's hands. */
export function canBeCancelled(side: Answered): boolean {
  const stage = stageOf(side.migrationStatus);
  return (stage === 'moving' || stage === 'paused-before-switchover') && !isHandingOver(side);
}

/** Whether the target may have all of the guest by now. */
export function isHandingOver({ runState, migrationStatus }: Answered): boolean {
  switch (stageOf(migrationStatus)) {
    case 'point-of-no-return':
      return true;
    case 'moving':
      // QEMU 7.2 has no status of its own for the last part; there only the run state tells. And the
      // run state may be younger than the status: then the guest has gone over between the two.
      return runState.status === 'finish-migrate' || runState.status === 'postmigrate';
    case 'paused-before-switchover':
      return runState.status === 'postmigrate';
    case 'none':
    case 'ending':
    case 'completed':
    case 'failed':
    case 'cancelled':
      return false;
  }
}

/** Whether the guest's memory is spread over both sides: neither has all of it. */
export function isPostcopy(status: string | undefined): boolean {
  return status?.startsWith('postcopy-') ?? false;
}
