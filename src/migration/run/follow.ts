import { QmpCommandError } from '../../qmp/errors';
import type { Disposable } from '../../qmp/emitter';
import { Hold, type EarlierHold } from './hold';
import { noRecorder, type Recorder } from './journal/recorder';
import type { Side } from './look';
import { stageOf, type MigrationInfo } from './migrationInfo';
import {
  canBeCancelled,
  isHandingOver,
  isPostcopy,
  type Answered,
  type SideView,
} from './ownership';
import type { RunPhase, RunProgress } from './types';

/** How often both sides are asked while nothing is heard of them. */
const intervalMs = 200;
/** How long the target may take to settle after the source said that all is done. */
const settleMs = 15_000;
/** How long nobody may answer before we say that we cannot find out. */
const silenceMs = 60_000;

/** How the source's side of the migration ended. */
export type FollowEnd =
  | { readonly kind: 'completed' | 'failed' | 'cancelled' }
  /** The source's process ended before it told. */
  | { readonly kind: 'source-gone' }
  /** Nobody answered for a minute, or somebody told us to stop watching. */
  | { readonly kind: 'lost-sight' };

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
}

export interface FollowOptions {
  /** Aborted when the user wants to cancel. */
  readonly cancel: AbortSignal;
  /** Aborted when nobody is to watch any more; both QEMUs are left as they are. */
  readonly detach: AbortSignal;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
  readonly recorder?: Recorder;
  /** What an earlier driver did, for a run that is taken up in the middle. */
  readonly earlier?: EarlierCourse;
}

/** As far as a run had come when its driver ended. */
export interface EarlierCourse {
  readonly hold: EarlierHold;
  /** `migrate_cancel` may have been sent. */
  readonly cancelReason: CancelReason | undefined;
  /** Before that the target was kept from starting by itself. */
  readonly heldBeforeCancel: boolean;
}

/**
 * Follows one migration from the accepted `migrate` to its end on both sides, and carries out a
 * cancel in the one way that can never start two copies:
 *
 * 1. The source must not be past the point of no return (`device` and later).
 * 2. The target is kept from starting by itself, see {@link Hold}.
 * 3. Only when that is confirmed, and the source is still before that point, it gets `migrate_cancel`.
 * 4. What was held is continued in the end, on proof: the target if the source completed nevertheless.
 */
export class Follower {
  private readonly source: Side;
  private readonly target: Side;
  private readonly options: FollowOptions;
  private readonly hold: Hold;
  private readonly recorder: Recorder;
  private cancelReason: CancelReason | undefined;
  private tooLate = false;
  private guestStayed: boolean;
  private readonly witnesses: readonly Disposable[];

  /** Begins to watch the source; to be made before `migrate` is sent. */
  constructor(source: Side, target: Side, options: FollowOptions) {
    this.source = source;
    this.target = target;
    this.options = options;
    const { earlier, recorder = noRecorder, log } = options;
    this.recorder = recorder;
    this.hold = new Hold(source, target, { log, recorder }, earlier?.hold);
    this.cancelReason = earlier?.cancelReason;
    const { machine } = source;
    this.guestStayed =
      earlier === undefined
        ? // A guest that stands still gives no sign when it leaves.
          (machine.snapshot.facts?.runState.running ?? false)
        : // What happened while nobody listened is not known.
          earlier.heldBeforeCancel;
    this.witnesses = [
      machine.onEvent(({ name, data }) => {
        const status = data['status'];
        const left =
          name === 'MIGRATION' && hasLeft(typeof status === 'string' ? status : undefined);
        if ((name === 'STOP' && !this.hold.pausesSource) || left) this.guestStayed = false;
      }),
      machine.onDidChange(() => {
        // What happened while nobody listened is not known.
        if (machine.snapshot.state.kind !== 'ready') this.guestStayed = false;
      }),
    ];
  }

  /** Ends the watching; `follow` does so itself. */
  dispose(): void {
    for (const witness of this.witnesses) witness.dispose();
  }

