import type { Disposable } from '../../qmp/emitter';
import type { JsonObject } from '../../qmp/json';
import { isAlive } from '../../vm/process';
import type { MachineHandle, QemuProcess } from '../../vm/types';
import { addPlannedNics, nicId, type PlannedNic } from '../methods/targetDevices';
import { isForceable, reasonProblem } from '../run/checks/force';
import type { ObstacleId } from '../run/checks/obstacle';
import { identifyMachine, identityOf } from '../run/journal/processes';
import type { Journals, UpdateClaim } from '../run/journal/journals';
import type { JournalledPlan, UpdateEntry } from '../run/journal/updateEntries';
import type { UpdateJournal } from '../run/journal/updateJournal';
import { Side } from '../run/look';
import type { Run } from '../run/runs';
import type { TargetDevices } from '../run/runContext';
import type { MigrationRequest, RunOutcome } from '../run/types';
import type { RunParts } from '../run/runContext';
import type {
  LedgerAfter,
  StartedQemu,
  UpdateHost,
  UpdatePatience,
  UpdateRegistry,
  WatchedTaps,
} from './host';
import { journalPlan } from './journalledPlan';
import { Stopwatch } from './measure';
import { fileAt } from './names';
import { blankUpdate, journalEnd, problemLines, stayedOutcome } from './outcome';
import { ownPaths, rollBack } from './rollBack';
import { settleUpdate } from './settle';
import { meetTarget } from './startTarget';
import {
  LiveUpdateRefusedError,
  type LiveUpdatePlan,
  type UpdateOutcome,
  type UpdateProgress,
} from './types';

/** What begins runs; see `Runs`. */
export interface UpdateRuns {
  start(request: MigrationRequest, parts?: RunParts): Run;
}

export interface UpdateContext {
  readonly plan: LiveUpdatePlan;
  readonly source: MachineHandle;
  readonly registry: UpdateRegistry;
  readonly runs: UpdateRuns;
  readonly journals: Journals | undefined;
  readonly host: UpdateHost;
  readonly patience: UpdatePatience;
  /** Aborted when the user wants to cancel. */
  readonly cancel: AbortSignal;
  readonly report: (patch: Partial<UpdateProgress>) => void;
  /** Told the update's name in the journals. */
  readonly named: (journalId: string) => void;
  readonly log: (line: string) => void;
}

/** The user's cancel came before the run. */
class CancelledError extends Error {}

/**
 * One live update, from the first look to the settled end. Never rejects: the outcome tells what
 * happened and what is left.
 */
export async function runUpdate(context: UpdateContext): Promise<UpdateOutcome> {
  const { plan, source, journals, report, named } = context;
  let claim: UpdateClaim | undefined;
  let journal: UpdateJournal | undefined;
  let process: QemuProcess;
  let journalled: JournalledPlan;
  try {
    report({ phase: 'plan', step: 'Looking at the machine once more.' });
    failOnFindings(plan);
    await source.refresh();
    process = await sourceProcess(context);
    claim = await journals?.claimUpdate(source.snapshot);
    journalled = await journalPlan(plan);
    await failIfTaken(plan, journalled);
    if (context.cancel.aborted) throw new CancelledError('cancelled before it began');
    const guestRan = source.snapshot.facts?.runState.running ?? false;
    journal = await claim?.begin({ plan: journalled, guestRan });
  } catch (error) {
    await claim?.release();
    return refusedOutcome(plan, error);
  }
  if (journal !== undefined) named(journal.id);
  const course = new Course(context, { journal, claim, process, journalled });
  const { outcome, settled } = await course.carryOut();
  await journal?.end(journalEnd(outcome), settled);
  return withJournalRemarks(outcome, journal, settled);
}

interface CourseParts {
  readonly journal: UpdateJournal | undefined;
  readonly claim: UpdateClaim | undefined;
  readonly process: QemuProcess;
  readonly journalled: JournalledPlan;
}

interface CourseEnd {
  readonly outcome: UpdateOutcome;
  /** False: something is left that another try could do. */
  readonly settled: boolean;
}

/** The part of an update that changes something. */
class Course {
  private readonly context: UpdateContext;
  private readonly parts: CourseParts;
  private readonly stopwatch = new Stopwatch();
  private readonly sourceSide: Side;
  private taps: WatchedTaps | undefined;
  private started: StartedQemu | undefined;
  private target: MachineHandle | undefined;
  private ledger: LedgerAfter | undefined;

  constructor(context: UpdateContext, parts: CourseParts) {
    this.context = context;
    this.parts = parts;
    this.sourceSide = new Side(context.source, parts.process);
  }

