import type { HelperLocation } from '../../fdpass/locate';
import type { ListedRun } from '../../migration/run/journal/journals';
import { progressLine } from '../../migration/run/progressText';
import { forgottenOutcome } from '../../migration/run/recover';
import { Runs, type Run } from '../../migration/run/runs';
import { ExitCode, exitCodeOfOutcome, UsageError } from '../exitCodes';
import { Interrupts, type SignalSource } from '../interrupts';
import { outcomeDocument, outcomeLines } from '../outcomeText';
import { failureResult, type CommandResult } from '../result';
import { clock, type Session } from '../session';
import { table } from '../text';

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
  const rows = listed.map((run) => {
    const { begin, startedAt } = run.state;
    const when = new Date(startedAt).toISOString().slice(0, 19).replace('T', ' ');
    return [run.id, when, `${begin.source.label} -> ${begin.target.label}`, endOf(run)];
  });
  const waiting = listed.some(({ state, drivenBy }) => !state.ended && drivenBy === undefined);
  return {
    exitCode: ExitCode.ok,
    lines:
      rows.length === 0
        ? [unfinished ? 'No migration is unfinished.' : 'No migration was written down yet.']
        : [
            ...table([['RUN', 'BEGAN (UTC)', 'MACHINES', 'END'], ...rows]),
            ...(waiting ? ['To find out the end of one:  qemu-migration resume RUN'] : []),
          ],
    document: { runs: listed.map(documentOf), damaged },
  };
}

function endOf({ state, drivenBy }: ListedRun): string {
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

export interface ResumeOptions {
  readonly run: string | undefined;
  readonly all: boolean;
  readonly forget: boolean;
  readonly verbose: boolean;
  readonly signals: SignalSource;
}

/** Takes up one run, or all whose driver is gone. */
export async function resume(session: Session, options: ResumeOptions): Promise<CommandResult> {
  const { run, all, forget } = options;
  if (all === (run !== undefined)) throw new UsageError('Name one RUN, or say --all.');
  if (run !== undefined && forget) return forgetOne(session, run);
  if (forget) throw new UsageError('--forget needs the name of one RUN.');
  if (run !== undefined) return new Resumption(session, options).take(run);
  return resumeAll(session, options);
}

async function resumeAll(session: Session, options: ResumeOptions): Promise<CommandResult> {
  const { runs: listed, damaged } = await session.journals.list();
  for (const { path, reason } of damaged) {
    session.terminal.note(`A damaged journal was set aside: ${path} (${reason})`);
  }
  const left = listed.filter(({ state, drivenBy }) => !state.ended && drivenBy === undefined);
  const results: CommandResult[] = [];
  for (const { id } of left.reverse()) {
    // One that another program has just taken up must not keep us from the others.
    results.push(await new Resumption(session, options).take(id).catch(failureResult));
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
    lines:
      results.length === 0
        ? ['No migration is unfinished.']
        : results.flatMap(({ lines }, index) => [...(index === 0 ? [] : ['']), ...lines]),
    document: { runs: results.map(({ exitCode, document }) => ({ exitCode, ...document })) },
  };
}

async function forgetOne(session: Session, run: string): Promise<CommandResult> {
  const outcome = await session.journals.forget(run, forgottenOutcome);
  return {
    exitCode: ExitCode.ok,
    lines: outcomeLines(outcome),
    document: { run, forgotten: true, headline: outcome.headline },
  };
}

/** One run that is taken up and watched to its end. */
class Resumption {
  private readonly session: Session;
  private readonly runs: Runs;
  private readonly interrupts: Interrupts;
  private readonly stopped: Promise<'stopped'>;
  private current: Run | undefined;
  private interrupted = false;

  constructor(session: Session, { verbose, signals }: ResumeOptions) {
    this.session = session;
    this.runs = new Runs({
      registry: session.registry,
      journals: session.journals,
      locateHelper: noHelper,
      ...(verbose && { log: (line: string) => session.terminal.note(`${clock()} ${line}`) }),
    });
    let stop: (how: 'stopped') => void = () => undefined;
    this.stopped = new Promise((resolve) => {
      stop = resolve;
    });
    this.interrupts = new Interrupts(signals, (count) => {
      if (count > 1) {
        stop('stopped');
        return;
      }
      this.interrupted = true;
      this.current?.cancel();
      session.terminal.note(
        'Cancelling, and waiting for what really happens. Once more (Ctrl+C): stop watching.',
      );
    });
  }

  async take(journalId: string): Promise<CommandResult> {
    const { registry, terminal } = this.session;
    try {
      const run = await this.runs.recover(journalId, (socket) => registry.attach(socket));
      this.current = run;
      if (this.interrupted) run.cancel();
      const listening = run.onDidChange(({ progress, outcome }) => {
        if (outcome === undefined) terminal.progress(progressLine(progress));
      });
      const outcome = await Promise.race([run.outcome, this.stopped]);
      listening.dispose();
      terminal.endProgress();
      return outcome === 'stopped' ? stoppedResult(run) : endedResult(run, outcome);
    } finally {
      this.interrupts.dispose();
      this.runs.dispose();
    }
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

/** A channel is open already, or is not needed any more. */
function noHelper(): Promise<HelperLocation> {
  return Promise.reject(new Error('not needed'));
}
