import { QmpCommandError } from '../../../qmp/errors';
import type { Disposable } from '../../../qmp/emitter';
import { ControlRefusedError, type ControlRequest } from '../controls';
import { progressOf } from '../progressFigures';
import { stageOf } from '../migrationInfo';
import { Proof, type Answered, type SideView } from '../ownership';
import type { RunContext } from '../runContext';
import type { GuestOwner, RunPhase } from '../types';
import { pauseOf, type OneSided } from './common';

/** How long nobody may answer before we say that we cannot find out. */
const silenceMs = 60_000;
/** How long QEMU may take from "completed" to its last run state. */
const steadyMs = 15_000;
/** How long a cancel may take before its user is told that it hangs. */
const cancelPatienceMs = 5000;

export type SaveEnd = 'completed' | 'failed' | 'cancelled' | 'source-gone' | 'lost-sight';

export interface SaveFollowed {
  readonly end: SaveEnd;
  readonly source: SideView;
  /** `migrate_cancel` was sent. */
  readonly cancelSent: boolean;
}

/** Follows a save from the accepted `migrate` to its end, and carries wishes out meanwhile. */
export class SaveFollower {
  private readonly run: OneSided;
  private cancelSentAt: number | undefined;
  /** The event came, whether QEMU could be asked again or not. */
  private sawCompleted = false;
  private readonly witness: Disposable;

  /** Begins to listen; to be made before `migrate` is sent. */
  constructor(run: OneSided) {
    this.run = run;
    this.witness = run.machine.onEvent(({ name, data }) => {
      if (name === 'MIGRATION' && data['status'] === 'completed') this.sawCompleted = true;
      if (name === 'MIGRATION' && data['status'] === 'setup') this.sawCompleted = false;
    });
  }

  dispose(): void {
    this.witness.dispose();
  }

  async follow(wishes: RunContext['wishes'] | undefined): Promise<SaveFollowed> {
    const { run } = this;
    const asked = (): void => run.recorder.jot({ kind: 'cancel-asked' });
    if (run.cancel.aborted) asked();
    else run.cancel.addEventListener('abort', asked, { once: true });
    wishes?.handle((request) => this.control(request));
    try {
      const { end, source } = await this.untilEnd();
      return { end, source, cancelSent: this.cancelSentAt !== undefined };
    } finally {
      this.dispose();
    }
  }

  private async untilEnd(): Promise<Pick<SaveFollowed, 'end' | 'source'>> {
    const { run } = this;
    let lastAnswer = Date.now();
    for (;;) {
      const source = await run.side.look();
      if (run.detach.aborted) return { end: 'lost-sight', source };
      if (source.kind === 'gone') {
        return { end: this.sawCompleted ? 'completed' : 'source-gone', source };
      }
      if (source.kind === 'silent') {
        run.report({ note: `${run.side.label} does not answer.` });
        if (Date.now() - lastAnswer > silenceMs) return { end: 'lost-sight', source };
      } else {
        lastAnswer = Date.now();
        const end = endOf(source);
        if (end !== undefined) return { end, source: await this.untilSteady(source) };
        await this.observe(source);
      }
      await pauseOf(run);
    }
  }

  /** QEMU says "completed" or "failed" a moment before it has its last run state. */
  private async untilSteady(seen: Answered): Promise<SideView> {
    const deadline = Date.now() + steadyMs;
    let source: SideView = seen;
    while (source.kind === 'answered' && source.runState.status === 'finish-migrate') {
      if (Date.now() > deadline || this.run.detach.aborted) break;
      await pauseOf(this.run, 50);
      source = await this.run.side.look();
    }
    return source;
  }