  async follow(): Promise<Followed> {
    const asked = (): void => this.recorder.jot({ kind: 'cancel-asked' });
    if (this.options.cancel.aborted) asked();
    else this.options.cancel.addEventListener('abort', asked, { once: true });
    const end = await this.untilSourceEnds();
    if (end.kind !== 'lost-sight') this.options.report({ phase: 'settle' });
    const views = await this.untilSettled(end);
    this.dispose();
    return {
      end,
      ...views,
      // Or it was asked for while the source did not answer, or in its last moment.
      cancelCameTooLate: this.tooLate || (end.kind === 'completed' && this.options.cancel.aborted),
      cancelReason: this.cancelReason,
      guestStayed: this.guestStayed,
    };
  }

  private async untilSourceEnds(): Promise<FollowEnd> {
    let lastAnswer = Date.now();
    for (;;) {
      if (this.options.detach.aborted) return { kind: 'lost-sight' };
      const source = await this.source.look();
      if (source.kind === 'gone') return { kind: 'source-gone' };
      if (source.kind === 'silent') {
        this.options.report({ note: `${this.source.label} does not answer.` });
        if (Date.now() - lastAnswer > silenceMs) return { kind: 'lost-sight' };
      } else {
        lastAnswer = Date.now();
        const end = await this.endOf(source);
        if (end !== undefined) return end;
        this.hold.observe(source);
        this.reportProgress(source, this.source.info);
        if (this.options.cancel.aborted) await this.tryCancel(source);
        else if (stageOf(source.migrationStatus) === 'paused-before-switchover') {
          await this.decideSwitchover();
        }
      }
      await this.pause();
    }
  }

  /** The end, if the source's answer is one. */
  private async endOf({ migrationStatus }: Answered): Promise<FollowEnd | undefined> {
    const stage = stageOf(migrationStatus);
    if (stage === 'completed' || stage === 'failed' || stage === 'cancelled') {
      return { kind: stage };
    }
    if (stage === 'none') {
      // The reply of `migrate` was lost, and so was the command: the target got nothing.
      this.guestStayed = true;
      return { kind: 'failed' };
    }
    // Interrupted postcopy waits for a recovery, for ever: without a target there is none.
    const lost = isPostcopy(migrationStatus) && (await this.target.look()).kind === 'gone';
    return lost ? { kind: 'failed' } : undefined;
  }

  private reportProgress(source: Answered, info: MigrationInfo): void {
    this.options.report({
      ...progressOf(info),
      phase: this.phaseOf(source),
      note: this.noteOf(info),
    });
  }

  private phaseOf(source: Answered): RunPhase {
    if (this.cancelReason !== undefined) return 'cancel';
    const stage = stageOf(source.migrationStatus);
    const switching = stage === 'paused-before-switchover' || isHandingOver(source);
    return switching ? 'switch-over' : 'transfer';
  }

  private noteOf(info: MigrationInfo): string | undefined {
    if (this.tooLate) {
      return 'Too late to cancel: the guest is being handed over. Waiting for the target.';
    }
    if (info.status === 'postcopy-paused') {
      return 'Postcopy is interrupted and waits for "migrate-recover" on the target.';
    }
    return stageOf(info.status) === 'ending' ? 'The source takes the guest back.' : undefined;
  }

  /** `pause-before-switchover` was on: here nothing is lost yet, whichever way it goes. */
  private async decideSwitchover(): Promise<void> {
    const target = await this.target.look();
    if (target.kind === 'gone') {
      this.options.log('the target is gone before the switchover');
      await this.recorder.record({ kind: 'cancel', reason: 'target-gone' });
      await this.sendCancel('target-gone');
    } else await this.send('migrate-continue', { state: 'pre-switchover' });
  }

  /** One attempt; made again as long as the source does not show that it took the cancel. */
  private async tryCancel(seen: Answered): Promise<void> {
    if (isHandingOver(seen)) this.tooLate = true;
    if (!canBeCancelled(seen)) return;
    const held = await this.hold.take();
    if (held === 'too-late') this.tooLate = true;
    if (held !== 'held') return;
    // Before the last look, for the disk may take its time.
    await this.recorder.record({ kind: 'cancel', reason: 'asked-for' });
    const source = await this.source.look();
    if (source.kind !== 'answered') return;
    if (isHandingOver(source)) this.tooLate = true;
    if (!canBeCancelled(source)) return;
    this.tooLate = false;
    // Should the source hand over in this very moment, its events take this back.
    this.guestStayed = true;
    await this.sendCancel('asked-for');
  }

