import { locateHelper, type HelperLocation } from '../../fdpass/locate';
import { progressLine } from '../../migration/run/progressText';
import { Runs, type Run } from '../../migration/run/runs';
import type { MigrationRequest, RunOutcome, RunRecord, Transport } from '../../migration/run/types';
import { ExitCode, exitCodeOfOutcome, UsageError } from '../exitCodes';
import { Interrupts, type SignalSource } from '../interrupts';
import { outcomeDocument, outcomeLines } from '../outcomeText';
import type { CommandResult } from '../result';
import { clock, type Session } from '../session';
import { parseBandwidth } from './bandwidth';

export interface MigrateOptions {
  readonly source: string;
  readonly target: string;
  readonly transport: Transport;
  readonly backendTransfer: MigrationRequest['backendTransfer'];
  /** As typed: a rate with its unit, or `unlimited`; absent: as it is set. */
  readonly maxBandwidth: string | undefined;
  readonly helper: { readonly configuredPath?: string; readonly bundledDirectory: string };
  readonly verbose: boolean;
  readonly signals: SignalSource;
}

/** Migrates and watches to the end. The first interrupt cancels, the second stops watching. */
export async function migrate(session: Session, options: MigrateOptions): Promise<CommandResult> {
  const watch = new Watch(session, options);
  try {
    return await Promise.race([watch.stopped, watch.run()]);
  } finally {
    watch.dispose();
  }
}

class Watch {
  /** Comes when the person asked a second time. */
  readonly stopped: Promise<CommandResult>;
  private readonly session: Session;
  private readonly options: MigrateOptions;
  private readonly runs: Runs;
  private readonly interrupts: Interrupts;
  private readonly maxBandwidth: bigint | undefined;
  private readonly paths: { readonly source: string; readonly target: string };
  private interrupted = false;
  private current: Run | undefined;

  constructor(session: Session, options: MigrateOptions) {
    this.session = session;
    this.options = options;
    this.maxBandwidth = parseBandwidth(options.maxBandwidth);
    this.paths = {
      source: session.socketPath(options.source),
      target: session.socketPath(options.target),
    };
    if (this.paths.source === this.paths.target) {
      throw new UsageError(
        'SOURCE and TARGET are the same socket: a guest migrates to another QEMU.',
      );
    }
    this.runs = new Runs({
      registry: session.registry,
      journals: session.journals,
      locateHelper: () => this.locateHelper(),
      ...(options.verbose
        ? { log: (line: string) => session.terminal.note(`${clock()} ${line}`) }
        : {}),
    });
    let stop: (result: CommandResult) => void = () => undefined;
    this.stopped = new Promise((resolve) => {
      stop = resolve;
    });
    this.interrupts = new Interrupts(options.signals, (count) => {
      if (count === 1) this.cancel();
      else stop(this.stoppedResult());
    });
  }

  async run(): Promise<CommandResult> {
    const { session, options, paths } = this;
    const connected = await Promise.all([
      session.connect(paths.source),
      session.connect(paths.target),
    ]);
    if (this.interrupted) return this.neverStarted();
    const [source, target] = connected;
    const run = this.runs.start({
      source: source.id,
      target: target.id,
      transport: options.transport,
      backendTransfer: options.backendTransfer,
      ...(this.maxBandwidth === undefined ? {} : { maxBandwidthBytesPerSecond: this.maxBandwidth }),
    });
    this.current = run;
    this.look(run.record);
    const listening = run.onDidChange(() => this.look(run.record));
    const outcome = await run.outcome;
    listening.dispose();
    session.terminal.endProgress();
    return this.outcomeResult(run.record, outcome);
  }

  dispose(): void {
    this.interrupts.dispose();
    this.runs.dispose();
    this.session.terminal.endProgress();
  }

  private look({ progress, outcome }: RunRecord): void {
    if (outcome === undefined) this.session.terminal.progress(progressLine(progress));
  }

  private cancel(): void {
    this.interrupted = true;
    this.current?.cancel();
    this.session.terminal.note(
      'Cancelling, and waiting for what really happens. Once more (Ctrl+C): stop watching.',
    );
  }

  private locateHelper(): Promise<HelperLocation> {
    return locateHelper({
      ...this.options.helper,
      platform: process.platform,
      arch: process.arch,
    });
  }

  private neverStarted(): CommandResult {
    return {
      exitCode: ExitCode.cancelled,
      lines: ['Cancelled before anything was sent: the guest stays on the source.'],
      document: { outcome: 'cancelled', owner: 'source', ...this.sides() },
    };
  }

  private stoppedResult(): CommandResult {
    const { source, target } = this.paths;
    if (this.current === undefined) return this.neverStarted();
    const { journalId } = this.current.record;
    return {
      exitCode: ExitCode.unknown,
      lines: [
        'Stopped watching. The migration may go on without this program, or be cancelled already.',
        `Look where the guest is, before anything else:  qemu-migration show ${source}`,
        `                                                qemu-migration show ${target}`,
        'Never continue the source while the target may run: that makes two running copies.',
        ...(journalId === undefined
          ? []
          : [`To watch it again, and to have all put back:  qemu-migration resume ${journalId}`]),
        ...(this.maxBandwidth === undefined
          ? []
          : ['max-bandwidth of the source may still be what was set for this run.']),
      ],
      document: {
        outcome: 'unknown',
        stoppedWatching: true,
        run: journalId,
        owner: 'unknown',
        status: this.current.record.progress.status,
        phase: this.current.record.progress.phase,
        ...this.sides(),
      },
    };
  }

  private sides(): Record<string, unknown> {
    return { source: { socket: this.paths.source }, target: { socket: this.paths.target } };
  }

  private outcomeResult(record: RunRecord, outcome: RunOutcome): CommandResult {
    return {
      exitCode: exitCodeOfOutcome(outcome),
      lines: outcomeLines(outcome),
      document: outcomeDocument(record, outcome, this.paths),
    };
  }
}
