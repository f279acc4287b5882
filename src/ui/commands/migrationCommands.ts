import { commands as vscodeCommands, Disposable, l10n, workspace } from 'vscode';
import type { Pairs } from '../../migration/pair/pairs';
import { migrationSources, migrationTargets } from '../../migration/run/checks/candidates';
import type { Runs } from '../../migration/run/runs';
import type { MethodName, MigrationRequest } from '../../migration/run/types';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId, MachineSnapshot } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId, SettingId } from '../ids';
import type { MigrationReporter, RunDetails } from '../migrationReporter';
import type { Prompts } from '../prompts';
import type { RunRecovery } from '../runRecovery';
import { readSetting } from '../settings';
import type { MigrationQuestions } from './migrationQuestions';
import { methodRefusal } from './questions/methodQuestion';
import type { PreflightList } from './preflightList';
import type { RunPicker } from './runPicker';

/** Migrate, and show how it went. */
export class MigrationCommands implements Contribution {
  private readonly registry: MachineRegistry;
  private readonly runs: Runs;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: RunPicker;
  private readonly questions: MigrationQuestions;
  private readonly reporter: MigrationReporter;
  private readonly pairs: Pick<Pairs, 'of' | 'set'>;
  private readonly preflight: Pick<PreflightList, 'mayStart'>;
  private readonly details: RunDetails;
  private readonly recovery: Pick<RunRecovery, 'again'>;

  constructor(
    registry: MachineRegistry,
    runs: Runs,
    commands: CommandRunner,
    prompts: Prompts,
    picker: RunPicker,
    questions: MigrationQuestions,
    reporter: MigrationReporter,
    pairs: Pick<Pairs, 'of' | 'set'>,
    preflight: Pick<PreflightList, 'mayStart'>,
    details: RunDetails,
    recovery: Pick<RunRecovery, 'again'>,
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
    this.details = details;
    this.recovery = recovery;
  }

  register(): Disposable {
    return Disposable.from(
      this.commands.register(CommandId.migrate, (target) => this.migrate(target)),
      this.commands.register(CommandId.saveGuest, (target) => this.migrate(target, 'save')),
      this.commands.register(CommandId.restoreGuest, (target) => this.migrate(target, 'restore')),
      this.commands.register(CommandId.showRunDetails, (target) => this.showDetails(target)),
    );
  }

  /** @param method known by the command; else it is asked for */
  private async migrate({ machineId }: CommandTarget, method?: MethodName): Promise<void> {
    if (!workspace.isTrusted) {
      this.refuseUntrusted();
      return;
    }
    if (machineId !== undefined && !this.isUsable(machineId, method)) return;
    const transport = readSetting(SettingId.transport);
    const asked = await this.questions.ask(machineId, transport, method);
    if (asked === undefined) return;
    this.remember(asked);
    const request = await this.mayStart(asked);
    if (request === undefined) return;
    const run = this.runs.start(request);
    void this.reporter.follow(run, () => {
      const { journalId } = run.record;
      if (journalId !== undefined) this.recovery.again(journalId);
    });
  }

  /** Warnings are said while nothing has begun. */
  private async mayStart(request: MigrationRequest): Promise<MigrationRequest | undefined> {
    const [source, target] = [request.source, request.target].map((id) => this.registry.get(id));
    // One that has left the list is told by the run.
    if (source === undefined || target === undefined) return request;
    return this.preflight.mayStart({ source, target }, request);
  }

  /** Two that are to be migrated are a pair from now on, unless one of them has another partner. */
  private remember({ source, target }: MigrationRequest): void {
    if (source === target) return;
    const free = [source, target].every((id) => this.pairs.of(id) === undefined);
    // One that cannot be saved says so by itself.
    if (free) void this.pairs.set(source, target);
  }

  /** Whether the machine given can take part at all; says why not before anything is asked. */
  private isUsable(machineId: MachineId, method: MethodName | undefined): boolean {
    const machine = this.registry.get(machineId);
    const reason =
      machine === undefined
        ? l10n.t('The machine at {0} is not in the list any more.', machineId)
        : refusalOf(machine.snapshot, method);
    if (reason === undefined) return true;
    void this.prompts.message('warning', reason);
    return false;
  }

  private async showDetails(target: CommandTarget): Promise<void> {
    const record = await this.picker.ended(target, l10n.t('Show Details of Last Migration'));
    if (record?.outcome !== undefined) await this.details.show(record);
    else if (record !== undefined) {
      void this.prompts.message('information', l10n.t('That migration has not ended yet.'));
    }
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

/** What forbids it, whatever is answered then. */
function refusalOf(snapshot: MachineSnapshot, method: MethodName | undefined): string | undefined {
  const candidates =
    method === 'restore' ? migrationTargets(undefined, [snapshot]) : migrationSources([snapshot]);
  const [candidate] = candidates;
  if (candidate?.usable !== true) return candidate?.reason;
  return method === undefined ? undefined : methodRefusal(method, snapshot);
}
