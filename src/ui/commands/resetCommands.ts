import { Disposable, l10n } from 'vscode';
import { describeCapabilities, describeCapability } from '../../migration/settings/capabilities';
import { isEmptyChange, type SettingsChange } from '../../migration/settings/change';
import type { DefaultValue } from '../../migration/settings/defaults';
import type { SettingsHistory } from '../../migration/settings/history';
import {
  describeParameter,
  describeParameters,
  parameterValueText,
} from '../../migration/settings/parameters';
import { mergedChange, noChange, restorationTo } from '../../migration/settings/settingsState';
import { sameValue } from '../../migration/settings/values';
import type { ViewNode } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, VmFacts } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import type { PromptItem, Prompts } from '../prompts';
import { namesTitle, stateText } from '../settingWords';
import { type MachinePicker, refuseUnlessReady } from './machinePicker';
import { selectedSettings } from './selectedSettings';
import type { SettingsChanger } from './settingsChanger';

/** How one setting gets its default, or why it cannot. */
interface Reset {
  readonly name: string;
  readonly change: SettingsChange;
  /** As people read it. */
  readonly now: string;
  readonly standard: string;
  readonly refusal: string | undefined;
}

/** Reset to the default: some settings, or all of a machine. */
export class ResetCommands implements Contribution {
  private readonly history: Pick<SettingsHistory, 'perform'>;
  private readonly changer: SettingsChanger;
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly rows: { node(nodeId: string): ViewNode | undefined };
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;

  constructor(
    history: Pick<SettingsHistory, 'perform'>,
    changer: SettingsChanger,
    registry: Pick<MachineRegistry, 'get'>,
    rows: { node(nodeId: string): ViewNode | undefined },
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
  ) {
    this.history = history;
    this.changer = changer;
    this.registry = registry;
    this.rows = rows;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
  }

  register(): Disposable {
    return Disposable.from(
      this.commands.register(CommandId.resetSetting, (_, all) => this.resetSelected(all)),
      this.commands.register(CommandId.resetAllSettings, (target) => this.resetAll(target)),
    );
  }

  private async resetSelected(targets: readonly CommandTarget[]): Promise<void> {
    const chosen = selectedSettings(targets, this.rows, this.registry).map(
      ({ machine, parameters, capabilities }) => {
        machine.connection();
        const { facts } = machine.snapshot;
        if (facts === undefined) return { machine, resets: [] };
        const resets = [
          ...[...parameters].flatMap((name) => resetOfParameter(facts, name) ?? []),
          ...[...capabilities].flatMap((name) => resetOfCapability(facts, name) ?? []),
        ];
        return { machine, resets };
      },
    );
    await this.perform(chosen);
  }

  private async resetAll(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Reset All Settings to Defaults'),
      refuse: refuseUnlessReady,
    });
    if (machine === undefined) return;
    machine.connection();
    const { facts, label } = machine.snapshot;
    const resets = facts === undefined ? [] : changedSettings(facts);
    if (resets.length === 0) {
      void this.prompts.message(
        'information',
        l10n.t('All settings of {0} have their defaults.', label),
      );
      return;
    }
    const chosen = await this.prompts.pickMany({
      title: l10n.t('Reset Settings of {0} to Defaults', label),
      placeholder: l10n.t('All that are ticked get their default'),
      items: resets.map(resetItem),
      picked: new Set(resets.flatMap(({ name, refusal }) => (refusal === undefined ? [name] : []))),
    });
    if (chosen === undefined) return;
    await this.perform([{ machine, resets: resets.filter(({ name }) => chosen.has(name)) }]);
  }

  /** All of them as one step; says why some are left as they are. */
  private async perform(
    chosen: readonly { readonly machine: MachineHandle; readonly resets: readonly Reset[] }[],
  ): Promise<void> {
    const requests = chosen.map(({ machine, resets }) => ({
      machine,
      change: mergedChange(resets.map(({ change }) => change)),
      names: resets.flatMap(({ name, change }) => (isEmptyChange(change) ? [] : [name])),
    }));
    const changing = requests.filter(({ change }) => !isEmptyChange(change));
    const [first] = changing;
    if (first !== undefined) {
      const count = changing.reduce((sum, { names }) => sum + names.length, 0);
      if (changing.length === 1) {
        const title = namesTitle(first.machine.snapshot.label, first.names);
        await this.changer.change(first.machine, first.change, title, { warn: false });
      } else {
        const title = l10n.t('{0} settings of {1} machines', count, changing.length);
        await this.history.perform(title, changing);
      }
    }
    const reasons = new Set(
      chosen.flatMap(({ resets }) => resets.flatMap(({ refusal }) => refusal ?? [])),
    );
    if (reasons.size > 0) {
      void this.prompts.message(
        first === undefined ? 'warning' : 'information',
        [...reasons].join(' '),
      );
    }
  }
}

/** Every setting that has another value than its default. */
function changedSettings(facts: VmFacts): readonly Reset[] {
  const names = (all: readonly { name: string; changed: boolean }[]): string[] =>
    all.flatMap(({ name, changed }) => (changed ? [name] : []));
  return [
    ...names(describeParameters(facts)).flatMap((name) => resetOfParameter(facts, name) ?? []),
    ...names(describeCapabilities(facts)).flatMap((name) => resetOfCapability(facts, name) ?? []),
  ];
}

function resetOfParameter(facts: VmFacts, name: string): Reset | undefined {
  const description = describeParameter(facts, name);
  if (description === undefined) return undefined;
  const { value, default: standard, notEditableReason } = description;
  const goal = standard.kind === 'known' ? standard.value : undefined;
  const { change, cannotUnset } =
    standard.kind === 'known' && notEditableReason === undefined
      ? restorationTo({ parameters: { [name]: goal }, capabilities: {} }, facts)
      : { change: noChange, cannotUnset: [] };
  return {
    name,
    change,
    now: parameterValueText(facts, name, value),
    standard: goal === undefined ? l10n.t('not set') : parameterValueText(facts, name, goal),
    refusal:
      notEditableReason ??
      (cannotUnset.length === 0
        ? whyUnknown(name, standard)
        : isEmptyChange(change)
          ? l10n.t('By default {0} is not set, and QEMU cannot unset it.', name)
          : l10n.t('By default {0} is not set; QEMU cannot unset it, so it is emptied.', name)),
  };
}

function resetOfCapability(facts: VmFacts, name: string): Reset | undefined {
  const description = describeCapability(facts, name);
  if (description === undefined) return undefined;
  const { enabled, default: standard } = description;
  const goal = standard.kind === 'known' ? standard.value === true : enabled;
  const same = goal === undefined || sameValue(goal, enabled);
  return {
    name,
    change: { parameters: {}, capabilities: same ? {} : { [name]: goal } },
    now: stateText(enabled),
    standard: stateText(goal),
    refusal: whyUnknown(name, standard),
  };
}

function whyUnknown(name: string, standard: DefaultValue): string | undefined {
  return standard.kind === 'known'
    ? undefined
    : l10n.t(
        'The default of {0} is not known for this QEMU: it is left as it is. QEMU does not tell, and this version was not among those that were asked.',
        name,
      );
}

function resetItem({ name, now, standard, refusal, change }: Reset): PromptItem<string> {
  return {
    label: name,
    value: name,
    description: l10n.t('{0} → {1}', now, standard),
    ...(refusal !== undefined &&
      (isEmptyChange(change)
        ? { refusal, group: l10n.t('cannot be put back') }
        : { warning: refusal })),
  };
}
