import type { HelperLocation } from '../../fdpass/locate';
import { Emitter, type Disposable, type Event } from '../../qmp/emitter';
import type { MachineHandle, MachineId, MachineSnapshot } from '../../vm/types';
import { RunRefusedError } from './checks/checks';
import type { Holding, Journals } from './journal/journals';
import type { RunJournal } from './journal/runJournal';
import type { JournalState } from './journal/state';
import { methodOf } from '../methods/names';
import { checkControl, ControlRefusedError, type ControlRequest } from './controls';
import { runTwoSided } from './twoSided';
import { runCprExec } from './oneSided/cprExec';
import { lockOfFile } from './oneSided/fileHistory';
import { runRestore } from './oneSided/restore';
import { runSave } from './oneSided/save';
import type { ControlHandler, RunContext, RunParts } from './runContext';
import type { Patience } from './patience';
import { noProgress } from './progressText';
import { recoverRun } from './recover';
import type { MigrationRequest, RunOutcome, RunRecord } from './types';

/** One migration under way or ended. */
export interface Run {
  readonly record: RunRecord;
  readonly onDidChange: Event<RunRecord>;
  /** Never rejects. */
  readonly outcome: Promise<RunOutcome>;
  /** Asks for a cancel; the outcome tells what became of it. Idempotent. */
  cancel(): void;
  /**
   * Uses one of the controls, see `controlOffers`.
   *
   * @throws {ControlRefusedError} it cannot be used now; nothing was sent
   * @throws {QmpError} QEMU refused, or did not answer
   */
  control(request: ControlRequest): Promise<void>;
}

export interface RunsOptions {
  readonly registry: { get(id: MachineId): MachineHandle | undefined };
  readonly locateHelper: () => Promise<HelperLocation>;
  /** Where runs are written down, so that another process can take them up; absent: nowhere. */
  readonly journals?: Journals;
  readonly log?: (line: string) => void;
  /** How long a run that is begun here waits; absent: as long as is good for real QEMUs. */
  readonly patience?: Patience;
}

/** Adds a machine to the list, connected if that can be done. */
export type Attach = (socketPath: string) => Promise<MachineHandle>;

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
   * @param parts of a caller that does more than this run
   * @throws {RunRefusedError} when one of the machines is unknown or in a run already
   */
  start(request: MigrationRequest, parts: RunParts = {}): Run {
    this.failIfBusy(request);
    const source = this.machine(request.source);
    const target = this.machine(request.target);
    const labels = { source: source.snapshot.label, target: target.snapshot.label };
    const run = new ActiveRun(this.nextId++, request, labels, Date.now(), this.look);
    this.add(run, parts.holding !== undefined || parts.beforeSwitchover !== undefined);
    run.begin((signals) =>
      driverOf(request)({
        ...signals,
        ...parts,
        request,
        source,
        target,
        locateHelper: this.options.locateHelper,
        machineAt: (id) => this.options.registry.get(id),
        journals: this.options.journals,
        log: (line) => this.options.log?.(line),
        patience: this.options.patience,
      }),
    );
    return run;
  }

  /**
   * Takes up a run whose driver is gone; see `Journals.list`.
   *
   * @param holding what the caller has claimed already
   * @throws {RunRefusedError} when one of the machines is in a run of ours
   * @throws {NoSuchRunError}
   * @throws {MachineDrivenError} when another process was faster
   */
  async recover(journalId: string, attach: Attach, holding?: Holding): Promise<Run> {
    const { journals } = this.options;
    if (journals === undefined) throw new Error('Runs without journals cannot be taken up');
    const { state: found } = await journals.find(journalId);
    this.failIfBusy(found.begin.request);
    const { journal, state } = await journals.reopen(
      journalId,
      holding,
      async ({ request: { options } }) =>
        options?.file === undefined ? undefined : lockOfFile(options.file.path),
    );
    return this.takeUp(journal, state, attach, holding !== undefined);
  }

  private takeUp(
    journal: RunJournal,
    state: JournalState,
    attach: Attach,
    isPartOfUpdate: boolean,
  ): Run {
    const { begin, startedAt } = state;
    const labels = { source: begin.source.label, target: begin.target.label };
    const run = new ActiveRun(
      ...([this.nextId++, begin.request, labels, startedAt, this.look, journal.run] as const),
    );
    this.add(run, isPartOfUpdate);
    run.begin((signals) =>
      recoverRun({
        ...signals,
        journal,
        state,
        attach,
        locateHelper: this.options.locateHelper,
        log: (line) => this.options.log?.(line),
      }),
    );
    return run;
  }

  /** @throws {RunRefusedError} */
  private failIfBusy({ source, target }: MigrationRequest): void {
    for (const id of new Set([source, target])) {
      const busy = this.activeById.get(id);
      if (busy === undefined) continue;
      const { sourceLabel, targetLabel } = busy.record;
      throw new RunRefusedError(
        [`A migration of ${sourceLabel} to ${targetLabel} is under way.`],
        'Wait for it, or cancel it.',
      );
    }
  }

  private add(run: ActiveRun, isPartOfUpdate: boolean): void {
    const { source, target } = run.record.request;
    for (const id of [source, target]) {
      this.activeById.set(id, run);
      this.lastById.set(id, run);
    }
    run.onDidChange((record) => {
      if (record.outcome !== undefined) {
        for (const id of [source, target]) {
          this.activeById.delete(id);
          // The new QEMU gets the name of the old one: what was good advice for that would end the guest.
          if (isPartOfUpdate && record.outcome.owner === 'target') this.lastById.delete(id);
        }
      }
      this.changes.fire(record);
    });
  }

  private readonly look = (id: MachineId): MachineSnapshot | undefined =>
    this.options.registry.get(id)?.snapshot;

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

