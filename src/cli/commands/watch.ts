import { locateHelper } from '../../fdpass/locate';
import {
  checkControl,
  ControlRefusedError,
  type ControlRequest,
} from '../../migration/run/controls';
import type { ConvergenceVerdict } from '../../migration/run/pace/convergence';
import { lampText, progressLine } from '../../migration/run/progressText';
import { Runs, type Run } from '../../migration/run/runs';
import type { GuestOwner, RunOutcome, RunRecord } from '../../migration/run/types';
import { explain, explanationText } from '../../migration/view/words';
import type { MachineId, MachineSnapshot } from '../../vm/types';
import { UsageError } from '../exitCodes';
import { Interrupts, type SignalSource } from '../interrupts';
import { Lines, type LineSource } from '../lines';
import { clock, type Session } from '../session';
import { controlHelp } from './controlHelp';
import { controlHint, controlWords, lineOfRemedy, parseControlLine } from './controlLine';

export interface WatchOptions {
  readonly verbose: boolean;
  readonly signals: SignalSource;
  readonly helper: { readonly configuredPath?: string; readonly bundledDirectory: string };
  /** Where controls are typed. */
  readonly stdin: LineSource | undefined;
  /** Take controls also where stdin is no terminal. */
  readonly interactive: boolean;
}

/** Where the helper is found. */
export function helperFinder({
  helper,
}: Pick<WatchOptions, 'helper'>): () => ReturnType<typeof locateHelper> {
  return () => locateHelper({ ...helper, platform: process.platform, arch: process.arch });
}

/** The runs of this call of the program. */
export function openRuns(
  { registry, journals, terminal }: Session,
  options: Pick<WatchOptions, 'helper' | 'verbose'>,
): Runs {
  return new Runs({
    registry,
    journals,
    locateHelper: helperFinder(options),
    ...(options.verbose ? { log: (line: string) => terminal.note(`${clock()} ${line}`) } : {}),
  });
}

/**
 * Watches one run to its end, or until the person asked a second time to stop. The first interrupt
 * cancels; lines on stdin are controls.
 */
export class Watch {
  readonly runs: Runs;
  /** Comes when the person does not want to watch any more. */
  readonly stopped: Promise<'stopped'>;
  private readonly session: Session;
  private readonly options: WatchOptions;
  private readonly interrupts: Interrupts;
  private lines: Lines | undefined;
  private current: Run | undefined;
  private wantsCancel = false;
  private toldOwner: GuestOwner = 'source';
  private toldVerdict = '';
  private toldHang = false;

  /** @throws {UsageError} */
  constructor(session: Session, options: WatchOptions) {
    if (options.interactive && options.stdin === undefined) {
      throw new UsageError('--interactive needs stdin.');
    }
    this.session = session;
    this.options = options;
    this.runs = openRuns(session, options);
    let stop: (how: 'stopped') => void = () => undefined;
    this.stopped = new Promise((resolve) => {
      stop = resolve;
    });
    this.interrupts = new Interrupts(options.signals, (count) => {
      if (count === 1) this.cancel();
      else stop('stopped');
    });
  }

  /** The person asked for a cancel, perhaps before there was anything to cancel. */
  get interrupted(): boolean {
    return this.wantsCancel;
  }

  get run(): Run | undefined {
    return this.current;
  }

  /** Whether lines are read. */
  get takesControls(): boolean {
    const { interactive, stdin } = this.options;
    return stdin !== undefined && (interactive || stdin.isTTY);
  }

  /** Shows how the run goes until it ends. */
  async follow(run: Run): Promise<RunOutcome | 'stopped'> {
    const { terminal } = this.session;
    this.current = run;
    if (this.wantsCancel) run.cancel();
    this.listenForControls();
    this.look(run.record);
    const listening = run.onDidChange(() => this.look(run.record));
    const outcome = await Promise.race([run.outcome, this.stopped]);
    listening.dispose();
    terminal.endProgress();
    return outcome;
  }

