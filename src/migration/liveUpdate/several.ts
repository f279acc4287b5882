import type { FleetEnd, FleetOptions, FleetRow, UpdateDesk } from './desk';
import type { LiveUpdate, LiveUpdateRecord } from './updates';
import { LiveUpdateRefusedError, type LiveUpdatePlan, type UpdateOutcome } from './types';

/** Several updates that go on. */
export interface Fleet {
  /** Never rejects. */
  readonly end: Promise<FleetEnd>;
  /** As it stands. */
  readonly rows: readonly FleetRow[];
  /** Cancels those under way, and begins no other. */
  cancel(): void;
}

/** The longest pause that was measured: by QEMU, or from STOP to RESUME. */
export function longestPause({ times }: Pick<UpdateOutcome, 'times'>): number | undefined {
  const known = [times.downtimeMs, times.blackoutMs].filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/**
 * Updates the first machine alone, and the others only when it went well: its guest runs in the new
 * QEMU, nothing was left behind, and its pause is known and within the limit. The same is asked of each; the
 * first that fails it keeps those that have not begun from beginning.
 */
export function updateSeveral(
  desk: Pick<UpdateDesk, 'start'>,
  plans: readonly LiveUpdatePlan[],
  options: FleetOptions,
  onDidChange: (record: LiveUpdateRecord) => void = () => undefined,
): Fleet {
  const rows: FleetRow[] = plans.map((plan) => ({ plan, record: undefined, skipped: undefined }));
  const active = new Set<LiveUpdate>();
  let stopped: string | undefined;
  let breached = false;
  let next = 0;

  const stop = (why: string): void => {
    stopped ??= why;
  };
  const one = async (index: number, plan: LiveUpdatePlan): Promise<void> => {
    let update: LiveUpdate;
    try {
      update = desk.start(plan);
    } catch (error) {
      const why = error instanceof LiveUpdateRefusedError ? error.message : String(error);
      rows[index] = { plan, record: undefined, skipped: why };
      stop(`${plan.label} could not begin: ${why}`);
      return;
    }
    active.add(update);
    const keep = (record: LiveUpdateRecord): void => {
      rows[index] = { plan, record, skipped: undefined };
      onDidChange(record);
    };
    keep(update.record);
    const listening = update.onDidChange(keep);
    const outcome = await update.outcome;
    listening.dispose();
    active.delete(update);
    keep(update.record);
    const problem = problemOf(plan.label, outcome, options);
    if (problem === undefined) return;
    breached ||= problem.breach && stopped === undefined;
    stop(problem.why);
  };
  const worker = async (): Promise<void> => {
    for (;;) {
      const index = next;
      const plan = plans[index];
      if (plan === undefined || stopped !== undefined) return;
      next += 1;
      await one(index, plan);
    }
  };
  const all = async (): Promise<FleetEnd> => {
    const [canary] = plans;
    next = 1;
    if (canary !== undefined) await one(0, canary);
    await Promise.all(Array.from({ length: Math.max(1, options.atATime) }, worker));
    return {
      rows: rows.map((row) =>
        row.record === undefined && row.skipped === undefined
          ? { ...row, skipped: 'not begun' }
          : row,
      ),
      stopped,
      breached,
    };
  };
  return {
    end: all(),
    rows,
    cancel: () => {
      stop('It was cancelled.');
      for (const update of active) update.cancel();
    },
  };
}

function problemOf(
  label: string,
  outcome: UpdateOutcome,
  { pauseLimitMs }: FleetOptions,
): { readonly why: string; readonly breach: boolean } | undefined {
  const fault = (why: string): { why: string; breach: boolean } => ({ why, breach: false });
  if (outcome.kind !== 'updated') return fault(`${label}: ${outcome.headline}`);
  if (outcome.leftovers.length > 0) {
    return fault(`${label} is updated, but left something behind: ${outcome.leftovers.join(' ')}`);
  }
  if (pauseLimitMs === undefined) return undefined;
  const pause = longestPause(outcome);
  if (pause === undefined) return fault(`The pause of ${label} was not measured.`);
  if (pause <= pauseLimitMs) return undefined;
  const measured = Number(pause.toFixed(1));
  return {
    why: `${label} stood still for ${measured} ms, more than the ${pauseLimitMs} ms that are allowed.`,
    breach: true,
  };
}