  async carryOut(): Promise<CourseEnd> {
    const { plan, log, host } = this.context;
    this.ledger = await host.ledger(plan, this.parts.process).catch(() => undefined);
    let run: RunOutcome | undefined;
    try {
      if (plan.method !== 'cpr-exec') await this.start();
      this.failIfCancelled();
      run = await this.run();
    } catch (error) {
      log(`live update: ${String(error)}`);
      const cancelled = error instanceof CancelledError || this.context.cancel.aborted;
      return await this.takeBack({
        kind: cancelled ? 'cancelled' : 'failed',
        run: undefined,
        reasons: cancelled ? [] : problemLines(error),
        proven: 'no run was begun, so it was never given a guest',
      });
    } finally {
      this.stopwatch.dispose();
    }
    return this.conclude(run);
  }

  /** The target is there, and made ready; the guest runs on the source. */
  private async start(): Promise<void> {
    const { context, parts } = this;
    const { plan, host, registry, patience, cancel, report } = context;
    report({ phase: 'start', step: 'Starting the new QEMU.' });
    const taps = plan.start.adopt.filter(({ tap }) => tap !== undefined);
    if (taps.length > 0) {
      await this.record({ kind: 'guard' });
      this.taps = await host.watchTaps(parts.process, taps, cancel);
    }
    this.failIfCancelled();
    await this.record({ kind: 'launch' });
    this.started = await host.launch(parts.process, plan.start, cancel);
    const { process, missing } = this.started;
    await this.record({ kind: 'launched', process: await identityOf(process) });
    for (const what of missing) context.log(`not as the old QEMU has it: ${what}`);
    report({ step: 'Waiting for the new QEMU.' });
    this.target = await meetTarget(plan, this.started, registry, patience, cancel);
    // With cpr-transfer it takes them only when the source has begun.
    if (plan.start.cprSocket === undefined) await this.taps?.taken();
    const { snapshot } = this.target;
    await parts.claim?.add(await identifyMachine({ ...snapshot, process }));
  }

  private async run(): Promise<RunOutcome> {
    const { source, runs, report, cancel } = this.context;
    const target = this.target ?? source;
    this.stopwatch.watch(source, target);
    await this.record({ kind: 'run' });
    this.failIfCancelled();
    report({ phase: 'run', step: 'Handing the guest over.' });
    const run = runs.start(this.request(target), {
      holding: this.parts.claim?.holding,
      targetDevices: this.targetDevices(),
      beforeSwitchover: () => this.taps?.handOver() ?? Promise.resolve(),
    });
    const listening = this.follow(run);
    const stop = (): void => run.cancel();
    cancel.addEventListener('abort', stop, { once: true });
    if (cancel.aborted) stop();
    try {
      const outcome = await run.outcome;
      this.stopwatch.noteCompleted();
      return outcome;
    } finally {
      cancel.removeEventListener('abort', stop);
      listening.dispose();
    }
  }

  private request(target: MachineHandle): MigrationRequest {
    const { plan, source } = this.context;
    const { force } = plan.request;
    return {
      ...plan.run,
      ...{ source: source.id, target: target.id },
      ...(force !== undefined && { force }),
      // Queues are handed over while the guest stands still.
      ...(this.taps?.severalQueues === true && {
        options: { ...plan.run.options, guardSwitchover: true },
      }),
    };
  }

  private follow(run: Run): Disposable {
    let isNamed = false;
    return run.onDidChange(({ progress, journalId }) => {
      if (journalId !== undefined && !isNamed) {
        isNamed = true;
        this.parts.journal?.jot({ kind: 'run-id', run: journalId });
      }
      if (progress.phase === 'transfer') this.stopwatch.noteMigrate();
      this.context.report({ run: progress });
    });
  }

  private targetDevices(): TargetDevices | undefined {
    const nics = this.context.plan.hotAdd.map(({ netdev, device }): PlannedNic => ({
      netdev: netdev as JsonObject,
      device: device as JsonObject,
    }));
    if (nics.length === 0) return undefined;
    return {
      ids: nics.map(nicId),
      add: (target) =>
        addPlannedNics(target, nics, (device) => this.record({ kind: 'device', device })),
    };
  }