  dispose(): void {
    this.lines?.dispose();
    this.interrupts.dispose();
    this.runs.dispose();
    this.session.terminal.endProgress();
  }

  private look({ progress, outcome, sourceLabel, targetLabel }: RunRecord): void {
    if (outcome !== undefined) return;
    const { terminal } = this.session;
    this.tellVerdict(progress.verdict);
    if (progress.cancelHangs && !this.toldHang) {
      this.toldHang = true;
      const how = this.takesControls
        ? `Type "${controlWords.yank}" to cut the channel, or "help" to read first what that means.`
        : 'With --interactive the channel could be cut ("yank").';
      terminal.note(`The cancel has had no effect so far. ${how}`);
    }
    const { owner } = progress;
    const labels = { source: sourceLabel, target: targetLabel };
    const lamp = owner === 'source' ? '' : ` · ${lampText(owner, labels)}`;
    terminal.progress(`${progressLine(progress)}${lamp}`, Date.now(), owner !== this.toldOwner);
    this.toldOwner = owner;
  }

  /** Once each time that the verdict, or what can be done, becomes another. */
  private tellVerdict(verdict: ConvergenceVerdict | undefined): void {
    const { terminal } = this.session;
    const endless = verdict?.kind === 'not-converging' ? verdict : undefined;
    const { remedies = [], unavailable = [] } = endless ?? {};
    const news = endless === undefined ? '' : `can: ${remedies.map(({ id }) => id).join()}`;
    if (news === this.toldVerdict) return;
    this.toldVerdict = news;
    if (endless === undefined) return;
    terminal.note(`It will not end like this: ${endless.text}`);
    for (const remedy of remedies) {
      terminal.note(`  ${remedy.title}. ${remedy.explanation}`);
      if (this.takesControls) terminal.note(`    type:  ${lineOfRemedy(remedy)}`);
    }
    for (const text of unavailable) terminal.note(`  ${text}`);
  }

  private cancel(): void {
    this.wantsCancel = true;
    this.current?.cancel();
    this.session.terminal.note(
      'Cancelling, and waiting for what really happens. Once more (Ctrl+C): stop watching.',
    );
  }

  private listenForControls(): void {
    const { stdin } = this.options;
    if (!this.takesControls || stdin === undefined || this.lines !== undefined) return;
    this.session.terminal.note(controlHint);
    this.lines = new Lines(stdin, (line) => this.hear(line));
  }

  private hear(text: string): void {
    const { terminal } = this.session;
    const run = this.current;
    if (run === undefined) return;
    const line = parseControlLine(text, this.machineAt(run.record.request.source)?.facts);
    switch (line.kind) {
      case 'nothing':
        return;
      case 'help':
        for (const told of controlHelp(run.record, (id) => this.machineAt(id))) terminal.note(told);
        return;
      case 'problem':
        terminal.note(line.text);
        return;
      case 'request':
        for (const note of line.notes) terminal.note(`Note: ${note}`);
        if (line.request.id === 'cancel') this.cancel();
        else void this.use(run, line.request);
    }
  }

  private machineAt(id: MachineId): MachineSnapshot | undefined {
    return this.session.registry.get(id)?.snapshot;
  }

  private async use(run: Run, request: ControlRequest): Promise<void> {
    const { terminal } = this.session;
    const word = controlWords[request.id];
    const { record } = run;
    const { source, target } = record.request;
    try {
      checkControl(request, record, this.machineAt(source), this.machineAt(target));
      await run.control(request);
      terminal.note(`${word}: done.`);
    } catch (error) {
      const why =
        error instanceof ControlRefusedError
          ? `${error.message} ${error.nextStep}`.trim()
          : explanationText(explain(error));
      terminal.note(`${word}: not done. ${why} The migration goes on.`);
    }
  }
}
