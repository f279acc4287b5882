import { setTimeout as sleep } from 'node:timers/promises';
import type { Gate, GuestCommand } from './gate';
import type { SideName } from './journal/entries';
import type { Recorder } from './journal/recorder';
import type { Side } from './look';
import { stageOf } from './migrationInfo';
import { canBeCancelled, isRunning, Proof, type Answered, type SideView } from './ownership';

/** Longer than a source that got `migrate-continue` still shows that it stands. */
const releaseTakesMs = 5000;

/** What an earlier driver of the run may have stopped. */
export interface EarlierHold {
  readonly source: boolean;
  readonly target: boolean;
  readonly guestRan: boolean;
}

export interface HoldOptions {
  readonly gate: Gate;
  readonly log: (line: string) => void;
  readonly recorder: Recorder;
  /** The target was never told to listen, and so gets nothing. */
  readonly isUnheard: () => boolean;
}

/**
 * Keeps the target from starting the guest by itself, so that `migrate_cancel` can never make two
 * running copies, and continues afterwards what it stopped:
 *
 * 1. `stop` is sent to the target while it is `inmigrate`. QEMU then only notes that it must not
 *    start by itself; should it receive everything in this very moment, it stays paused.
 * 2. A target that does not answer may still read all that comes (our connection may be lost, the
 *    kernel buffers some for a frozen process). Then the guest is paused on the source for the moment
 *    of the cancel: the state that is sent says so from then on, and no target starts a paused guest.
 */
export class Hold {
  private readonly source: Side;
  private readonly target: Side;
  private readonly options: HoldOptions;
  private targetHeld: boolean;
  /** QEMU accepted our `stop`; what an earlier driver only meant to send is no proof. */
  private targetStays = false;
  private wasToldToStay = false;
  private sourceHeld: boolean;
  /** Whether the guest ran when it was last seen on the source, our own pause aside. */
  private guestRan: boolean;
  private releasedAtMs = -Infinity;

  constructor(source: Side, target: Side, options: HoldOptions, earlier?: EarlierHold) {
    this.source = source;
    this.target = target;
    this.options = options;
    this.targetHeld = earlier?.target ?? false;
    this.sourceHeld = earlier?.source ?? false;
    this.guestRan = earlier?.guestRan ?? source.lastSeen().facts?.runState.running ?? false;
  }

  /** Something was stopped that is to be continued. */
  get isTaken(): boolean {
    return this.targetHeld || this.sourceHeld;
  }

  /** The source's guest is paused by us, and not by the migration. */
  get pausesSource(): boolean {
    return this.sourceHeld;
  }

  /** To be told before `migrate-continue` is sent. */
  noteRelease(): void {
    this.releasedAtMs = Date.now();
  }

  /** To be told each view of the source: a guest that its user paused is never continued here. */
  observe(source: Answered): void {
    if (!this.sourceHeld && canBeCancelled(source) && source.runState.status !== 'finish-migrate') {
      this.guestRan = source.runState.running;
    }
  }

  /** `not-yet`: neither side could be held; to be tried again. May be called again when held. */
  async take(): Promise<'held' | 'too-late' | 'not-yet'> {
    if (this.options.isUnheard()) return 'held';
    // Before the look, for the disk may take its time.
    await this.note('target', 'taking');
    const before = await this.target.look();
    if (before.kind === 'gone') return 'held';
    if (before.kind === 'silent') return this.holdSource();
    const proof = Proof.holdTarget(before);
    if (proof === undefined) return 'too-late';
    if (!(await this.send('stop', proof))) {
      return (await this.target.look()).kind === 'gone' ? 'held' : this.holdSource();
    }
    this.targetHeld = true;
    this.targetStays = true;
    await this.note('target', 'taken');
    const after = await this.target.look();
    // It had everything in that moment and is paused now; continued once the source is done.
    const hadAll = after.kind === 'answered' && after.runState.status !== 'inmigrate';
    return hadAll ? 'too-late' : 'held';
  }

