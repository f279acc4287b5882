import { QmpCommandError } from '../../qmp/errors';
import type { Disposable } from '../../qmp/emitter';
import { isOn } from './checks/projected';
import type { CancelReason, Followed, FollowOptions } from './followTypes';
import { Hold } from './hold';
import { noRecorder, type Recorder } from './journal/recorder';
import type { Side } from './look';
import { stageOf, type MigrationInfo } from './migrationInfo';
import {
  canBeCancelled,
  isHandingOver,
  isPostcopy,
  Proof,
  type Answered,
  type SideView,
} from './ownership';
import { ProgressFigures } from './progressFigures';
import { doesNotAnswer } from './progressText';
import { patience as usualPatience, type Patience } from './patience';
import { isSettled, type FollowEnd } from './settled';
import { stateSeen } from './states';

/** How long the guest stands still for a target that cannot be held before the switchover. */
const unheldMs = 10_000;
/**
 * How long a cancel waits for the connections of multifd to be made. QEMU 11.1 may hang for ever, its
 * guest standing, when it is told before that (4 of 60 tries; only `yank` or the target's end frees it).
 */
const connectingMs = 3000;
/** How long a cancel may be without effect before it is said to hang. */
const cancelHangsMs = 5000;

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
  readonly hold: Hold;
  private readonly source: Side;
  private readonly target: Side;
  private readonly options: FollowOptions;
  private readonly recorder: Recorder;
  private readonly figures: ProgressFigures;
  private readonly patience: Patience;
  private lastAnswer: { readonly atMs: number; readonly view: Answered | undefined };
  private cancelReason: CancelReason | undefined;
  private cancelSentAtMs: number | undefined;
  private tooLate = false;
  private postcopyStarted = false;
  private released = false;
  private madeReady = false;
  private unheldSinceMs: number | undefined;
  private connectingSinceMs: number | undefined;
  private guestStayed: boolean;
  private arrivalError: unknown;
  private turn: Promise<unknown> = Promise.resolve();
  private readonly witnesses: readonly Disposable[];
  /** QEMU told something since the last look began: it may be what that look did not see. */
  private heard = false;
  private wake: () => void = () => undefined;

  /** Begins to watch the source; to be made before `migrate` is sent. */
  constructor(source: Side, target: Side, options: FollowOptions) {
    this.source = source;
    this.target = target;
    this.options = options;
    const { earlier, recorder = noRecorder, log, gate, arrival } = options;
    this.recorder = recorder;
    this.patience = options.patience ?? usualPatience;
    this.figures = new ProgressFigures(source, target);
    this.lastAnswer = { atMs: Date.now(), view: undefined };
    const isUnheard = (): boolean => arrival !== undefined && !arrival.wasTold();
    this.hold = new Hold(source, target, { log, recorder, gate, isUnheard }, earlier?.hold);
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
      ...[machine, target.machine].map((either) =>
        either.onEvent(({ name }) => {
          if (name === 'MIGRATION') this.heard = true;
        }),
      ),
    ];
  }

  /** Ends the watching; `follow` does so itself. */
  dispose(): void {
    for (const witness of this.witnesses) witness.dispose();
  }

  /** What the source said last; `undefined` before its first answer. */
  get lastSeen(): Answered | undefined {
    return this.lastAnswer.view;
  }

  /** Does something between two looks, never during one, and looks soon after. */
  async interject(work: () => Promise<void>): Promise<void> {
    try {
      await this.exclusively(work);
    } finally {
      this.wake();
    }
  }

  private exclusively<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  /** The channel was cut on a person's word: what comes of it is the end of a cancel. */
  noteCancel(): void {
    this.cancelReason ??= 'asked-for';
    this.cancelSentAtMs ??= Date.now();
  }

  async follow(): Promise<Followed> {
    const asked = (): void => this.recorder.jot({ kind: 'cancel-asked' });
    if (this.options.cancel.aborted) asked();
    else this.options.cancel.addEventListener('abort', asked, { once: true });
    const end = await this.untilSourceEnds();
    if (end.kind !== 'lost-sight' && end.kind !== 'interrupted') this.options.gate.enter('settle');
    const views = await this.untilSettled(end);
    this.dispose();
    return {
      end,
      ...views,
      // Or it was asked for while the source did not answer, or in its last moment.
      cancelCameTooLate: this.tooLate || (end.kind === 'completed' && this.options.cancel.aborted),
      cancelReason: this.cancelReason,
      guestStayed: this.guestStayed,
      arrivalError: this.arrivalError,
    };
  }

  private async untilSourceEnds(): Promise<FollowEnd> {
    for (;;) {
      if (this.options.detach.aborted) return { kind: 'lost-sight' };
      const end = await this.exclusively(() => this.step());
      if (end !== undefined) return end;
      await this.pause();
    }
  }

  /** One look, and what is to be done about it. */
  private async step(): Promise<FollowEnd | undefined> {
    const { gate, report } = this.options;
    this.heard = false;
    const source = await this.source.look();
    if (source.kind === 'gone') return { kind: 'source-gone' };
    if (source.kind === 'silent') {
      report({ note: doesNotAnswer(this.source.label), cancelHangs: this.cancelHangs() });
      const isLost = Date.now() - this.lastAnswer.atMs > this.patience.silenceMs;
      return isLost ? { kind: 'lost-sight' } : undefined;
    }
    this.lastAnswer = { atMs: Date.now(), view: source };
    gate.enter(stateSeen(gate.state, source, this.cancelReason !== undefined));
    const end = await this.endOf(source);
    if (end !== undefined) return end;
    this.hold.observe(source);
    this.reportProgress(this.source.info);
    return this.act(source);
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
      return { kind: 'failed', neverBegan: true };
    }
    // Interrupted postcopy waits for a recovery, for ever: without a target there is none.
    const lost = isPostcopy(migrationStatus) && (await this.target.look()).kind === 'gone';
    return lost ? { kind: 'failed' } : undefined;
  }

  /** What the state of the run asks for. */
  private async act(source: Answered): Promise<FollowEnd | undefined> {
    const wantsCancel = this.options.cancel.aborted;
    const { state } = this.options.gate;
    switch (state) {
      case 'transfer':
        if (wantsCancel) await this.tryCancel(source);
        else {
          await this.bringTargetIn(source);
          await this.startPostcopyByRule(this.source.info);
        }
        return undefined;
      case 'held':
        if (wantsCancel) await this.tryCancel(source);
        else await this.decideSwitchover(source);
        return undefined;
      case 'cancel':
        // What was to end it may have been lost on its way, and nothing else is sent in this state.
        if (wantsCancel || this.cancelReason === 'asked-for') await this.tryCancel(source);
        else if (this.cancelReason === 'target-gone') {
          await this.cancelFor('target-gone', source, true);
        }
        return undefined;
      case 'switch-over':
      case 'postcopy':
        if (wantsCancel) this.tooLate = true;
        return undefined;
      case 'interrupted':
        if (wantsCancel) this.tooLate = true;
        return this.recoverPostcopy();
      case 'plan':
      case 'preflight':
      case 'prepare':
        return undefined;
      case 'settle':
        if (!this.guestStayed) await this.hold.keepTargetStopped(source);
        return undefined;
      case 'needs-you':
      case 'ended':
        return undefined;
    }
  }

  private reportProgress(info: MigrationInfo): void {
    this.options.report({
      ...this.figures.read(info, this.options.gate.state),
      cancelHangs: this.cancelHangs(),
      note: this.noteOf(info),
    });
  }

  private cancelHangs(): boolean {
    return this.cancelSentAtMs !== undefined && Date.now() - this.cancelSentAtMs > cancelHangsMs;
  }

  private noteOf(info: MigrationInfo): string | undefined {
    if (this.tooLate) {
      return isPostcopy(info.status)
        ? 'Too late to cancel: the guest runs on the target already.'
        : 'Too late to cancel: the guest is being handed over. Waiting for the target.';
    }
    if (this.cancelHangs()) return 'The cancel has no effect yet; "yank" cuts the channel.';
    if (info.status === 'postcopy-paused') return this.options.recovery?.note;
    const { arrival } = this.options;
    if (arrival !== undefined && !arrival.wasTold()) return `Waiting for ${this.target.label}.`;
    return stageOf(info.status) === 'ending' ? 'The source takes the guest back.' : undefined;
  }

  /** A target that comes up only now is told to listen. */
  private async bringTargetIn(source: Answered): Promise<void> {
    const { arrival, log } = this.options;
    if (arrival === undefined || arrival.wasTold() || this.arrivalError !== undefined) return;
    try {
      await arrival.step(() => this.guardArrival());
    } catch (error) {
      log(`the target cannot take the guest: ${String(error)}`);
      this.arrivalError = error;
      if (!arrival.wasTold()) await this.cancelFor('target-gone', source, true);
    }
  }

  /**
   * Its switchover follows at once, and the guest stands still meanwhile: what takes time is done
   * before. Where that fails it is done in the switchover.
   */
  private async guardArrival(): Promise<void> {
    const { guardSwitchover, holdSwitchover } = this.options;
    if (guardSwitchover === true && holdSwitchover !== true) await this.hold.takeTarget();
  }

  private async startPostcopyByRule({ pass }: MigrationInfo): Promise<void> {
    const after = this.options.postcopyAfterPass;
    if (this.postcopyStarted || after === undefined || pass === undefined || pass <= after) return;
    this.postcopyStarted = true;
    await this.send('migrate-start-postcopy', {});
  }

  /** `pause-before-switchover` was on: here nothing is lost yet, whichever way it goes. */
  private async decideSwitchover(source: Answered): Promise<void> {
    const target = await this.target.look();
    const isLate = Date.now() - (this.unheldSinceMs ?? Infinity) > unheldMs;
    if (isUseless(target) || isLate) {
      this.options.log('the target cannot take the guest');
      await this.cancelFor('target-gone', source, true);
    } else if (this.options.holdSwitchover !== true || this.released) {
      await this.releaseSwitchover().catch(async (error: unknown) => {
        this.options.log(`before the switchover: ${String(error)}`);
        await this.cancelFor('target-gone', source, this.options.guardSwitchover === true);
      });
    }
  }

  /**
   * Lets a source that stands before the switchover go on, as soon as that is safe.
   *
   * @throws what `beforeSwitchover` throws; then nothing was sent
   */
  async releaseSwitchover(): Promise<void> {
    const { gate, guardSwitchover } = this.options;
    this.released = true;
    if (guardSwitchover === true && (await this.hold.takeTarget()) !== 'held') {
      this.unheldSinceMs ??= Date.now();
      return;
    }
    this.unheldSinceMs = undefined;
    if (!this.madeReady) await this.options.beforeSwitchover?.();
    this.madeReady = true;
    this.hold.noteRelease();
    const sent = this.send('migrate-continue', { state: 'pre-switchover' });
    // From here on nothing may be undone, also when the source does not come to answer.
    if (gate.state === 'held') gate.enter('switch-over');
    await sent;
  }

  private async recoverPostcopy(): Promise<FollowEnd | undefined> {
    const { recovery } = this.options;
    if (recovery === undefined) return undefined;
    const state = await recovery.step();
    return state === 'given-up' ? { kind: 'interrupted' } : undefined;
  }

  /** One attempt; made again as long as the source does not show that it took the cancel. */
  private async tryCancel(seen: Answered): Promise<void> {
    if (isHandingOver(seen)) this.tooLate = true;
    if (!canBeCancelled(seen) || this.isConnecting(seen)) return;
    const held = await this.hold.take();
    if (held === 'too-late') this.tooLate = true;
    if (held !== 'held') return;
    // Before the last look, for the disk may take its time.
    await this.recorder.record({ kind: 'cancel', reason: 'asked-for' });
    const source = await this.source.look();
    if (source.kind !== 'answered') return;
    if (isHandingOver(source)) this.tooLate = true;
    if (!canBeCancelled(source) || this.isConnecting(source)) return;
    this.tooLate = false;
    // Should the source hand over in this very moment, its events take this back.
    this.guestStayed = true;
    await this.sendCancel('asked-for', Proof.cancel(source, true));
  }

  private isConnecting({ migrationStatus }: Answered): boolean {
    if (migrationStatus !== 'setup' || !isOn(this.source.lastSeen().facts, 'multifd')) return false;
    this.connectingSinceMs ??= Date.now();
    return Date.now() - this.connectingSinceMs < connectingMs;
  }

  private async cancelFor(
    reason: CancelReason,
    source: Answered,
    isTargetHeld: boolean,
  ): Promise<void> {
    await this.recorder.record({ kind: 'cancel', reason });
    // Nothing was handed over; should the source do so in this very moment, its events take this back.
    this.guestStayed = true;
    await this.sendCancel(reason, Proof.cancel(source, isTargetHeld));
  }

  private async sendCancel(reason: CancelReason, proof: Proof | undefined): Promise<void> {
    if (proof === undefined) return;
    this.cancelReason = reason;
    this.cancelSentAtMs ??= Date.now();
    const { gate, log } = this.options;
    gate.enter('cancel');
    try {
      await gate.sendProven('migrate_cancel', proof, { timeoutMs: 5000 });
    } catch (error) {
      // What QEMU made of it shows in its status.
      log(`migrate_cancel: ${error instanceof QmpCommandError ? error.desc : String(error)}`);
    }
  }

  private async send(
    command: 'migrate-continue' | 'migrate-start-postcopy',
    args: Record<string, string>,
  ): Promise<void> {
    try {
      await this.options.gate.send('source', command, args, { timeoutMs: 5000 });
    } catch (error) {
      // What QEMU made of it shows in its status.
      const text = error instanceof QmpCommandError ? error.desc : String(error);
      this.options.log(`${command}: ${text}`);
    }
  }

  /** Waits until both sides say something final, or until waiting is of no use. */
  private async untilSettled(end: FollowEnd): Promise<Pick<Followed, 'source' | 'target'>> {
    // Whoever holds a side has to wait for the moment when it may be continued.
    const { silenceMs, settleMs, intervalMs } = this.patience;
    const deadline = Date.now() + (this.hold.isTaken ? silenceMs : settleMs);
    for (;;) {
      this.heard = false;
      const source = await this.source.look();
      const wasUndone = end.kind === 'failed' || end.kind === 'cancelled';
      if (wasUndone && !this.guestStayed) await this.hold.keepTargetStopped(source);
      const target = await this.target.look();
      if (!(await this.hold.release(source, target))) {
        if (isSettled(end, source, target, this.guestStayed)) return { source, target };
        if (Date.now() > deadline || this.options.detach.aborted) return { source, target };
      }
      await this.pause(intervalMs / 4);
    }
  }

  /** Until something is heard of either side, or for a while. */
  private pause(ms = this.patience.intervalMs): Promise<void> {
    // The guest may stand still: what came during the last look is not left for the next interval.
    if (this.heard) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        for (const listener of listening) listener.dispose();
        this.options.cancel.removeEventListener('abort', done);
        this.options.detach.removeEventListener('abort', done);
        this.wake = () => undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      const listening = [this.source, this.target].map(({ machine }) =>
        machine.onEvent(({ name }) => {
          if (name === 'MIGRATION') done();
        }),
      );
      this.wake = done;
      if (!this.options.cancel.aborted) this.options.cancel.addEventListener('abort', done);
      this.options.detach.addEventListener('abort', done);
    });
  }
}

/** It is gone, or has failed: it can take nothing any more, and runs nothing. */
function isUseless(target: SideView): boolean {
  if (target.kind !== 'answered') return target.kind === 'gone';
  return stageOf(target.migrationStatus) === 'failed' && !target.runState.running;
}

function hasLeft(status: string | undefined): boolean {
  const stage = stageOf(status);
  return stage === 'point-of-no-return' || stage === 'completed';
}