  private async observe(source: Answered): Promise<void> {
    const { run } = this;
    const state = this.stateOf(source);
    run.gate.enter(state);
    const since = this.cancelSentAt === undefined ? 0 : Date.now() - this.cancelSentAt;
    run.report({
      ...progressOf(run.side.info),
      owner: ownerIn(state),
      cancelHangs: since > cancelPatienceMs,
      note: this.noteOf(source),
    });
    if (run.cancel.aborted) await this.tryCancel(source);
    else if (state === 'held' && run.request.options?.holdSwitchover !== true) {
      await this.goOn();
    }
  }

  /**
   * Not `stateSeen`: in mode cpr-reboot the guest stands still all the time (`finish-migrate`), and
   * that means nothing here.
   */
  private stateOf({ migrationStatus }: Answered): RunPhase {
    const stage = stageOf(migrationStatus);
    const isOpen = stage === 'moving' || stage === 'paused-before-switchover';
    if (this.cancelSentAt !== undefined && (isOpen || stage === 'ending')) return 'cancel';
    if (stage === 'moving') return 'transfer';
    if (stage === 'paused-before-switchover') return 'held';
    return stage === 'ending' ? this.run.gate.state : 'switch-over';
  }

  private noteOf({ migrationStatus }: Answered): string | undefined {
    const stage = stageOf(migrationStatus);
    if (this.run.cancel.aborted && stage === 'point-of-no-return') {
      return 'Too late to cancel: the file is being completed.';
    }
    return stage === 'ending' ? 'QEMU takes the guest back.' : undefined;
  }

  private async tryCancel(source: Answered): Promise<void> {
    const { gate, recorder } = this.run;
    const proof = Proof.cancelSave(source);
    if (proof === undefined || gate.state === 'switch-over') return;
    await recorder.record({ kind: 'cancel', reason: 'asked-for' });
    this.cancelSentAt ??= Date.now();
    gate.enter('cancel');
    await this.quietly('migrate_cancel', () =>
      gate.sendProven('migrate_cancel', proof, { timeoutMs: 5000 }),
    );
  }

  /** `pause-before-switchover` was on without our doing. */
  private async goOn(): Promise<void> {
    await this.quietly('migrate-continue', () => this.sendContinue());
  }

  private async sendContinue(): Promise<void> {
    const args = { state: 'pre-switchover' };
    await this.run.gate.send('source', 'migrate-continue', args, { timeoutMs: 5000 });
  }

  /** What QEMU made of it shows in its status. */
  private async quietly(command: string, send: () => Promise<unknown>): Promise<void> {
    try {
      await send();
    } catch (error) {
      const text = error instanceof QmpCommandError ? error.desc : String(error);
      this.run.log(`${command}: ${text}`);
    }
  }

  private async control(request: ControlRequest): Promise<void> {
    const { gate, borrowed, machine, recorder } = this.run;
    if (request.id === 'release-switchover') {
      if (gate.state !== 'held') {
        const reason = 'The save does not stand still before its end.';
        throw new ControlRefusedError(request.id, reason, 'Wait until it does.');
      }
      await recorder.record({ kind: 'control', control: request.id });
      await this.sendContinue();
    } else if (request.id === 'set-parameters') {
      gate.check('migrate-set-parameters');
      const detail = Object.keys(request.parameters).join(', ');
      await recorder.record({ kind: 'control', control: request.id, detail });
      for (const [name, value] of Object.entries(request.parameters)) {
        await borrowed.set(machine, name, value, true);
      }
    } else {
      const reason = 'A save to a file knows no such thing.';
      throw new ControlRefusedError(request.id, reason, 'Wait for its end, or cancel it.');
    }
  }
}

function endOf({ migrationStatus }: Answered): SaveEnd | undefined {
  const stage = stageOf(migrationStatus);
  if (stage === 'completed' || stage === 'failed' || stage === 'cancelled') return stage;
  // The reply of `migrate` was lost, and so was the command.
  return stage === 'none' ? 'failed' : undefined;
}

function ownerIn(state: RunPhase): GuestOwner {
  return state === 'switch-over' ? 'neither-yet' : 'source';
}