  /** The run is over: what it says of the guest decides. */
  private async conclude(run: RunOutcome): Promise<CourseEnd> {
    const { plan } = this.context;
    switch (run.owner) {
      case 'target':
        // There both sides are one process: only a run that ended well says that the guest is there.
        if (plan.method === 'cpr-exec' && !['completed', 'too-late-to-cancel'].includes(run.kind)) {
          return this.leave(run);
        }
        return this.settle(run);
      case 'source':
        // A cpr-exec has one machine, and its guest is always the source's.
        if (plan.method === 'cpr-exec' && run.kind === 'completed') return this.settle(run);
        return this.takeBack({
          kind: run.kind === 'cancelled' ? 'cancelled' : 'failed',
          run,
          reasons: [run.headline, ...run.details],
          nextStep: nextUpdate(run),
          proven: 'the run has ended, and the source has the guest',
        });
      case 'neither-yet':
      case 'file':
      case 'nobody':
      case 'unknown':
        return this.leave(run);
    }
  }

  private async settle(run: RunOutcome): Promise<CourseEnd> {
    const { context, parts, stopwatch } = this;
    const { plan, source, registry, patience, log, report } = context;
    report({ phase: 'settle', step: 'Ending the old QEMU.' });
    const pid = this.started?.process ?? parts.process;
    const target = this.target ?? source;
    const settled =
      this.started === undefined
        ? undefined
        : await settleUpdate({
            ...{ plan: parts.journalled, machine: source.id, registry, patience, log },
            source: this.sourceSide,
            sourceProcess: parts.process,
            target: new Side(target, pid, undefined),
            targetProcess: pid,
            record: (entry) => this.record(entry),
            jot: (entry) => parts.journal?.jot(entry),
            step: (step) => report({ step }),
          });
    await this.taps?.release();
    const leftovers = settled?.leftovers ?? [];
    const ledger = await this.ledger?.(pid).catch(() => undefined);
    const version = (registry.get(source.id) ?? target).snapshot.facts?.version;
    const now = version === undefined ? '' : ` ${version.major}.${version.minor}.${version.micro}`;
    const log_ = this.started === undefined ? [] : [`It writes to ${plan.start.logFile}.`];
    const stands = run.guestRunning === false ? 'is (paused)' : 'runs';
    return {
      settled: settled?.sourceGone ?? true,
      outcome: {
        ...blankUpdate,
        kind: 'updated',
        run,
        headline: `The guest of ${plan.label} ${stands} in the new QEMU${now} (pid ${pid.pid}).`,
        details: [...(run.kind === 'completed' ? [] : [run.headline]), ...run.details, ...log_],
        nextStep:
          leftovers.length === 0 ? 'Nothing is left to do.' : 'See to what was left behind.',
        times: stopwatch.read(run.downtimeMs, settled?.sourceGoneAt, settled?.doneAt),
        ledger: ledger ?? plan.ledger,
        leftovers,
        targetPid: pid.pid,
        findings: plan.findings,
      },
    };
  }

  private async takeBack(why: {
    readonly kind: 'failed' | 'cancelled';
    readonly run: RunOutcome | undefined;
    readonly reasons: readonly string[];
    readonly nextStep?: string;
    readonly proven: string;
  }): Promise<CourseEnd> {
    const { context, parts } = this;
    const { plan, source, registry, patience, log, report } = context;
    report({ phase: 'roll-back' });
    const pid = this.started?.process;
    const { target } = this;
    const wrote = await this.lastLines(why.reasons);
    const { leftovers, targetGone } = await rollBack(
      {
        ...{ plan: parts.journalled, taps: this.taps, proven: why.proven, patience, log },
        source: this.sourceSide,
        target: new Side(target ?? source, pid ?? parts.process),
        targetProcess: pid,
        record: (entry) => this.record(entry),
        step: (step) => report({ step }),
        forget: async () => {
          if (pid !== undefined) await registry.remove(plan.start.qmpSocket);
        },
      },
      why.reasons[0] ?? why.kind,
    );
    const outcome = stayedOutcome(
      plan.label,
      { ...why, reasons: [...why.reasons, ...wrote] },
      leftovers,
    );
    const times = this.stopwatch.read(undefined);
    return { outcome: { ...outcome, findings: plan.findings, times }, settled: targetGone };
  }

  /** Its log is removed with it: the last lines are worth more than the file. */
  private async lastLines(told: readonly string[]): Promise<readonly string[]> {
    const lines = (await this.started?.stderr()) ?? [];
    const news = lines.filter((line) => !told.some((reason) => reason.includes(line)));
    return news.length === 0 ? [] : [`The new QEMU wrote: ${news.join(' / ')}`];
  }

