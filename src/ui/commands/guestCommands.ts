import { commands as vscodeCommands, Disposable, l10n, workspace } from 'vscode';
import {
  continueGuest,
  type GateSurroundings,
  type GateVerb,
  type GateVerdict,
  judgeGuest,
  quitMachine,
} from '../../migration/run/guestGate';
import type { Journals } from '../../migration/run/journal/journals';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import type { Prompts } from '../prompts';
import { type MachinePicker, refuseUnlessReady } from './machinePicker';

/** Continue a guest, quit a QEMU: only where it is proven to be safe. */
export class GuestCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly journals: Journals;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get'>,
    journals: Journals,
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
  ) {
    this.registry = registry;
    this.journals = journals;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
  }

  register(): Disposable {
    return Disposable.from(
      this.commands.register(CommandId.continueGuest, (target) => this.continue(target)),
      this.commands.register(CommandId.quitMachine, (target) => this.quit(target)),
    );
  }

  private async continue(target: CommandTarget): Promise<void> {
    const machine = await this.judged('continue', target, l10n.t('Continue Guest'));
    if (machine === undefined) return;
    const why = await continueGuest(machine, this.around);
    this.prompts.status(l10n.t('The guest of {0} runs again. {1}', machine.snapshot.label, why));
  }

  private async quit(target: CommandTarget): Promise<void> {
    const machine = await this.judged('quit', target, l10n.t('Quit QEMU'), async (verdict, it) =>
      this.prompts.confirm({
        message: l10n.t('Quit the QEMU of {0}?', it.snapshot.label),
        detail: [verdict.reason, l10n.t('Its process ends, and its monitor with it.')].join(' '),
        action: l10n.t('Quit QEMU'),
        keep: l10n.t('Leave It'),
      }),
    );
    if (machine === undefined) return;
    await this.prompts.progress(
      { title: l10n.t('Quitting {0}', machine.snapshot.label), where: 'view' },
      () => quitMachine(machine, this.around),
    );
    this.prompts.status(l10n.t('The QEMU of {0} has ended.', machine.snapshot.label));
  }

  /** The machine, if it may be done to it; a refusal is told with what to do. */
  private async judged(
    verb: GateVerb,
    target: CommandTarget,
    title: string,
    confirm?: (verdict: GateVerdict, machine: MachineHandle) => Promise<boolean>,
  ): Promise<MachineHandle | undefined> {
    if (!workspace.isTrusted) {
      this.refuseUntrusted();
      return undefined;
    }
    const machine = await this.picker.choose(target, { title, refuse: refuseUnlessReady });
    if (machine === undefined) return undefined;
    const verdict = await judgeGuest(verb, machine, this.around);
    if (!verdict.allowed) {
      const text = [verdict.reason, verdict.nextStep].filter((part) => part !== '').join(' ');
      void this.prompts.message('warning', text);
      return undefined;
    }
    const sure = confirm === undefined || (await confirm(verdict, machine));
    return sure ? machine : undefined;
  }

  private get around(): GateSurroundings {
    return {
      machines: this.registry.machines.map(({ snapshot }) => snapshot),
      handleOf: (id) => this.registry.get(id),
      journals: this.journals,
    };
  }

  private refuseUntrusted(): void {
    const manage = l10n.t('Manage Workspace Trust');
    void this.prompts
      .message(
        'warning',
        l10n.t('Nothing was done: this workspace is not trusted. To act on a guest needs trust.'),
        [manage],
      )
      .then((button) => {
        if (button === manage) void vscodeCommands.executeCommand('workbench.trust.manage');
      });
  }
}
