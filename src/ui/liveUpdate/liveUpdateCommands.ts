import { commands as vscodeCommands, Disposable, env, l10n, Uri, window, workspace } from 'vscode';
import type { UpdateDesk } from '../../migration/liveUpdate/desk';
import type { LiveUpdatePlan, LiveUpdateRequest } from '../../migration/liveUpdate/types';
import { migrationSources } from '../../migration/run/checks/candidates';
import { reasonProblem } from '../../migration/run/checks/force';
import { blockedText, consentText, verdictOf } from '../../migration/view/updateConsent';
import { updateMethodMeanings, updateMethodTitles } from '../../migration/view/updateWords';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId, MachineSnapshot } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { MachinePicker } from '../commands/machinePicker';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';
import { type ArgumentDocuments, argumentsScheme } from './argumentDocuments';
import type { BinaryQuestion } from './binaryQuestion';
import { type PlanDocuments, planScheme } from './planDocuments';
import type { SeveralUpdates } from './severalUpdates';
import type { UpdateReporter } from './updateReporter';

/** A new QEMU under a running guest: choose it, read the plan, run it. */
export class LiveUpdateCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly desk: UpdateDesk;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;
  private readonly binaries: BinaryQuestion;
  private readonly plans: PlanDocuments;
  private readonly args: ArgumentDocuments;
  private readonly reporter: UpdateReporter;
  private readonly several: SeveralUpdates;

  constructor(parts: {
    readonly registry: Pick<MachineRegistry, 'get'>;
    readonly desk: UpdateDesk;
    readonly commands: CommandRunner;
    readonly prompts: Prompts;
    readonly picker: MachinePicker;
    readonly binaries: BinaryQuestion;
    readonly plans: PlanDocuments;
    readonly args: ArgumentDocuments;
    readonly reporter: UpdateReporter;
    readonly several: SeveralUpdates;
  }) {
    this.registry = parts.registry;
    this.desk = parts.desk;
    this.commands = parts.commands;
    this.prompts = parts.prompts;
    this.picker = parts.picker;
    this.binaries = parts.binaries;
    this.plans = parts.plans;
    this.args = parts.args;
    this.reporter = parts.reporter;
    this.several = parts.several;
  }

  register(): Disposable {
    return Disposable.from(
      this.commands.register(CommandId.liveUpdate, (target, all) => this.begin(target, all)),
      this.commands.register(CommandId.cancelLiveUpdate, (target) => this.cancel(target)),
      this.commands.register(CommandId.showUpdateDetails, (target) => this.details(target)),
      this.onPlan(CommandId.runLiveUpdate, (plan) => this.run(plan)),
      this.onPlan(CommandId.refreshUpdatePlan, (plan) => this.replan(plan.request)),
      this.onPlan(CommandId.editUpdateCommandLine, (plan) => this.args.edit(plan)),
      this.onPlan(CommandId.chooseUpdateMethod, (plan) => this.chooseMethod(plan)),
      this.onPlan(CommandId.copyUpdateScript, async (plan) => {
        await env.clipboard.writeText(this.desk.script(plan));
        this.prompts.status(l10n.t('Copied the live update of {0} as a script.', plan.label));
      }),
    );
  }

  /** A command of the plan's editor: for the document given, else the one that is looked at. */
  private onPlan(id: CommandId, body: (plan: LiveUpdatePlan) => unknown): Disposable {
    return vscodeCommands.registerCommand(id, (argument?: unknown) =>
      this.commands.run(id, () => {
        const given = argument instanceof Uri ? argument : undefined;
        const uri = given ?? window.activeTextEditor?.document.uri;
        const isOurs = uri?.scheme === planScheme || uri?.scheme === argumentsScheme;
        const plan = isOurs ? this.plans.planOf(uri.query) : undefined;
        if (plan !== undefined) return body(plan);
        void this.prompts.message(
          'information',
          l10n.t('There is no plan to look at. Run "Live Update..." on a machine first.'),
        );
        return undefined;
      }),
    );
  }

  private async begin(target: CommandTarget, all: readonly CommandTarget[]): Promise<void> {
    // Planning starts the chosen program, to ask what it offers.
    if (!workspace.isTrusted) {
      this.refuseUntrusted();
      return;
    }
    const chosen = [...new Set(all.flatMap(({ machineId }) => machineId ?? []))];
    const machines = chosen.length > 1 ? chosen : await this.one(target);
    const [first] = machines;
    if (first === undefined || !this.areUsable(machines)) return;
    const label = this.registry.get(first)?.snapshot.label ?? first;
    const title =
      machines.length === 1
        ? l10n.t('Live update of {0}', label)
        : l10n.t('Live update of {0} machines', machines.length);
    const program = await this.binaries.ask(title, first);
    if (program === undefined) return;
    if (machines.length > 1) await this.several.update(machines, program);
    else await this.replan({ machine: first, program, method: 'auto' });
  }

  private async one(target: CommandTarget): Promise<readonly MachineId[]> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Live Update'),
      refuse: refusalOf,
    });
    return machine === undefined ? [] : [machine.id];
  }

  private areUsable(machines: readonly MachineId[]): boolean {
    for (const id of machines) {
      const machine = this.registry.get(id);
      const reason =
        machine === undefined
          ? l10n.t('The machine at {0} is not in the list any more.', id)
          : (refusalOf(machine.snapshot) ?? this.busyText(id, machine.snapshot.label));
      if (reason === undefined) continue;
      void this.prompts.message('warning', reason);
      return false;
    }
    return true;
  }

  private busyText(id: MachineId, label: string): string | undefined {
    return this.desk.active(id) === undefined
      ? undefined
      : l10n.t('A live update of {0} is under way.', label);
  }

  /** Finds everything out anew, and shows it. */
  private async replan(request: LiveUpdateRequest): Promise<LiveUpdatePlan> {
    const plan = await this.prompts.progress(
      { title: l10n.t('Planning the live update'), where: 'notification' },
      () => this.desk.plan(request),
    );
    await this.plans.show(plan);
    return plan;
  }

  private async chooseMethod(plan: LiveUpdatePlan): Promise<void> {
    const method = await this.prompts.pick({
      title: l10n.t('Live update of {0}: method', plan.label),
      placeholder: l10n.t('How shall the guest come into the new QEMU?'),
      items: [
        {
          label: l10n.t('The best one'),
          value: 'auto' as const,
          icon: 'sparkle',
          description: l10n.t('as the two QEMUs offer'),
        },
        // Those of one group stand together, or its heading would hold for others.
        ...[...plan.methods]
          .sort((a, b) => Number(b.offered) - Number(a.offered))
          .map(({ method: value, offered, reason }): PromptItem<LiveUpdateRequest['method']> => ({
            label: updateMethodTitles[value],
            value,
            icon: value === plan.method ? 'check' : 'blank',
            ...(value === plan.method && { description: l10n.t('in this plan') }),
            detail: offered ? `${updateMethodMeanings[value]} ${reason}` : reason,
            ...(!offered && { refusal: reason, group: l10n.t('not offered') }),
          })),
      ],
      active: plan.method,
    });
    if (method === undefined || method === back) return;
    // Another way needs another command line: what was edited is not carried over.
    const { args, ...request } = plan.request;
    if (args !== undefined) {
      this.prompts.status(l10n.t('The command line is as planned again for the new method.'));
    }
    await this.replan({ ...request, method });
  }

  private async run(shown: LiveUpdatePlan): Promise<void> {
    if (!workspace.isTrusted) {
      this.refuseUntrusted();
      return;
    }
    const plan = await this.allowed(shown);
    if (plan === undefined) return;
    const agreed = await this.prompts.confirm({
      ...consentText(plan),
      action: l10n.t('Live Update'),
      keep: l10n.t('Not Now'),
    });
    if (!agreed) return;
    const update = this.desk.start(plan);
    this.plans.set(plan, { begun: true });
    void this.reporter.follow(update);
  }

  /** The plan, if nothing forbids it, or a typed reason overrules what does. */
  private async allowed(plan: LiveUpdatePlan): Promise<LiveUpdatePlan | undefined> {
    const verdict = verdictOf(plan);
    if (verdict === 'ready') return plan;
    const overrule = l10n.t('Overrule...');
    const button = await this.prompts.message(
      'warning',
      blockedText(plan),
      verdict === 'overrulable' ? [overrule] : [],
    );
    if (button !== overrule) return undefined;
    let reason = '';
    const given = await this.prompts.input({
      title: l10n.t('Live update of {0}: overrule', plan.label),
      prompt: l10n.t('Why go on all the same? The reason is kept in the journal.'),
      value: '',
      validate: (text) => reasonProblem(text),
      submit: (text) => {
        reason = text.trim();
        return Promise.resolve(undefined);
      },
    });
    if (!given) return undefined;
    const forced = await this.replan({ ...plan.request, force: { reason } });
    if (verdictOf(forced) === 'ready') return forced;
    void this.prompts.message('warning', blockedText(forced));
    return undefined;
  }

  private cancel({ machineId }: CommandTarget): void {
    if (machineId !== undefined) this.desk.active(machineId)?.cancel();
  }

  private async details(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Show Details of Last Live Update'),
      refuse: ({ id }) =>
        this.desk.last(id)?.outcome === undefined
          ? l10n.t('It has had no live update in this window.')
          : undefined,
    });
    const record = machine && this.desk.last(machine.id);
    if (record?.outcome !== undefined) await this.reporter.details(record);
  }

  private refuseUntrusted(): void {
    const manage = l10n.t('Manage Workspace Trust');
    void this.prompts
      .message(
        'warning',
        l10n.t(
          'Nothing was updated: this workspace is not trusted. You can look at machines here, but a live update starts a program.',
        ),
        [manage],
      )
      .then((button) => {
        if (button === manage) void vscodeCommands.executeCommand('workbench.trust.manage');
      });
  }
}

/** What forbids it, whatever is answered then. */
function refusalOf(snapshot: MachineSnapshot): string | undefined {
  const [candidate] = migrationSources([snapshot]);
  return candidate?.usable === true ? undefined : candidate?.reason;
}
