import { Disposable, l10n } from 'vscode';
import { backendTransferOf, setBackendTransfer } from '../../migration/settings/backendTransfer';
import { setCapabilities, setCapability } from '../../migration/settings/capabilities';
import { capabilityInfo } from '../../migration/settings/catalogue';
import type { MachineHandle } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import { back, type Prompts } from '../prompts';
import { type MachinePicker, refuseUnlessReady } from './machinePicker';
import type { ParameterEditor } from './parameterEditor';

/** Backend transfer, capabilities and parameters. */
export class SettingCommands implements Contribution {
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;
  private readonly editor: ParameterEditor;

  constructor(
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
    editor: ParameterEditor,
  ) {
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.editor = editor;
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.toggleBackendTransfer, (target) =>
        this.toggleBackendTransfer(target),
      ),
      commands.register(CommandId.toggleCapability, (target) => this.toggleCapability(target)),
      commands.register(CommandId.chooseCapabilities, (target) => this.chooseCapabilities(target)),
      commands.register(CommandId.setParameter, (target) => this.setParameter(target)),
    );
  }

  private choose(target: CommandTarget, title: string): Promise<MachineHandle | undefined> {
    return this.picker.choose(target, { title, refuse: refuseUnlessReady });
  }

  private async toggleBackendTransfer(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Toggle Backend Transfer'));
    if (machine === undefined) return;
    const now = backendTransferOf(machine.snapshot);
    await setBackendTransfer(machine, !(now?.kind === 'boolean' && now.enabled));
  }

  private async toggleCapability(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Turn Capability On or Off'));
    if (machine === undefined) return;
    const capability = machine.snapshot.facts?.capabilities.find(
      ({ name }) => name === target.subject,
    );
    if (capability === undefined) await this.chooseCapabilities({ machineId: machine.id });
    else await setCapability(machine, capability.name, !capability.enabled);
  }

  private async chooseCapabilities(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Choose Capabilities'));
    if (machine === undefined) return;
    machine.connection();
    const capabilities = machine.snapshot.facts?.capabilities ?? [];
    const chosen = await this.prompts.pickMany({
      title: l10n.t('Capabilities of {0}', machine.snapshot.label),
      placeholder: l10n.t('All that are ticked will be on'),
      items: capabilities.map(({ name }) => {
        const summary = capabilityInfo(name)?.summary;
        return { label: name, value: name, ...(summary !== undefined && { detail: summary }) };
      }),
      picked: new Set(capabilities.flatMap(({ name, enabled }) => (enabled ? [name] : []))),
    });
    if (chosen === undefined) return;
    // Compared with what QEMU has now, not with what was shown when the list opened.
    const changed = (machine.snapshot.facts?.capabilities ?? [])
      .filter(({ name, enabled }) => chosen.has(name) !== enabled)
      .map(({ name }) => [name, chosen.has(name)] as const);
    if (changed.length > 0) await setCapabilities(machine, Object.fromEntries(changed));
  }

  private async setParameter(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Set Parameter'));
    if (machine === undefined) return;
    machine.connection();
    const name = target.subject ?? (await this.editor.chooseParameter(machine));
    if (name !== undefined && name !== back) await this.editor.edit(machine, name);
  }
}
