import { Disposable, l10n, workspace, type LogOutputChannel } from 'vscode';
import type { Journals } from '../migration/run/journal/journals';
import type { Runs } from '../migration/run/runs';
import { explain, explanationText } from '../migration/view/words';
import type { MachineRegistry } from '../vm/registry';
import type { Contribution } from './contribution';
import type { MigrationReporter } from './migrationReporter';
import type { Prompts } from './prompts';

/** How often we look whether another program that drives a run is still there, as long as one does. */
const intervalMs = 15_000;

/** Takes up the runs whose window or program was closed in the middle, and shows them like any run. */
export class RunRecovery implements Contribution {
  private readonly journals: Journals;
  private readonly runs: Runs;
  private readonly registry: MachineRegistry;
  private readonly reporter: MigrationReporter;
  private readonly prompts: Prompts;
  private readonly log: LogOutputChannel;
  /** Those whose end could not be found out are tried again only when somebody asks. */
  private readonly tried = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private disposed = false;

  constructor(
    journals: Journals,
    runs: Runs,
    registry: MachineRegistry,
    reporter: MigrationReporter,
    prompts: Prompts,
    log: LogOutputChannel,
  ) {
    this.journals = journals;
    this.runs = runs;
    this.registry = registry;
    this.reporter = reporter;
    this.prompts = prompts;
    this.log = log;
  }

  register(): Disposable {
    void this.look();
    return Disposable.from(
      workspace.onDidGrantWorkspaceTrust(() => void this.look()),
      new Disposable(() => {
        this.disposed = true;
        clearTimeout(this.timer);
      }),
    );
  }

  /** Never rejects. */
  async look(): Promise<void> {
    // To take a run up is to act on machines; an untrusted workspace may only look.
    if (!workspace.isTrusted) return;
    try {
      const { runs, damaged } = await this.journals.list();
      for (const { path, reason } of damaged) this.tellDamaged(path, reason);
      const open = runs.filter(({ state }) => !state.ended);
      for (const { id, drivenBy } of open.reverse()) {
        if (drivenBy === undefined && !this.tried.has(id)) await this.takeUp(id);
      }
      const others = open.some(({ drivenBy }) => drivenBy?.pid !== process.pid && drivenBy);
      if (others) this.lookLater();
    } catch (error) {
      this.log.warn('The journals of runs could not be read:', error);
    }
  }

  private async takeUp(id: string): Promise<void> {
    if (this.disposed) return;
    this.tried.add(id);
    try {
      const run = await this.runs.recover(id, (socket) => this.registry.attach(socket));
      void this.reporter.follow(run, () => {
        this.tried.delete(id);
        void this.look();
      });
    } catch (error) {
      // Another window was faster, as a rule.
      this.log.info(`Run ${id} was not taken up: ${explanationText(explain(error))}`);
      this.tried.delete(id);
      this.lookLater();
    }
  }

  private lookLater(): void {
    if (this.disposed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), intervalMs);
    this.timer.unref();
  }

  private tellDamaged(path: string, reason: string): void {
    const text = l10n.t(
      'The journal of a migration cannot be read ({0}). It is kept as {1}. Look at the machines that were migrated last.',
      reason,
      path,
    );
    this.log.warn(text);
    void this.prompts.message('warning', text);
  }
}
