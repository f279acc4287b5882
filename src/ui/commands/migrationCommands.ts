import { commands as vscodeCommands, Disposable, l10n, workspace } from 'vscode';
import type { Pairs } from '../../migration/pair/pairs';
import { migrationSources } from '../../migration/run/candidates';
import type { Runs } from '../../migration/run/runs';
import type { MigrationRequest } from '../../migration/run/types';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId, SettingId } from '../ids';
import type { MigrationReporter } from '../migrationReporter';
import type { Prompts } from '../prompts';
import { readSetting } from '../settings';
import type { MachinePicker } from './machinePicker';
import type { MigrationQuestions } from './migrationQuestions';
import type { PreflightList } from './preflightList';

/** Migrate, and cancel. */
export class MigrationCommands implements Contribution {
  private readonly registry: MachineRegistry;
  private readonly runs: Runs;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;
  private readonly questions: MigrationQuestions;
  private readonly reporter: MigrationReporter;
  private readonly pairs: Pick<Pairs, 'of' | 'set'>;
  private readonly preflight: Pick<PreflightList, 'mayStart'>;

  constructor(
    registry: MachineRegistry,
    runs: Runs,
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
    questions: MigrationQuestions,
    reporter: MigrationReporter,
    pairs: Pick<Pairs, 'of' | 'set'>,
    preflight: Pick<PreflightList, 'mayStart'>,
  ) {
    this.registry = registry;
    this.runs = runs;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.questions = questions;
    this.reporter = reporter;
    this.pairs = pairs;
    this.preflight = preflight;
  }

  register(): Disposable {
    return Disposable.from(
      this.commands.register(CommandId.migrate, (target) => this.migrate(target)),
      this.commands.register(CommandId.cancelMigration, (target) => this.cancel(target)),
    );
  }

  private async migrate({ machineId }: CommandTarget): Promise<void> {
    if (!workspace.isTrusted) {
      this.refuseUntrusted();
      return;
    }
    if (machineId !== undefined && !this.isSource(machineId)) return;
    const request = await this.questions.ask(machineId, readSetting(SettingId.transport));
    if (request === undefined) return;
    this.remember(request);
    if (!(await this.mayStart(request))) return;
    const run = this.runs.start(request);
    void this.reporter.follow(run);
  }

  /** Warnings are said while nothing has begun. */
  private async mayStart(request: MigrationRequest): Promise<boolean> {
    const [source, target] = [request.source, request.target].map((id) => this.registry.get(id));
    // One that has left the list is told by the run.
    if (source === undefined || target === undefined) return true;
    return this.preflight.mayStart({ source, target }, request);
  }

  /** Two that are to be migrated are a pair from now on, unless one of them has another partner. */
  private remember({ source, target }: MigrationRequest): void {
    const free = [source, target].every((id) => this.pairs.of(id) === undefined);
    // One that cannot be saved says so by itself.
    if (free) void this.pairs.set(source, target);
  }

  /** Whether the machine given can move at all; says why not before anything is asked. */
  private isSource(machineId: MachineId): boolean {
    const machine = this.registry.get(machineId);
    const [candidate] = machine === undefined ? [] : migrationSources([machine.snapshot]);
    if (candidate?.usable === true) return true;
    void this.prompts.message(
      'warning',
      candidate?.reason ?? l10n.t('The machine at {0} is not in the list any more.', machineId),
    );
    return false;
  }

  private async cancel(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Cancel Migration'),
      refuse: ({ id }) =>
        this.runs.active(id) === undefined ? l10n.t('No migration is running.') : undefined,
    });
    if (machine === undefined) return;
    const run = this.runs.active(machine.id);
    if (run === undefined) {
      void this.prompts.message(
        'information',
        l10n.t('{0} is in no migration; there is nothing to cancel.', machine.snapshot.label),
      );
      return;
    }
    const { sourceLabel, progress } = run.record;
    const muchIsLost = progress.phase === 'transfer' || progress.phase === 'switch-over';
    const sure =
      !muchIsLost ||
      (await this.prompts.confirm({
        message: l10n.t('Stop migrating {0}?', sourceLabel),
        detail: l10n.t(
          'The guest goes on running on the source, and what has been sent is thrown away. If the guest has gone over already, it stays on the target.',
        ),
        action: l10n.t('Stop Migrating'),
        keep: l10n.t('Go On'),
      }));
    if (sure) run.cancel();
  }

  private refuseUntrusted(): void {
    const manage = l10n.t('Manage Workspace Trust');
    void this.prompts
      .message(
        'warning',
        l10n.t(
          'Nothing was migrated: this workspace is not trusted. You can look at machines here, but moving a guest needs trust.',
        ),
        [manage],
      )
      .then((button) => {
        if (button === manage) void vscodeCommands.executeCommand('workbench.trust.manage');
      });
  }
}
