import type { Arrival } from './arrival';
import type { Gate } from './gate';
import type { EarlierHold } from './hold';
import type { Recorder } from './journal/recorder';
import type { SideView } from './ownership';
import type { Patience } from './patience';
import type { PostcopyRecovery } from './postcopyRecovery';
import type { FollowEnd } from './settled';
import type { RunProgress } from './types';

export type CancelReason = 'asked-for' | 'target-gone';

export interface Followed {
  readonly end: FollowEnd;
  readonly source: SideView;
  readonly target: SideView;
  /** Cancel was asked for at a moment when it could not be done safely any more. */
  readonly cancelCameTooLate: boolean;
  /** Why the source was told to cancel, if it was. QEMU may call the end of that `failed` as well. */
  readonly cancelReason: CancelReason | undefined;
  /**
   * The target cannot run the guest, answering or not: the source was watched all the time and never
   * stopped it, or the target was held before the cancel.
   */
  readonly guestStayed: boolean;
  /** Why the target could not be made to listen, where it comes up only during the run. */
  readonly arrivalError?: unknown;
}

export interface FollowOptions {
  readonly gate: Gate;
  /** Aborted when the user wants to cancel. */
  readonly cancel: AbortSignal;
  /** Aborted when nobody is to watch any more; both QEMUs are left as they are. */
  readonly detach: AbortSignal;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
  readonly recorder?: Recorder;
  /** See `RunParts.beforeSwitchover`. */
  readonly beforeSwitchover?: (() => Promise<void>) | undefined;
  /** What an earlier driver did, for a run that is taken up in the middle. */
  readonly earlier?: EarlierCourse;
  /** Stand still before the switchover until told to go on. */
  readonly holdSwitchover?: boolean;
  /**
   * Keep the target from starting by itself over the switchover, where the channel can break while
   * both sides live on; it is continued once the source has given the guest away.
   */
  readonly guardSwitchover?: boolean;
  /** Start postcopy by itself after that pass over memory. */
  readonly postcopyAfterPass?: number | undefined;
  /** For a target that comes up only after the source began. */
  readonly arrival?: Arrival | undefined;
  readonly recovery?: PostcopyRecovery | undefined;
  readonly patience?: Patience | undefined;
}

/** As far as a run had come when its driver ended. */
export interface EarlierCourse {
  readonly hold: EarlierHold;
  /** `migrate_cancel` may have been sent. */
  readonly cancelReason: CancelReason | undefined;
  /** Before that the target was kept from starting by itself. */
  readonly heldBeforeCancel: boolean;
}
