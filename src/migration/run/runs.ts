import type { HelperLocation } from '../../fdpass/locate';
import { Emitter, type Disposable, type Event } from '../../qmp/emitter';
import type { MachineHandle, MachineId } from '../../vm/types';
import { RunRefusedError } from './checks';
import { runLocalMigration } from './localMigration';
import { noProgress } from './progressText';
import type { LocalMigrationRequest, RunOutcome, RunRecord } from './types';

/** One migration under way or ended. */
export interface Run {
  readonly record: RunRecord;
  readonly onDidChange: Event<RunRecord>;
  /** Never rejects. */
  readonly outcome: Promise<RunOutcome>;
  /** Asks for a cancel; the outcome tells what became of it. Idempotent. */
  cancel(): void;
}

export interface RunsOptions {
  readonly registry: { get(id: MachineId): MachineHandle | undefined };
  readonly locateHelper: () => Promise<HelperLocation>;
  readonly log?: (line: string) => void;
}

/** All runs of this process: at most one a machine at a time, and the last result of each. */
export class Runs implements Disposable {
  private readonly options: RunsOptions;
  private readonly activeById = new Map<MachineId, ActiveRun>();
  private readonly lastById = new Map<MachineId, ActiveRun>();
  private readonly changes = new Emitter<RunRecord>();
  private nextId = 1;

  /** Any run began, made progress or ended. */
  readonly onDidChange: Event<RunRecord> = this.changes.event;

  constructor(options: RunsOptions) {
    this.options = options;
  }

  /**
   * Begins a migration.
   *
   * @throws {RunRefusedError} when one of the machines is unknown or in a run already
   */
  start(request: LocalMigrationRequest): Run {
    const ids = [request.source, request.target] as const;
    for (const id of ids) {
      const busy = this.activeById.get(id);
      if (busy === undefined) continue;
      const { sourceLabel, targetLabel } = busy.record;
      throw new RunRefusedError(
        [`A migration of ${sourceLabel} to ${targetLabel} is under way.`],
        'Wait for it, or cancel it.',
      );
    }
    const run = new ActiveRun(this.nextId++, request, this.machine(request.source), {
      target: this.machine(request.target),
      locateHelper: this.options.locateHelper,
      log: (line) => this.options.log?.(line),
    });
    for (const id of ids) {
      this.activeById.set(id, run);
      this.lastById.set(id, run);
    }
    run.onDidChange((record) => {
      if (record.outcome !== undefined) for (const id of ids) this.activeById.delete(id);
      this.changes.fire(record);
    });
    run.begin();
    return run;
  }

  private machine(id: MachineId): MachineHandle {
    const machine = this.options.registry.get(id);
    if (machine !== undefined) return machine;
    throw new RunRefusedError([`There is no machine at ${id} in the list.`], 'Connect it first.');
  }

  /** The run that the machine takes part in now, as source or target. */
  active(id: MachineId): Run | undefined {
    return this.activeById.get(id);
  }

  /** The machine's active run, else its last one. */
  last(id: MachineId): RunRecord | undefined {
    return this.lastById.get(id)?.record;
  }

  /** Stops watching; the QEMUs go on by themselves. */
  dispose(): void {
    for (const run of this.activeById.values()) run.detach();
    this.changes.dispose();
  }
}

interface RunParts {
  readonly target: MachineHandle;
  readonly locateHelper: () => Promise<HelperLocation>;
  readonly log: (line: string) => void;
}

class ActiveRun implements Run {
  private current: RunRecord;
  private readonly source: MachineHandle;
  private readonly parts: RunParts;
  private readonly cancelling = new AbortController();
  private readonly detaching = new AbortController();
  private readonly changes = new Emitter<RunRecord>();
  private settle: (outcome: RunOutcome) => void = () => undefined;

  readonly onDidChange = this.changes.event;
  readonly outcome = new Promise<RunOutcome>((resolve) => {
    this.settle = resolve;
  });

  constructor(id: number, request: LocalMigrationRequest, source: MachineHandle, parts: RunParts) {
    this.source = source;
    this.parts = parts;
    this.current = {
      id,
      request,
      sourceLabel: source.snapshot.label,
      targetLabel: parts.target.snapshot.label,
      startedAt: Date.now(),
      progress: noProgress,
      outcome: undefined,
    };
  }

  get record(): RunRecord {
    return this.current;
  }

  begin(): void {
    void runLocalMigration({
      ...this.parts,
      request: this.current.request,
      source: this.source,
      cancel: this.cancelling.signal,
      detach: this.detaching.signal,
      report: (patch) => this.update({ progress: { ...this.current.progress, ...patch } }),
    }).then((outcome) => {
      this.update({ outcome });
      this.settle(outcome);
    });
  }

  cancel(): void {
    this.cancelling.abort();
  }

  detach(): void {
    this.detaching.abort();
  }

  private update(patch: Partial<RunRecord>): void {
    this.current = { ...this.current, ...patch };
    this.changes.fire(this.current);
  }
}
