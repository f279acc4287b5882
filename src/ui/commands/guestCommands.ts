import { commands as vscodeCommands, Disposable, l10n, workspace } from 'vscode';
import {
  continueGuest,
  discardAndContinue,
  type GateSurroundings,
  type GateVerb,
  type GateVerdict,
  judgeGuest,
  quitMachine,
} from '../../migration/run/guestGate';
import { RunRefusedError } from '../../migration/run/checks/checks';
import type { Journals } from '../../migration/run/journal/journals';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import type { Prompts } from '../prompts';
import { type MachinePicker, refuseUnlessReady } from './machinePicker';

interface Judged {
  readonly machine: MachineHandle;
  readonly verdict: GateVerdict;
}

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
    const judged = await this.judged('continue', target, l10n.t('Continue Guest'));
    if (judged === undefined) return;
    const { machine, verdict } = judged;
    if (verdict.discards !== undefined) {
      await this.discard(machine, verdict, verdict.discards);
      return;
    }
    const why = await continueGuest(machine, this.around);
    this.prompts.status(l10n.t('The guest of {0} runs again. {1}', machine.snapshot.label, why));
  }

  /** The guest of a file, in the QEMU that saved it: one of the two has to go. */
  private async discard(machine: MachineHandle, verdict: GateVerdict, path: string): Promise<void> {
    const { label } = machine.snapshot;
    const sure = await this.prompts.confirm({
      message: l10n.t('Discard the saved guest of {0}, and continue it?', label),
      detail: [
        verdict.reason,
        l10n.t('That file is removed first, for good. Then the guest goes on in {0}.', label),
      ].join('\n\n'),
      action: l10n.t('Remove File and Continue'),
      keep: l10n.t('Keep File'),
    });
    if (!sure) return;
    try {
      await discardAndContinue(machine, path, this.around);
    } catch (error) {
      if (!(error instanceof RunRefusedError)) throw error;
      const text = [...error.reasons, error.nextStep].filter((part) => part !== '').join(' ');
      void this.prompts.message('warning', text);
      return;
    }
    this.prompts.status(l10n.t('{0} was removed, and the guest of {1} runs again.', path, label));
  }

  private async quit(target: CommandTarget): Promise<void> {
    const judged = await this.judged('quit', target, l10n.t('Quit QEMU'));
    if (judged === undefined) return;
    const { machine, verdict } = judged;
    const sure = await this.prompts.confirm({
      message: l10n.t('Quit the QEMU of {0}?', machine.snapshot.label),
      detail: [verdict.reason, l10n.t('Its process ends, and its monitor with it.')].join('\n\n'),
      action: l10n.t('Quit QEMU'),
      keep: l10n.t('Leave It'),
    });
    if (!sure) return;
    await this.prompts.progress(
      { title: l10n.t('Quitting {0}', machine.snapshot.label), where: 'view' },
      () => quitMachine(machine, this.around),
    );
    this.prompts.status(l10n.t('The QEMU of {0} has ended.', machine.snapshot.label));
  }

  /** The machine, if it may be done to it or once a file is discarded; a refusal is told with what to do. */
  private async judged(
    verb: GateVerb,
    target: CommandTarget,
    title: string,
  ): Promise<Judged | undefined> {
    if (!workspace.isTrusted) {
      this.refuseUntrusted();
      return undefined;
    }
    const machine = await this.picker.choose(target, { title, refuse: refuseUnlessReady });
    if (machine === undefined) return undefined;
    const verdict = await judgeGuest(verb, machine, this.around);
    if (!verdict.allowed && verdict.discards === undefined) {
      const text = [verdict.reason, verdict.nextStep].filter((part) => part !== '').join(' ');
      void this.prompts.message('warning', text);
      return undefined;
    }
    return { machine, verdict };
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