  /** Nobody knows who has the guest, or nobody has it: both are left as they are. */
  private async leave(run: RunOutcome): Promise<CourseEnd> {
    const { plan, source } = this.context;
    const lost = run.owner === 'nobody';
    const pid = this.started?.process;
    const isThere = pid !== undefined && (await isAlive(pid));
    const places = [
      `the old QEMU (pid ${this.parts.process.pid}) at ${source.id}`,
      ...(isThere ? [`the new one (pid ${pid.pid}) at ${plan.start.qmpSocket}`] : []),
    ].join(' and ');
    return {
      settled: lost && !isThere,
      outcome: {
        ...blankUpdate,
        kind: lost ? 'failed' : 'unknown',
        run,
        headline: run.headline,
        details: [...run.details, `Nothing was ended or removed: ${places}.`],
        nextStep: run.nextStep,
        times: this.stopwatch.read(run.downtimeMs),
        leftovers: lost ? [`Both were left as they are: ${places}.`] : [],
        targetPid: pid?.pid,
        findings: plan.findings,
      },
    };
  }

  private failIfCancelled(): void {
    if (this.context.cancel.aborted) throw new CancelledError('cancelled before the run');
  }

  private record(entry: UpdateEntry): Promise<void> {
    return this.parts.journal?.record(entry) ?? Promise.resolve();
  }
}

/** @throws {LiveUpdateRefusedError} */
function failOnFindings({ findings, request, run, label }: LiveUpdatePlan): void {
  const blocking = findings.filter(({ level }) => level === 'blocks');
  if (blocking.length === 0) return;
  const method = { ...run, source: '', target: '' };
  const reason = request.force?.reason;
  const problem = reason === undefined ? undefined : reasonProblem(reason);
  const remaining =
    reason === undefined || problem !== undefined
      ? blocking
      : blocking.filter(({ id }) => !isForceable({ id: id as ObstacleId }, method));
  if (remaining.length === 0) return;
  throw new LiveUpdateRefusedError(
    `${label} cannot be updated so: ${remaining.map(({ what }) => what).join(' ')}`,
    remaining,
    [
      ...(problem === undefined ? [] : [problem]),
      ...remaining.map(({ nextStep }) => nextStep),
    ].join(' '),
  );
}

/** The process that the plan was made of. @throws {LiveUpdateRefusedError} */
async function sourceProcess({ plan, source }: UpdateContext): Promise<QemuProcess> {
  const found = (await source.identify()) ?? source.snapshot.process;
  const { like } = plan.start;
  if (found !== undefined && found.pid === like.pid && found.startTicks === like.startTicks) {
    return found;
  }
  throw new LiveUpdateRefusedError(
    `${plan.label} is not the QEMU any more that the plan was made for (pid ${like.pid}).`,
    [],
    'Make the plan anew.',
  );
}

/** The target's paths have to be its own. @throws {LiveUpdateRefusedError} */
async function failIfTaken(plan: LiveUpdatePlan, journalled: JournalledPlan): Promise<void> {
  if (plan.method === 'cpr-exec') return;
  for (const path of ownPaths(journalled)) {
    if ((await fileAt(path)) === undefined) continue;
    throw new LiveUpdateRefusedError(
      `There is something at ${path} already, which the new QEMU was to have for itself.`,
      [],
      'Make the plan anew.',
    );
  }
}

/** The run's own next step is about a target that the update has ended by itself. */
function nextUpdate({ kind, cure, guestRunning, nextStep }: RunOutcome): string {
  if (guestRunning !== true) return nextStep;
  if (kind === 'cancelled') return 'Make the plan anew to try again.';
  return `${cure ?? 'Mend the cause.'} Then make the plan anew.`;
}

function refusedOutcome({ label, findings }: LiveUpdatePlan, error: unknown): UpdateOutcome {
  const isCancel = error instanceof CancelledError;
  const refused = error instanceof LiveUpdateRefusedError ? error : undefined;
  return {
    ...blankUpdate,
    kind: isCancel ? 'cancelled' : 'refused',
    headline: isCancel
      ? `Cancelled before anything was changed: ${label} runs on.`
      : `The update of ${label} was not begun.`,
    details: isCancel ? [] : refused === undefined ? problemLines(error) : [refused.message],
    nextStep: refused?.nextStep ?? (isCancel ? '' : 'Mend the cause and try again.'),
    findings,
  };
}

function withJournalRemarks(
  outcome: UpdateOutcome,
  journal: UpdateJournal | undefined,
  settled: boolean,
): UpdateOutcome {
  if (journal === undefined) return outcome;
  const remarks: string[] = [];
  if (!settled) {
    remarks.push(
      `This update stays open: "qemu-migration resume ${journal.id}" takes it up again.`,
    );
  }
  if (journal.problem !== undefined) {
    const why = journal.problem.replace(/\.$/, '');
    remarks.push(`The journal of this update (${journal.id}) is incomplete: ${why}.`);
  }
  return remarks.length === 0 ? outcome : { ...outcome, details: [...outcome.details, ...remarks] };
}