/** Who carries a run out. */
function driverOf(request: MigrationRequest): (context: RunContext) => Promise<RunOutcome> {
  const method = methodOf(request);
  switch (method) {
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
    case 'cpr-transfer':
      return runTwoSided;
    case 'save':
    case 'cpr-reboot':
      return runSave;
    case 'restore':
      return runRestore;
    case 'cpr-exec':
      return runCprExec;
  }
}

/** How a run is told what its user wants, and tells how it goes. */
type Signals = Pick<RunContext, 'cancel' | 'detach' | 'wishes' | 'report'> & {
  readonly named: (journalId: string) => void;
};

class ActiveRun implements Run {
  private current: RunRecord;
  private readonly cancelling = new AbortController();
  private readonly detaching = new AbortController();
  private readonly changes = new Emitter<RunRecord>();
  private settle: (outcome: RunOutcome) => void = () => undefined;
  private handler: ControlHandler | undefined;
  private readonly look: (id: MachineId) => MachineSnapshot | undefined;

  readonly onDidChange = this.changes.event;
  readonly outcome = new Promise<RunOutcome>((resolve) => {
    this.settle = resolve;
  });

  constructor(
    id: number,
    request: MigrationRequest,
    labels: { readonly source: string; readonly target: string },
    startedAt: number,
    look: (id: MachineId) => MachineSnapshot | undefined,
    takenUp?: string,
  ) {
    this.look = look;
    this.current = {
      id,
      request,
      sourceLabel: labels.source,
      targetLabel: labels.target,
      startedAt,
      // Who has the guest of a run that is taken up is what has to be found out.
      progress: takenUp === undefined ? noProgress : { ...noProgress, owner: 'unknown' },
      outcome: undefined,
      journalId: takenUp,
      takenUp: takenUp !== undefined,
    };
  }

  get record(): RunRecord {
    return this.current;
  }

  begin(drive: (signals: Signals) => Promise<RunOutcome>): void {
    void drive({
      cancel: this.cancelling.signal,
      detach: this.detaching.signal,
      wishes: { handle: (handler) => (this.handler = handler) },
      report: (patch) => this.update({ progress: { ...this.current.progress, ...patch } }),
      named: (journalId) => this.update({ journalId }),
    })
      // No driver rejects; should one do so after all, the run must not stay open for ever.
      .catch((error: unknown) => outcomeOfFault(this.current, error))
      .then((outcome) => {
        this.update({ outcome });
        this.settle(outcome);
      });
  }

  cancel(): void {
    this.cancelling.abort();
  }

  async control(request: ControlRequest): Promise<void> {
    if (request.id === 'cancel') this.cancel();
    else if (this.current.outcome !== undefined) {
      throw new ControlRefusedError(request.id, 'The run has ended.', 'Nothing is left to do.');
    } else if (this.handler === undefined) {
      const next = 'Wait until it transfers.';
      throw new ControlRefusedError(request.id, 'The run has not begun to transfer.', next);
    } else {
      const { source, target } = this.current.request;
      checkControl(request, this.current, this.look(source), this.look(target));
      await this.handler(request);
    }
  }

  detach(): void {
    this.detaching.abort();
  }

  private update(patch: Partial<RunRecord>): void {
    this.current = { ...this.current, ...patch };
    this.changes.fire(this.current);
  }
}

function outcomeOfFault({ sourceLabel, targetLabel }: RunRecord, error: unknown): RunOutcome {
  return {
    kind: 'unknown',
    owner: 'unknown',
    guestRunning: undefined,
    sourceError: undefined,
    targetError: undefined,
    totalTimeMs: undefined,
    downtimeMs: undefined,
    transferredBytes: undefined,
    headline: 'A fault of this program ended the run; the QEMUs were left as they are.',
    details: [error instanceof Error ? error.message : String(error)],
    nextStep: `Look at "query-status" of ${[...new Set([sourceLabel, targetLabel])].join(' and ')}. Continue neither until one is known not to run; then take the run up again.`,
  };
}
