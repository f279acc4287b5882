import type { Disposable } from '../../qmp/emitter';
import type { MachineHandle } from '../../vm/types';
import type { UpdateTimes } from './types';

export const noTimes: UpdateTimes = {
  beforeMs: undefined,
  downtimeMs: undefined,
  blackoutMs: undefined,
  sourceGoneMs: undefined,
  afterMs: undefined,
};

/** Measures a live update, by the clocks of the QEMUs where they tell. */
export class Stopwatch implements Disposable {
  private readonly begunAt = Date.now();
  private listening: Disposable[] = [];
  private migrateAt: number | undefined;
  private stopUs: number | undefined;
  private resumeUs: number | undefined;
  private completedAt: number | undefined;

  /** Listens to both from now on; what they said before is lost. */
  watch(source: MachineHandle, target: MachineHandle): void {
    this.listening.push(
      source.onEvent(({ name, timestampUs, data }) => {
        // The last one counts: an attempt may have gone wrong before.
        if (name === 'STOP') this.stopUs = timestampUs;
        if (name === 'MIGRATION' && data['status'] === 'setup') this.migrateAt ??= Date.now();
        if (name === 'MIGRATION' && data['status'] === 'completed') this.completedAt = Date.now();
      }),
    );
    if (target.id === source.id) return;
    this.listening.push(
      target.onEvent(({ name, timestampUs }) => {
        if (name === 'RESUME') this.resumeUs = timestampUs;
      }),
    );
  }

  /** For QEMUs that do not tell of it. */
  noteMigrate(): void {
    this.migrateAt ??= Date.now();
  }

  noteCompleted(): void {
    this.completedAt ??= Date.now();
  }

  read(downtimeMs: number | undefined, sourceGoneAt?: number, doneAt?: number): UpdateTimes {
    const { begunAt, migrateAt, stopUs, resumeUs, completedAt } = this;
    const since = (at: number | undefined): number | undefined =>
      at === undefined || completedAt === undefined ? undefined : Math.max(0, at - completedAt);
    const blackoutUs =
      stopUs === undefined || resumeUs === undefined ? undefined : resumeUs - stopUs;
    return {
      beforeMs: migrateAt === undefined ? undefined : migrateAt - begunAt,
      downtimeMs,
      blackoutMs:
        blackoutUs === undefined || !Number.isFinite(blackoutUs) || blackoutUs < 0
          ? undefined
          : blackoutUs / 1000,
      sourceGoneMs: since(sourceGoneAt),
      afterMs: since(doneAt),
    };
  }

  dispose(): void {
    for (const listener of this.listening) listener.dispose();
    this.listening = [];
  }
}
