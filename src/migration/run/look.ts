import type { CloseReason } from '../../qmp/errors';
import { isAlive, isSameProcess } from '../../vm/process';
import type { MachineHandle, MachineSnapshot, QemuProcess } from '../../vm/types';
import { readMigrationInfo, stageOf, type MigrationInfo } from './migrationInfo';
import type { SideView } from './ownership';
import { patience } from './patience';

type QemuKey = Pick<QemuProcess, 'pid' | 'startTicks'>;

/** One side of a run: its machine, and the very process that it was when the run began. */
export class Side {
  readonly machine: MachineHandle;
  /** QEMU's last words, kept when it is gone. */
  info: MigrationInfo;
  private readonly process: QemuKey | undefined;
  private readonly lookMs: number;
  private pending: Promise<unknown> | undefined;
  private quitSeen = false;

  constructor(machine: MachineHandle, process: QemuKey | undefined, { lookMs } = patience) {
    this.machine = machine;
    this.process = process;
    this.lookMs = lookMs;
    this.info = readMigrationInfo(machine.snapshot.facts?.migration ?? {});
  }

  get label(): string {
    return this.machine.snapshot.label;
  }

  /**
   * Asks for status and migration, or finds out why nobody answers. Never waits longer than some
   * seconds and never rejects. A look that is not answered yet is not asked again.
   */
  async look(): Promise<SideView> {
    // Another QEMU may listen at the same path by now, and its answers would be taken for this one's.
    if (this.process !== undefined && !(await isAlive(this.process))) return { kind: 'gone' };
    const { snapshot } = this.machine;
    if (snapshot.state.kind === 'lost' && isQuit(snapshot.state.reason)) this.quitSeen = true;
    if (snapshot.state.kind !== 'ready' || (await this.isStranger())) return this.lookAtProcess();
    this.pending ??= this.ask()
      .catch(() => undefined)
      .finally(() => {
        this.pending = undefined;
      });
    const answered = await withPatience(this.pending, this.lookMs);
    const now = this.machine.snapshot;
    if (!answered || now.state.kind !== 'ready' || now.facts === undefined) {
      return this.lookAtProcess();
    }
    // What could not be read is an old picture, such as that of a QEMU that froze.
    const { migration, status } = now.facts.failures;
    if (migration !== undefined || status !== undefined) return this.lookAtProcess();
    this.info = readMigrationInfo(now.facts.migration);
    return {
      kind: 'answered',
      runState: now.facts.runState,
      migrationStatus: this.info.status,
    };
  }

  /**
   * The event of an end may come between the two answers. It brings the status without the reason
   * of a failure or the figures, which QEMU gives when asked again.
   */
  private async ask(): Promise<void> {
    const { migration } = await this.machine.refresh(['migration', 'status']);
    const { status, errorText, downtimeMs } = readMigrationInfo(migration);
    if (status === this.info.status) return;
    const lacks =
      (stageOf(status) === 'failed' && errorText === undefined) ||
      (stageOf(status) === 'completed' && downtimeMs === undefined);
    if (lacks) await this.machine.refresh(['migration']);
  }

  /** The last picture that QEMU gave, without asking again. */
  lastSeen(): MachineSnapshot {
    return this.machine.snapshot;
  }

  /** Whether another QEMU than ours listens at the path, while ours lives on unseen. */
  private async isStranger(): Promise<boolean> {
    if (this.process === undefined) return false;
    const known = this.machine.snapshot.process ?? (await this.machine.identify());
    // It could be told when the run began: by now two QEMUs listen there, or the path has moved.
    return known === undefined || !isSameProcess(known, this.process);
  }

  private async lookAtProcess(): Promise<SideView> {
    if (this.process !== undefined) {
      return { kind: (await isAlive(this.process)) ? 'silent' : 'gone' };
    }
    // Without a process to watch only QEMU's own announcement proves its end.
    return { kind: this.quitSeen ? 'gone' : 'silent' };
  }
}

function isQuit(reason: CloseReason): boolean {
  return reason.kind === 'qemu-quit';
}

async function withPatience(answer: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([answer.then(() => true), patience]);
  } finally {
    clearTimeout(timer);
  }
}