  /** Right before the switchover: the target is to start on proof only. */
  async takeTarget(): Promise<'held' | 'not-yet' | 'useless'> {
    if (this.targetStays) return 'held';
    await this.note('target', 'taking', 'switchover');
    const proof = Proof.holdTarget(await this.target.look());
    if (proof === undefined || !(await this.send('stop', proof))) return 'not-yet';
    this.targetHeld = true;
    this.targetStays = true;
    await this.note('target', 'taken', 'switchover');
    return 'held';
  }

  /**
   * The source took the guest back after it may have handed it over: the target is stopped before or
   * right after it starts. One that stands still gets the word when it goes on. Never rejects.
   */
  async keepTargetStopped(source: SideView): Promise<void> {
    if (this.wasToldToStay) return;
    const proof = Proof.stopTarget(source);
    if (proof === undefined || this.target.lastSeen().state.kind !== 'ready') return;
    this.wasToldToStay = true;
    this.targetHeld = false;
    const done = this.send('stop', proof);
    await Promise.race([done, sleep(200, undefined, { ref: false })]);
    // A connection that broke just then must not cost the word.
    void done.then((sent) => {
      if (!sent) this.wasToldToStay = false;
    });
  }

  private async holdSource(): Promise<'held' | 'not-yet'> {
    if (!this.guestRan) return 'held';
    await this.note('source', 'taking');
    const source = await this.source.look();
    if (source.kind !== 'answered' || !canBeCancelled(source)) return 'not-yet';
    // The guest stands already, and nothing more of it is sent before `migrate-continue`. Once that was
    // sent the source still shows this for a moment, and all of a running guest may follow.
    if (stageOf(source.migrationStatus) === 'paused-before-switchover') {
      return Date.now() - this.releasedAtMs < releaseTakesMs ? 'not-yet' : 'held';
    }
    const proof = Proof.holdSource(source);
    if (proof === undefined) return 'not-yet';
    this.options.log('the target does not answer: the guest is paused until the cancel is done');
    // Before the reply, which may be lost.
    this.sourceHeld = true;
    if (!(await this.send('stop', proof))) return 'not-yet';
    await this.note('source', 'taken');
    return 'held';
  }

  /**
   * Continues what was stopped, each where it is proven to be safe.
   *
   * @returns whether something was done, so that both sides have to be looked at again
   */
  async release(source: SideView, target: SideView): Promise<boolean> {
    if (this.sourceHeld) {
      const proof = Proof.continueHeldSource(source);
      if (proof !== undefined) {
        this.sourceHeld = false;
        return this.continueHeld(proof);
      }
    }
    if (!this.isTaken || !this.guestRan || isRunning(target)) return false;
    const proof = Proof.continueTarget(source, target);
    if (proof === undefined) return false;
    this.targetHeld = false;
    this.sourceHeld = false;
    // With -S the guest would have stayed paused without us, too.
    if (this.target.lastSeen().process?.args.includes('-S') === true) return false;
    return this.continueHeld(proof);
  }

  /** Also one that failed leaves another picture: the side may have ended in that moment. */
  private async continueHeld(proof: Proof): Promise<true> {
    await this.note(proof.side, 'releasing');
    if (await this.send('cont', proof)) await this.note(proof.side, 'released');
    return true;
  }

  private note(
    side: SideName,
    state: 'taking' | 'taken' | 'releasing' | 'released',
    purpose?: 'switchover',
  ): Promise<void> {
    const { guestRan } = this;
    return this.options.recorder.record({ kind: 'hold', side, state, guestRan, purpose });
  }

  private async send(command: GuestCommand, proof: Proof): Promise<boolean> {
    try {
      const timeoutMs = command === 'stop' ? 2000 : 5000;
      await this.options.gate.sendProven(command, proof, { timeoutMs });
      return true;
    } catch (error) {
      this.options.log(`${command} on the ${proof.side}: ${String(error)}`);
      return false;
    }
  }
}
