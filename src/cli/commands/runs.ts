import { localHost } from '../../migration/liveUpdate/localHost';
import { forgottenUpdate } from '../../migration/liveUpdate/recoverUpdate';
import { LiveUpdates } from '../../migration/liveUpdate/updates';
import { isOneSided, methodOf } from '../../migration/methods/names';
import type { ListedRun, ListedUpdate } from '../../migration/run/journal/journals';
import type { JournalState } from '../../migration/run/journal/state';
import { isRunOf } from '../../migration/run/journal/updateState';
import { forgottenOutcome } from '../../migration/run/recover';
import type { Run } from '../../migration/run/runs';
import { ExitCode, exitCodeOfOutcome, UsageError } from '../exitCodes';
import { outcomeDocument, outcomeLines } from '../outcomeText';
import { Interrupts } from '../interrupts';
import { failureResult, type CommandResult } from '../result';
import { clock, type Session } from '../session';
import { oneLine, table } from '../text';
import { updateDocument, updateExitCode, updateLines } from '../updateText';
import { helperFinder, openRuns, Watch, type WatchOptions } from './watch';

/** The runs that were written down, the newest first. */
export async function runs(
  session: Session,
  { unfinished }: { readonly unfinished: boolean },
): Promise<CommandResult> {
  const { runs: all, damaged } = await session.journals.list();
  const listed = all.filter(({ state }) => !unfinished || !state.ended);
  for (const { path, reason } of damaged) {
    session.terminal.note(`A damaged journal was set aside: ${path} (${reason})`);
  }
  const { updates: allUpdates, damaged: damagedUpdates } = await session.journals.listUpdates();
  const updates = allUpdates.filter(({ state }) => !unfinished || !state.ended);
  for (const { path, reason } of damagedUpdates) {
    session.terminal.note(`A damaged journal was set aside: ${path} (${reason})`);
  }
  const updateRows = updates.map(({ id, state, drivenBy }) => {
    const { plan, machine } = state.begin;
    const end = endOf({ state, drivenBy });
    return [id, timeText(state.startedAt), `live update, ${plan.method}`, machine.label, end];
  });
  const rows = listed.map((run) => {
    const { begin, startedAt } = run.state;
    return [
      run.id,
      timeText(startedAt),
      methodOf(begin.request),
      machinesOf(run.state),
      endOf(run),
    ];
  });
  const forced = listed.flatMap(({ id, state }) => {
    const { force } = state.begin.request;
    return force === undefined ? [] : [`${id} was forced: ${oneLine(force.reason)}`];
  });
  const waiting = [...listed, ...updates].some(
    ({ state, drivenBy }) => !state.ended && drivenBy === undefined,
  );
  const allRows = [...rows, ...updateRows].sort((a, b) => ((a[1] ?? '') < (b[1] ?? '') ? 1 : -1));
  return {
    exitCode: ExitCode.ok,
    lines:
      allRows.length === 0
        ? [unfinished ? 'No migration is unfinished.' : 'No migration was written down yet.']
        : [
            ...table([['RUN', 'BEGAN (UTC)', 'METHOD', 'MACHINES', 'END'], ...allRows]),
            ...forced,
            ...(waiting ? ['To find out the end of one:  qemu-migration resume RUN'] : []),
          ],
    document: {
      runs: listed.map(documentOf),
      updates: updates.map(updateOf),
      damaged: [...damaged, ...damagedUpdates],
    },
  };
}

function timeText(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}

function updateOf({ id, path, state, drivenBy }: ListedUpdate): Record<string, unknown> {
  const { begin, startedAt, ended, outcome, left, incomplete, runId } = state;
  return {
    update: id,
    journal: path,
    startedAt: new Date(startedAt).toISOString(),
    machine: { socket: begin.machine.socket, name: begin.machine.label },
    method: begin.plan.method,
    program: begin.plan.program,
    run: runId,
    finished: ended,
    outcome: outcome?.kind,
    headline: outcome?.headline,
    leftovers: outcome?.leftovers,
    stoppedWatching: left,
    incomplete,
    drivenBy: drivenBy === undefined ? undefined : { pid: drivenBy.pid, program: drivenBy.program },
  };
}

