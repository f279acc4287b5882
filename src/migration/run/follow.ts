import { QmpCommandError } from '../../qmp/errors';
import type { Disposable } from '../../qmp/emitter';
import type { Side } from './look';
import { stageOf, type MigrationInfo } from './migrationInfo';
import { mayContinueTarget, type SideView } from './ownership';
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

export interface Followed {
  readonly end: FollowEnd;
  readonly source: SideView;
  readonly target: SideView;
  /** Cancel was asked for at a moment when it could not be done safely any more. */
  readonly cancelCameTooLate: boolean;
  /** The source was watched all the time and never stopped its guest. */
  readonly guestStayed: boolean;
}

export interface FollowOptions {
  /** Aborted when the user wants to cancel. */
  readonly cancel: AbortSignal;
  /** Aborted when nobody is to watch any more; both QEMUs are left as they are. */
  readonly detach: AbortSignal;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
}

/**
 * Follows one migration from the accepted `migrate` to its end on both sides, and carries out a
 * cancel in the one way that can never start two copies:
 *
 * 1. The source must not be past the point of no return (`device` and later).
 * 2. `stop` is sent to the target while it is `inmigrate`. QEMU then only notes that it must not
 *    start by itself; should it receive everything in this very moment, it stays paused.
 * 3. Only when the target has confirmed that (or is gone) `migrate_cancel` goes to the source.
 * 4. Should the source have completed nevertheless, the target is continued, on proof.
 */
export class Follower {
  private readonly source: Side;
  private readonly target: Side;
  private readonly options: FollowOptions;
  /** The target was told not to start by itself. */
  private targetHeld = false;
  private cancelSent = false;
  private tooLate = false;
  private guestStayed: boolean;
  private readonly witnesses: readonly Disposable[];

  /** Begins to watch the source; to be made before `migrate` is sent. */
  constructor(source: Side, target: Side, options: FollowOptions) {
    this.source = source;
    this.target = target;
    this.options = options;
    const { machine } = source;
    // A guest that stands still gives no sign when it leaves.
    this.guestStayed = machine.snapshot.facts?.runState.running ?? false;
    this.witnesses = [
      machine.onEvent(({ name, data }) => {
        const status = data['status'];
        const left =
          name === 'MIGRATION' && hasLeft(typeof status === 'string' ? status : undefined);
        if (name === 'STOP' || left) this.guestStayed = false;
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
    const end = await this.untilSourceEnds();
    if (end.kind !== 'lost-sight') this.options.report({ phase: 'settling' });
    const views = await this.untilSettled(end);
    this.dispose();
    return { end, ...views, cancelCameTooLate: this.tooLate, guestStayed: this.guestStayed };
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
        const stage = stageOf(source.migrationStatus);
        if (stage === 'completed' || stage === 'failed' || stage === 'cancelled') {
          return { kind: stage };
        }
        this.reportProgress(this.source.info);
        if (stage === 'paused-before-switchover') await this.decideSwitchover();
        else if (this.options.cancel.aborted && !this.cancelSent) await this.tryCancel();
      }
      await this.pause();
    }
  }

  private reportProgress(info: MigrationInfo): void {
    this.options.report({
      ...progressOf(info),
      phase: this.phaseOf(info),
      note: this.noteOf(info),
    });
  }

  private phaseOf(info: MigrationInfo): RunPhase {
    if (this.cancelSent) return 'cancelling';
    const stage = stageOf(info.status);
    const switching = stage === 'paused-before-switchover' || stage === 'point-of-no-return';
    return switching ? 'switching-over' : 'transferring';
  }

  private noteOf(info: MigrationInfo): string | undefined {
    if (this.tooLate) {
      return 'Too late to cancel: the guest is being handed over. Waiting for the target.';
    }
    return stageOf(info.status) === 'ending' ? 'The source takes the guest back.' : undefined;
  }

  /** `pause-before-switchover` was on: here nothing is lost yet, whichever way it goes. */
  private async decideSwitchover(): Promise<void> {
    const target = await this.target.look();
    if (this.options.cancel.aborted || target.kind === 'gone') {
      if (this.cancelSent) return;
      this.options.log(
        target.kind === 'gone' ? 'the target is gone before the switchover' : 'cancel asked for',
      );
      await this.sendCancel();
      return;
    }
    await this.send('migrate-continue', { state: 'pre-switchover' });
  }

  private async tryCancel(): Promise<void> {
    if (stageOf(this.source.info.status) === 'point-of-no-return') {
      this.tooLate = true;
      return;
    }
    if (!(await this.holdTarget())) return;
    const source = await this.source.look();
    const stage = source.kind === 'answered' ? stageOf(source.migrationStatus) : undefined;
    if (stage === 'moving' || stage === 'paused-before-switchover') await this.sendCancel();
    else if (stage === 'point-of-no-return') this.tooLate = true;
  }

  /** Makes sure that the target cannot start by itself; false when it is too late for that. */
  private async holdTarget(): Promise<boolean> {
    const before = await this.target.look();
    if (before.kind === 'gone') return true;
    if (before.kind === 'silent') {
      // A target that does not answer does not read either: it cannot have everything.
      return true;
    }
    if (before.runState.status !== 'inmigrate') {
      this.tooLate = true;
      return false;
    }
    try {
      await this.target.machine.connection().execute('stop', {}, { timeoutMs: 2000 });
      this.targetHeld = true;
    } catch (error) {
      this.options.log(`the target could not be held: ${String(error)}`);
      return (await this.target.look()).kind !== 'answered';
    }
    const after = await this.target.look();
    if (after.kind === 'answered' && after.runState.status !== 'inmigrate') {
      // It had everything in that moment and is paused now; continued once the source is done.
      this.tooLate = true;
      return false;
    }
    return true;
  }

  private async sendCancel(): Promise<void> {
    this.cancelSent = true;
    this.options.report({ phase: 'cancelling' });
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
    const deadline = Date.now() + settleMs;
    for (;;) {
      const [source, target] = await Promise.all([this.source.look(), this.target.look()]);
      if (this.targetHeld && mayContinueTarget(source, target) && !isRunning(target)) {
        await this.continueTarget();
      } else if (end.kind === 'lost-sight' || isSettled(end, source, target)) {
        return { source, target };
      }
      if (Date.now() > deadline || this.options.detach.aborted) return { source, target };
      await this.pause(50);
    }
  }

  private async continueTarget(): Promise<void> {
    this.targetHeld = false;
    try {
      await this.target.machine.connection().execute('cont', {}, { timeoutMs: 5000 });
    } catch (error) {
      this.options.log(`cont on the target: ${String(error)}`);
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

function isRunning(view: SideView): boolean {
  return view.kind === 'answered' && view.runState.running;
}

function isSettled(end: FollowEnd, source: SideView, target: SideView): boolean {
  switch (end.kind) {
    case 'completed':
      if (target.kind === 'answered') {
        return (
          target.runState.status !== 'inmigrate' && stageOf(target.migrationStatus) === 'completed'
        );
      }
      return target.kind === 'gone';
    case 'failed':
    case 'cancelled':
      return source.kind === 'gone' || isSteady(source);
    case 'source-gone':
      if (target.kind !== 'answered') return target.kind === 'gone';
      return (
        target.runState.running || ['completed', 'failed'].includes(stageOf(target.migrationStatus))
      );
    case 'lost-sight':
      return true;
  }
}

/** The source is in none of the states that QEMU itself leaves within moments. */
function isSteady(view: SideView): boolean {
  return (
    view.kind === 'answered' &&
    !['finish-migrate', 'colo', 'unknown'].includes(view.runState.status)
  );
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
