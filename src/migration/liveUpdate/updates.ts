import { Emitter, type Disposable, type Event } from '../../qmp/emitter';
import type { MachineId } from '../../vm/types';
import type { Journals } from '../run/journal/journals';
import type { Attach, Runs } from '../run/runs';
import { runUpdate } from './course';
import { updatePatience, type UpdateHost, type UpdatePatience, type UpdateRegistry } from './host';
import { blankUpdate } from './outcome';
import { recoverUpdate } from './recoverUpdate';
import {
  LiveUpdateRefusedError,
  type LiveUpdatePlan,
  type UpdateOutcome,
  type UpdateProgress,
} from './types';

/** One live update from the moment it was accepted; kept as the last result after its end. */
export interface LiveUpdateRecord {
  readonly id: number;
  readonly machine: MachineId;
  readonly label: string;
  /** `undefined`: it was begun by another process, which is gone. */
  readonly plan: LiveUpdatePlan | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly progress: UpdateProgress;
  readonly outcome: UpdateOutcome | undefined;
  /** Its name in the journals, once it has one. */
  readonly journalId: string | undefined;
}

/** One live update under way or ended. */
export interface LiveUpdate {
  readonly record: LiveUpdateRecord;
  readonly onDidChange: Event<LiveUpdateRecord>;
  /** Never rejects. */
  readonly outcome: Promise<UpdateOutcome>;
  /** Asks for a cancel; the outcome tells what became of it. Idempotent. */
  cancel(): void;
}

export interface LiveUpdatesOptions {
  readonly registry: UpdateRegistry;
  readonly runs: Pick<Runs, 'start' | 'active' | 'recover'>;
  readonly host: UpdateHost;
  /** Where updates are written down, so that another process can take them up; absent: nowhere. */
  readonly journals?: Journals;
  readonly log?: (line: string) => void;
  readonly patience?: UpdatePatience;
}

/** How an update is told what its user wants, and tells how it goes. */
export interface UpdateSignals {
  readonly cancel: AbortSignal;
  readonly report: (patch: Partial<UpdateProgress>) => void;
  readonly named: (journalId: string) => void;
}

/** All live updates of this process: at most one a machine at a time, and the last result of each. */
export class LiveUpdates implements Disposable {
  private readonly options: LiveUpdatesOptions;
  private readonly activeById = new Map<MachineId, ActiveUpdate>();
  private readonly lastById = new Map<MachineId, ActiveUpdate>();
  private readonly changes = new Emitter<LiveUpdateRecord>();
  private nextId = 1;

  /** Any update began, made progress or ended. */
  readonly onDidChange: Event<LiveUpdateRecord> = this.changes.event;

  constructor(options: LiveUpdatesOptions) {
    this.options = options;
  }

  /**
   * Carries a plan out.
   *
   * @throws {LiveUpdateRefusedError} the machine is not known, or in an update or a run of ours
   */
  start(plan: LiveUpdatePlan): LiveUpdate {
    const { machine: id } = plan.request;
    const { registry, runs, host, journals, log, patience = updatePatience } = this.options;
    this.failIfBusy(id, plan.label);
    const source = registry.get(id);
    if (source === undefined) {
      const message = `There is no machine at ${id} in the list.`;
      throw new LiveUpdateRefusedError(message, [], 'Connect it first.');
    }
    const update = this.add(id, plan.label, plan, Date.now());
    update.begin((signals) =>
      runUpdate({
        ...signals,
        ...{ plan, source, registry, runs, host, journals, patience },
        log: (line) => log?.(line),
      }),
    );
    return update;
  }

