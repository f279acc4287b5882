import type { Side } from './look';
import { stageOf } from './migrationInfo';
import { isRunning, mayContinueTarget, type Answered, type SideView } from './ownership';

/** Whether a `migrate_cancel` now would find the guest in the source's hands. */
export function canBeCancelled({ runState, migrationStatus }: Answered): boolean {
  const stage = stageOf(migrationStatus);
  if (stage === 'paused-before-switchover') return true;
  // QEMU 7.2 has no status of its own for the last part; there only the run state tells.
  return stage === 'moving' && runState.status !== 'finish-migrate';
}

/** Whether the target may have all of the guest by now. */
export function isHandingOver({ runState, migrationStatus }: Answered): boolean {
  const stage = stageOf(migrationStatus);
  return (
    stage === 'point-of-no-return' || (stage === 'moving' && runState.status === 'finish-migrate')
  );
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
  private readonly log: (line: string) => void;
  private targetHeld = false;
  private sourceHeld = false;
  /** Whether the guest ran when it was last seen on the source, our own pause aside. */
  private guestRan: boolean;

  constructor(source: Side, target: Side, log: (line: string) => void) {
    this.source = source;
    this.target = target;
    this.log = log;
    this.guestRan = source.lastSeen().facts?.runState.running ?? false;
  }

  /** Something was stopped that is to be continued. */
  get isTaken(): boolean {
    return this.targetHeld || this.sourceHeld;
  }

  /** The source's guest is paused by us, and not by the migration. */
  get pausesSource(): boolean {
    return this.sourceHeld;
  }

  /** To be told each view of the source: a guest that its user paused is never continued here. */
  observe(source: Answered): void {
    if (!this.sourceHeld && canBeCancelled(source) && source.runState.status !== 'finish-migrate') {
      this.guestRan = source.runState.running;
    }
  }

  /** `not-yet`: neither side could be held; to be tried again. May be called again when held. */
  async take(): Promise<'held' | 'too-late' | 'not-yet'> {
    const before = await this.target.look();
    if (before.kind === 'gone') return 'held';
    if (before.kind === 'silent') return this.holdSource();
    if (before.runState.status !== 'inmigrate') return 'too-late';
    if (!(await this.send(this.target, 'stop'))) {
      return (await this.target.look()).kind === 'gone' ? 'held' : this.holdSource();
    }
    this.targetHeld = true;
    const after = await this.target.look();
    // It had everything in that moment and is paused now; continued once the source is done.
    const hadAll = after.kind === 'answered' && after.runState.status !== 'inmigrate';
    return hadAll ? 'too-late' : 'held';
  }

  private async holdSource(): Promise<'held' | 'not-yet'> {
    if (!this.guestRan) return 'held';
    const source = await this.source.look();
    if (source.kind !== 'answered' || !canBeCancelled(source)) return 'not-yet';
    // The guest stands already, and nothing more of it is sent before `migrate-continue`.
    if (stageOf(source.migrationStatus) === 'paused-before-switchover') return 'held';
    this.log('the target does not answer: the guest is paused until the cancel is done');
    // Before the reply, which may be lost.
    this.sourceHeld = true;
    return (await this.send(this.source, 'stop')) ? 'held' : 'not-yet';
  }

  /**
   * Continues what was stopped, each where it is proven to be safe.
   *
   * @returns whether something was done, so that both sides have to be looked at again
   */
  async release(source: SideView, target: SideView): Promise<boolean> {
    if (this.sourceHeld && source.kind === 'answered' && source.runState.status === 'paused') {
      // Whatever the target got of this guest, it got as a paused one.
      this.sourceHeld = false;
      return this.send(this.source, 'cont');
    }
    if (!this.isTaken || !this.guestRan || isRunning(target)) return false;
    if (!mayContinueTarget(source, target)) return false;
    this.targetHeld = false;
    this.sourceHeld = false;
    // With -S the guest would have stayed paused without us, too.
    if (this.target.lastSeen().process?.args.includes('-S') === true) return false;
    return this.send(this.target, 'cont');
  }

  private async send(side: Side, command: 'stop' | 'cont'): Promise<boolean> {
    try {
      const timeoutMs = command === 'stop' ? 2000 : 5000;
      await side.machine.connection().execute(command, {}, { timeoutMs });
      return true;
    } catch (error) {
      this.log(`${command} on ${side.label}: ${String(error)}`);
      return false;
    }
  }
}