  private async sendCancel(reason: CancelReason): Promise<void> {
    this.cancelReason = reason;
    this.options.report({ phase: 'cancel' });
    await this.send('migrate_cancel', {});
  }

  private async send(command: string, args: Record<string, string>): Promise<void> {
    try {
      await this.source.machine.connection().execute(command, args, { timeoutMs: 5000 });
    } catch (error) {
      // What QEMU made of it shows in its status.
      const text = error instanceof QmpCommandError ? error.desc : String(error);
      this.options.log(`${command}: ${text}`);
    }
  }

  /** Waits until both sides say something final, or until waiting is of no use. */
  private async untilSettled(end: FollowEnd): Promise<Pick<Followed, 'source' | 'target'>> {
    // Whoever holds a side has to wait for the moment when it may be continued.
    const deadline = Date.now() + (this.hold.isTaken ? silenceMs : settleMs);
    for (;;) {
      const [source, target] = await Promise.all([this.source.look(), this.target.look()]);
      if (!(await this.hold.release(source, target))) {
        if (isSettled(end, source, target, this.guestStayed)) return { source, target };
        if (Date.now() > deadline || this.options.detach.aborted) return { source, target };
      }
      await this.pause(50);
    }
  }

  /** Until something is heard of either side, or for a while. */
  private pause(ms = intervalMs): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        for (const listener of listening) listener.dispose();
        this.options.cancel.removeEventListener('abort', done);
        this.options.detach.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      const listening = [this.source, this.target].map(({ machine }) =>
        machine.onEvent(({ name }) => {
          if (name === 'MIGRATION') done();
        }),
      );
      if (!this.options.cancel.aborted) this.options.cancel.addEventListener('abort', done);
      this.options.detach.addEventListener('abort', done);
    });
  }
}

function hasLeft(status: string | undefined): boolean {
  const stage = stageOf(status);
  return stage === 'point-of-no-return' || stage === 'completed';
}

function isSettled(
  { kind }: FollowEnd,
  source: SideView,
  target: SideView,
  guestStayed: boolean,
): boolean {
  if (kind === 'lost-sight') return true;
  if (kind === 'completed') {
    // QEMU says "completed" a moment before the source has its last run state.
    if (source.kind === 'answered' && !isSteady(source)) return false;
    return target.kind === 'gone' || (isAtRest(target) && !isWaiting(target));
  }
  if (source.kind === 'gone') return isAtRest(target);
  if (source.kind !== 'answered') return false;
  if (isPostcopy(source.migrationStatus)) return target.kind === 'gone';
  // A guest that left may still start on the target.
  return isSteady(source) && (guestStayed || isAtRest(target));
}

/** The target's side of the migration has come to an end, of whatever kind. */
function isAtRest(target: SideView): boolean {
  if (target.kind !== 'answered') return target.kind === 'gone';
  const { migrationStatus } = target;
  return (
    ['completed', 'failed'].includes(stageOf(migrationStatus)) ||
    migrationStatus === 'postcopy-paused'
  );
}

function isWaiting(target: SideView): boolean {
  return target.kind === 'answered' && target.runState.status === 'inmigrate';
}

/** The source is in none of the states that QEMU itself leaves within moments. */
function isSteady({ runState }: Answered): boolean {
  return !['finish-migrate', 'colo', 'unknown'].includes(runState.status);
}

/** The figures of one answer of `query-migrate`. */
export function progressOf(info: MigrationInfo): Partial<RunProgress> {
  const { totalBytes, remainingBytes } = info;
  const known = totalBytes !== undefined && remainingBytes !== undefined && totalBytes > 0;
  return {
    status: info.status,
    fraction: known ? Math.max(0, Math.min(1, 1 - remainingBytes / totalBytes)) : undefined,
    pass: info.pass,
    bytesPerSecond: info.bytesPerSecond,
    remainingBytes,
    transferredBytes: info.transferredBytes,
    expectedDowntimeMs: info.expectedDowntimeMs,
  };
}