  /**
   * Takes up an update whose driver is gone; see `Journals.listUpdates`.
   *
   * @throws {LiveUpdateRefusedError} the machine is in an update or a run of ours
   * @throws {NoSuchRunError}
   * @throws {MachineDrivenError} when another process was faster
   */
  async recover(journalId: string, attach: Attach): Promise<LiveUpdate> {
    const { registry, runs, journals, log, patience = updatePatience } = this.options;
    if (journals === undefined) throw new Error('Updates without journals cannot be taken up');
    const { state: found } = await journals.findUpdate(journalId);
    this.failIfBusy(found.begin.machine.socket, found.begin.plan.label);
    const { journal, state, holding, add } = await journals.reopenUpdate(journalId);
    const { machine, plan } = state.begin;
    const { socket } = machine;
    const update = this.add(socket, plan.label, undefined, state.startedAt, journal.id);
    update.begin((signals) =>
      recoverUpdate({
        ...signals,
        ...{ journal, state, holding, add, journals, registry, runs, attach, patience },
        log: (line) => log?.(line),
      }),
    );
    return update;
  }

  /** The update that the machine is in now. */
  active(id: MachineId): LiveUpdate | undefined {
    return this.activeById.get(id);
  }

  /** The machine's active update, else its last one. */
  last(id: MachineId): LiveUpdateRecord | undefined {
    return this.lastById.get(id)?.record;
  }

  /** Stops telling; what is under way goes on to its end, or is taken up by another process. */
  dispose(): void {
    this.changes.dispose();
  }

  /** @throws {LiveUpdateRefusedError} */
  private failIfBusy(id: MachineId, label: string): void {
    const busy = this.activeById.has(id)
      ? 'A live update'
      : this.options.runs.active(id) === undefined
        ? undefined
        : 'A migration';
    if (busy === undefined) return;
    const next = 'Wait for it, or cancel it.';
    throw new LiveUpdateRefusedError(`${busy} of ${label} is under way.`, [], next);
  }

  private add(
    id: MachineId,
    label: string,
    plan: LiveUpdatePlan | undefined,
    startedAt: number,
    journalId?: string,
  ): ActiveUpdate {
    const update = new ActiveUpdate({
      ...{ id: this.nextId++, machine: id, label, plan, startedAt, journalId },
      progress: { phase: 'plan', step: '', run: undefined },
      outcome: undefined,
    });
    this.activeById.set(id, update);
    this.lastById.set(id, update);
    update.onDidChange((record) => {
      if (record.outcome !== undefined) this.activeById.delete(id);
      this.changes.fire(record);
    });
    return update;
  }
}

class ActiveUpdate implements LiveUpdate {
  private current: LiveUpdateRecord;
  private readonly cancelling = new AbortController();
  private readonly changes = new Emitter<LiveUpdateRecord>();
  private settle: (outcome: UpdateOutcome) => void = () => undefined;

  readonly onDidChange = this.changes.event;
  readonly outcome = new Promise<UpdateOutcome>((resolve) => {
    this.settle = resolve;
  });

  constructor(record: LiveUpdateRecord) {
    this.current = record;
  }

  get record(): LiveUpdateRecord {
    return this.current;
  }

  begin(drive: (signals: UpdateSignals) => Promise<UpdateOutcome>): void {
    void drive({
      cancel: this.cancelling.signal,
      report: (patch) => this.update({ progress: { ...this.current.progress, ...patch } }),
      named: (journalId) => this.update({ journalId }),
    })
      // No driver rejects; should one do so after all, the update must not stay open for ever.
      .catch((error: unknown) => outcomeOfFault(this.current, error))
      .then((outcome) => {
        const progress = { ...this.current.progress, phase: 'ended', step: '' } as const;
        this.update({ outcome, progress });
        this.settle(outcome);
      });
  }

  cancel(): void {
    this.cancelling.abort();
  }

  private update(patch: Partial<LiveUpdateRecord>): void {
    this.current = { ...this.current, ...patch };
    this.changes.fire(this.current);
  }
}

function outcomeOfFault({ label, machine }: LiveUpdateRecord, error: unknown): UpdateOutcome {
  return {
    ...blankUpdate,
    kind: 'unknown',
    headline: 'A fault of this program ended the update; the QEMUs were left as they are.',
    details: [error instanceof Error ? error.message : String(error)],
    nextStep: `Look at "query-status" of ${label} at ${machine}, and for a second QEMU beside it. Continue neither until one is known not to run.`,
  };
}