/** Who gives the guest to whom, or to which file. */
function machinesOf(state: JournalState): string {
  const { request, source, target } = state.begin;
  const method = methodOf(request);
  const file = fileOf(state) ?? 'a file';
  if (method === 'restore') return `${file} -> ${target.label}`;
  if (method === 'cpr-exec') return source.label;
  return `${source.label} -> ${isOneSided(method) ? file : target.label}`;
}

function fileOf({ begin, channel }: JournalState): string | undefined {
  return channel?.transport === 'file' ? channel.path : begin.request.options?.file?.path;
}

function endOf({
  state,
  drivenBy,
}: {
  readonly state: {
    readonly ended: boolean;
    readonly outcome?: { readonly kind: string } | undefined;
  };
  readonly drivenBy?: ListedRun['drivenBy'];
}): string {
  if (state.ended) return state.outcome?.kind ?? 'ended';
  if (drivenBy !== undefined) {
    return `under way, driven by ${drivenBy.program} (pid ${drivenBy.pid})`;
  }
  return state.outcome === undefined ? 'unfinished' : `unfinished (${state.outcome.kind})`;
}

function documentOf({ id, path, state, drivenBy }: ListedRun): Record<string, unknown> {
  const { begin, startedAt, ended, outcome, phase, left, incomplete } = state;
  return {
    run: id,
    journal: path,
    startedAt: new Date(startedAt).toISOString(),
    method: methodOf(begin.request),
    file: fileOf(state),
    forceReason: begin.request.force?.reason,
    source: { socket: begin.source.socket, name: begin.source.label },
    target: { socket: begin.target.socket, name: begin.target.label },
    finished: ended,
    outcome: outcome?.kind,
    owner: outcome?.owner,
    headline: outcome?.headline,
    phase: ended ? undefined : phase,
    stoppedWatching: left,
    incomplete,
    drivenBy: drivenBy === undefined ? undefined : { pid: drivenBy.pid, program: drivenBy.program },
  };
}

export interface ResumeOptions extends WatchOptions {
  readonly run: string | undefined;
  readonly all: boolean;
  readonly forget: boolean;
}

/** Takes up one run, or all whose driver is gone. */
export async function resume(session: Session, options: ResumeOptions): Promise<CommandResult> {
  const { run, all, forget } = options;
  if (all === (run !== undefined)) throw new UsageError('Name one RUN, or say --all.');
  if (run !== undefined && forget) return forgetOne(session, run);
  if (forget) throw new UsageError('--forget needs the name of one RUN.');
  if (run !== undefined) {
    return (await isUpdate(session, run))
      ? takeUpUpdate(session, options, run)
      : takeUp(session, options, run);
  }
  return resumeAll(session, options);
}

async function resumeAll(session: Session, options: ResumeOptions): Promise<CommandResult> {
  const { runs: listed, damaged } = await session.journals.list();
  for (const { path, reason } of damaged) {
    session.terminal.note(`A damaged journal was set aside: ${path} (${reason})`);
  }
  const { updates } = await session.journals.listUpdates();
  const openUpdates = updates.filter(({ state }) => !state.ended);
  const unfinished = listed.filter(({ state }) => !state.ended);
  const driven = unfinished.filter(({ drivenBy }) => drivenBy !== undefined).reverse();
  const results: CommandResult[] = [];
  for (const { id, drivenBy } of openUpdates.toReversed()) {
    if (drivenBy !== undefined) continue;
    results.push(await takeUpUpdate(session, options, id).catch(failureResult));
  }
  // The run of an update is taken up with it.
  const left = unfinished.filter(
    ({ state, drivenBy }) =>
      drivenBy === undefined && !openUpdates.some((update) => isRunOf(update.state, state)),
  );
  for (const { id } of left.reverse()) {
    // One that another program has just taken up must not keep us from the others.
    results.push(await takeUp(session, options, id).catch(failureResult));
  }
  const known: ExitCode[] = [
    ExitCode.ok,
    ExitCode.failed,
    ExitCode.cancelled,
    ExitCode.tooLateToCancel,
  ];
  const allKnown = results.every(({ exitCode }) => known.includes(exitCode));
  return {
    exitCode: allKnown ? ExitCode.ok : ExitCode.unknown,
    lines: [
      ...results.flatMap(({ lines }, index) => [...(index === 0 ? [] : ['']), ...lines]),
      ...driven.map((run) => `${run.id} (${machinesOf(run.state)}) is ${endOf(run)}.`),
      ...(unfinished.length === 0 && openUpdates.length === 0
        ? ['No migration is unfinished.']
        : []),
    ],
    document: {
      runs: results.map(({ exitCode, document }) => ({ exitCode, ...document })),
      underWay: driven.map(documentOf),
    },
  };
}

