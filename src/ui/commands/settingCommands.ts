import { commands as vscodeCommands, Disposable, l10n } from 'vscode';
import { backendTransferOf, switchBackendTransfer } from '../../migration/settings/backendTransfer';
import { describeCapabilities } from '../../migration/settings/capabilities';
import type { ViewNode } from '../../migration/view/nodes';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import { back, type Prompts } from '../prompts';
import { stateText } from '../settingWords';
import { type MachinePicker, refuseUnlessReady } from './machinePicker';
import type { ParameterEditor } from './parameterEditor';
import type { SettingsChanger } from './settingsChanger';

/** Switches backend transfer of a pair as one. */
export interface PairSwitch {
  /** @returns whether the machine is in a pair; if not, nothing was done */
  toggle(id: MachineId): Promise<boolean>;
}

/** The rows of the tree that are selected. */
export interface TreeSelection {
  readonly selection: readonly CommandTarget[];
}

/** Backend transfer, capabilities and parameters. */
export class SettingCommands implements Contribution {
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;
  private readonly editor: ParameterEditor;
  private readonly changer: SettingsChanger;
  private readonly tree: TreeSelection;
  private readonly rows: { node(nodeId: string): ViewNode | undefined };
  private readonly pairs: PairSwitch;

  constructor(
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
    editor: ParameterEditor,
    changer: SettingsChanger,
    tree: TreeSelection,
    rows: { node(nodeId: string): ViewNode | undefined },
    pairs: PairSwitch,
  ) {
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.editor = editor;
    this.changer = changer;
    this.tree = tree;
    this.rows = rows;
    this.pairs = pairs;
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.toggleBackendTransfer, (target) =>
        this.toggleBackendTransfer(target),
      ),
      commands.register(CommandId.toggleBackendTransferHere, (target) =>
        this.toggleBackendTransferHere(target),
      ),
      commands.register(CommandId.toggleCapability, (target) => this.toggleCapability(target)),
      commands.register(CommandId.toggleFocused, () => this.toggleFocused()),
      commands.register(CommandId.chooseCapabilities, (target) => this.chooseCapabilities(target)),
      commands.register(CommandId.setParameter, (target) => this.setParameter(target)),
    );
  }

  private choose(target: CommandTarget, title: string): Promise<MachineHandle | undefined> {
    return this.picker.choose(target, { title, refuse: refuseUnlessReady });
  }

  /** On both sides of a pair, else on the machine. */
  private async toggleBackendTransfer(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Toggle Backend Transfer'));
    if (machine === undefined || (await this.pairs.toggle(machine.id))) return;
    await this.toggleBackendTransferHere({ machineId: machine.id });
  }

  private async toggleBackendTransferHere(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Toggle Backend Transfer'));
    if (machine === undefined) return;
    machine.connection();
    const { label } = machine.snapshot;
    const now = backendTransferOf(machine.snapshot);
    const change = switchBackendTransfer(
      machine.snapshot,
      !(now?.kind === 'boolean' && now.enabled),
    );
    await this.changer.change(machine, change, l10n.t('backend transfer of {0}', label));
  }

  private async toggleCapability(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Turn Capability On or Off'));
    if (machine === undefined) return;
    const capability = machine.snapshot.facts?.capabilities.find(
      ({ name }) => name === target.subject,
    );
    if (capability === undefined) await this.chooseCapabilities({ machineId: machine.id });
    else await this.changer.switchCapability(machine, capability.name, !capability.enabled);
  }

  /**
   * What a key does in the tree. VS Code leaves a row's checkbox to the mouse, and tells an extension
   * which row is selected, not which has the focus: so the focused one is selected first, which
   * opens what has rows below it, and runs the click of a parameter.
   */
  private async toggleFocused(): Promise<void> {
    await vscodeCommands.executeCommand('list.select');
    const [row] = this.tree.selection;
    const kind = row?.nodeId === undefined ? undefined : this.rows.node(row.nodeId)?.kind;
    if (row !== undefined && kind === 'capability') await this.toggleCapability(row);
  }

  private async chooseCapabilities(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Choose Capabilities'));
    if (machine === undefined) return;
    machine.connection();
    const { facts, label } = machine.snapshot;
    const known = facts === undefined ? [] : describeCapabilities(facts);
    const chosen = await this.prompts.pickMany({
      title: l10n.t('Capabilities of {0}', label),
      placeholder: l10n.t('All that are ticked will be on'),
      items: known.map(({ name, info, changed, enabled, unstable, deprecated }) => {
        const words = [
          ...(changed ? [l10n.t('changed: {0}', stateText(enabled))] : []),
          ...(unstable ? [l10n.t('unstable')] : []),
          ...(deprecated ? [l10n.t('deprecated')] : []),
        ];
        return {
          label: name,
          value: name,
          description: words.join(' · '),
          ...(info !== undefined && { detail: info.summary }),
        };
      }),
      picked: new Set(known.flatMap(({ name, enabled }) => (enabled === true ? [name] : []))),
    });
    if (chosen === undefined) return;
    // Compared with what QEMU has now, not with what was shown when the list opened.
    const changed = (machine.snapshot.facts?.capabilities ?? [])
      .filter(({ name, enabled }) => chosen.has(name) !== enabled)
      .map(({ name }) => [name, chosen.has(name)] as const);
    if (changed.length === 0) return;
    await this.changer.change(machine, {
      parameters: {},
      capabilities: Object.fromEntries(changed),
    });
  }

  private async setParameter(target: CommandTarget): Promise<void> {
    const machine = await this.choose(target, l10n.t('Set Parameter'));
    if (machine === undefined) return;
    machine.connection();
    const name = target.subject ?? (await this.editor.chooseParameter(machine));
    if (name !== undefined && name !== back) await this.editor.edit(machine, name);
  }
}