async function isUpdate(session: Session, id: string): Promise<boolean> {
  const { updates } = await session.journals.listUpdates();
  return updates.some((update) => update.id === id || (id !== '' && update.id.endsWith(id)));
}

/** One live update that is taken up and watched to its end. */
async function takeUpUpdate(
  session: Session,
  options: ResumeOptions,
  journalId: string,
): Promise<CommandResult> {
  const runs = openRuns(session, options);
  const { registry, journals, terminal } = session;
  const updates = new LiveUpdates({
    ...{ registry, runs, journals },
    host: localHost(helperFinder(options)),
    log: (line) => {
      if (options.verbose) terminal.note(`${clock()} ${line}`);
    },
  });
  const update = await updates.recover(journalId, (socket) => registry.attach(socket));
  const interrupts = new Interrupts(options.signals, () => update.cancel());
  try {
    const outcome = await update.outcome;
    const { record } = update;
    return {
      exitCode: updateExitCode(outcome),
      lines: updateLines(record, outcome),
      document: updateDocument(record),
    };
  } finally {
    interrupts.dispose();
    updates.dispose();
    runs.dispose();
  }
}

async function forgetOne(session: Session, run: string): Promise<CommandResult> {
  if (await isUpdate(session, run)) return forgetUpdate(session, run);
  const outcome = await session.journals.forget(run, forgottenOutcome);
  return {
    exitCode: ExitCode.ok,
    lines: outcomeLines(outcome),
    document: { run, forgotten: true, headline: outcome.headline },
  };
}

/** Its run may be open as well, and is not called ended with it: that one can still be looked at. */
async function forgetUpdate({ journals }: Session, id: string): Promise<CommandResult> {
  const { state: update } = await journals.findUpdate(id);
  const { runs: listed } = await journals.list();
  const open = listed.find(({ state }) => !state.ended && isRunOf(update, state));
  const { headline, nextStep } = await journals.forgetUpdate(id, forgottenUpdate);
  const next = open && `Its migration is still open:  qemu-migration resume ${open.id}`;
  return {
    exitCode: ExitCode.ok,
    lines: [headline, nextStep, ...(next === undefined ? [] : [next])],
    document: { update: id, forgotten: true, headline, openRun: open?.id },
  };
}

/** One run that is taken up and watched to its end. */
async function takeUp(
  session: Session,
  options: ResumeOptions,
  journalId: string,
): Promise<CommandResult> {
  const watch = new Watch(session, options);
  try {
    const run = await watch.runs.recover(journalId, (socket) => session.registry.attach(socket));
    const outcome = await watch.follow(run);
    return outcome === 'stopped' ? stoppedResult(run) : endedResult(run, outcome);
  } finally {
    watch.dispose();
  }
}

function endedResult(run: Run, outcome: Awaited<Run['outcome']>): CommandResult {
  return {
    exitCode: exitCodeOfOutcome(outcome),
    lines: outcomeLines(outcome),
    document: outcomeDocument(run.record, outcome, run.record.request),
  };
}

function stoppedResult({ record }: Run): CommandResult {
  return {
    exitCode: ExitCode.unknown,
    lines: [
      'Stopped watching. The migration may go on without this program, or be cancelled already.',
      `To watch it again:  qemu-migration resume ${record.journalId ?? ''}`.trimEnd(),
    ],
    document: {
      ...{ outcome: 'unknown', stoppedWatching: true, owner: 'unknown', run: record.journalId },
      status: record.progress.status,
      phase: record.progress.phase,
    },
  };
}
