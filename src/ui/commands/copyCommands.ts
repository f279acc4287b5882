import { Disposable, env, l10n } from 'vscode';
import { describeCapabilities } from '../../migration/settings/capabilities';
import { copyAs, type CopiedText, type CopyForm } from '../../migration/settings/copyAs';
import { describeParameters, parameterValueText } from '../../migration/settings/parameters';
import { settingsOf, type SettingsState } from '../../migration/settings/settingsState';
import type { ViewNode } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, VmFacts } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';
import { stateText } from '../settingWords';
import type { MachinePicker } from './machinePicker';
import { type SelectedSettings, selectedSettings } from './selectedSettings';

/** What is copied of one machine. */
interface Copy {
  readonly machine: MachineHandle;
  readonly settings: SettingsState;
}

/** Settings as text on the clipboard: QMP, HMP, `-global`, command line. */
export class CopyCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly rows: { node(nodeId: string): ViewNode | undefined };
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;

  constructor(
    registry: Pick<MachineRegistry, 'get'>,
    rows: { node(nodeId: string): ViewNode | undefined },
    commands: CommandRunner,
    prompts: Prompts,
    picker: MachinePicker,
  ) {
    this.registry = registry;
    this.rows = rows;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
  }

  register(): Disposable {
    const { commands } = this;
    const from = (id: CommandId, form: CopyForm): Disposable =>
      Disposable.from(commands.register(id, (_, all) => this.copyRows(form, all)));
    return Disposable.from(
      commands.register(CommandId.copySettingsAs, (target) => this.copySettings(target)),
      from(CommandId.copyAsQmp, 'qmp'),
      from(CommandId.copyAsHmp, 'hmp'),
      from(CommandId.copyAsGlobal, 'global'),
      from(CommandId.copyAsCli, 'cli'),
    );
  }

  private async copyRows(form: CopyForm, targets: readonly CommandTarget[]): Promise<void> {
    const copies = selectedSettings(targets, this.rows, this.registry).flatMap((selected) => {
      const settings = settingsIn(selected);
      return settings === undefined ? [] : [{ machine: selected.machine, settings }];
    });
    await this.copy(form, copies);
  }

  /** Asks for the machine, the form and the settings. */
  private async copySettings(target: CommandTarget): Promise<void> {
    const machine = await this.picker.choose(target, {
      title: l10n.t('Copy Settings As'),
      refuse: ({ facts }) =>
        facts === undefined ? l10n.t('Nothing is known of its settings yet.') : undefined,
    });
    const facts = machine?.snapshot.facts;
    if (machine === undefined || facts === undefined) return;
    const form = await this.prompts.pick({
      title: l10n.t('Copy Settings of {0} As', machine.snapshot.label),
      placeholder: l10n.t('In which form?'),
      items: formItems(),
    });
    if (form === undefined || form === back) return;
    const changed = changedSettings(facts);
    const chosen = await this.prompts.pickMany({
      title: l10n.t('Copy Settings of {0} As', machine.snapshot.label),
      placeholder: l10n.t('Which settings?'),
      items: settingItems(facts, changed),
      picked: new Set([...changed.parameters, ...changed.capabilities]),
    });
    if (chosen === undefined) return;
    const settings = settingsOf(facts, { parameters: chosen, capabilities: chosen });
    await this.copy(form, [{ machine, settings: reportedOnly(settings) }]);
  }

  private async copy(form: CopyForm, copies: readonly Copy[]): Promise<void> {
    const texts = copies.map(({ machine, settings }) => ({
      ...copyAs(form, settings, machine.snapshot),
      count: countOf(settings),
    }));
    const leftOut = texts.flatMap((text) => text.leftOut);
    const count = texts.reduce((sum, text) => sum + text.count, 0) - leftOut.length;
    // Machines with the same settings have the same text, in forms that name no machine.
    const whole = [...new Set(texts.map(({ text }) => text).filter((text) => text !== ''))];
    if (whole.length === 0) {
      const words = [l10n.t('There is nothing to copy in this form.'), ...leftOutWords(leftOut)];
      void this.prompts.message('warning', words.join(' '));
      return;
    }
    await env.clipboard.writeText(whole.join('\n'));
    const done =
      count === 1
        ? l10n.t('Copied 1 setting as {0}.', formNames[form])
        : l10n.t('Copied {0} settings as {1}.', count, formNames[form]);
    if (leftOut.length === 0) this.prompts.status(done);
    else void this.prompts.message('information', [done, ...leftOutWords(leftOut)].join(' '));
  }
}

const formNames: Readonly<Record<CopyForm, string>> = {
  qmp: 'QMP',
  hmp: 'HMP',
  global: '-global',
  cli: 'CLI',
};

function formItems(): readonly PromptItem<CopyForm>[] {
  return [
    {
      label: l10n.t('QMP'),
      value: 'qmp',
      detail: l10n.t('migrate-set-parameters and migrate-set-capabilities, as JSON'),
    },
    {
      label: l10n.t('HMP'),
      value: 'hmp',
      detail: l10n.t('migrate_set_parameter and migrate_set_capability, for the monitor'),
    },
    {
      label: l10n.t('-global option'),
      value: 'global',
      detail: l10n.t('-global migration.NAME=VALUE, for the start of a QEMU'),
    },
    {
      label: l10n.t('Command line'),
      value: 'cli',
      detail: l10n.t('Calls of qemu-migration, for a shell'),
    },
  ];
}

/** What of a machine's settings the selected rows mean. */
function settingsIn({ machine, whole, ...names }: SelectedSettings): SettingsState | undefined {
  const { facts } = machine.snapshot;
  if (facts === undefined) return undefined;
  if (!whole) return reportedOnly(settingsOf(facts, names));
  const changed = changedSettings(facts);
  const some = changed.parameters.length + changed.capabilities.length > 0;
  return reportedOnly(settingsOf(facts, some ? changed : settableNames(facts)));
}

interface Names {
  readonly parameters: readonly string[];
  readonly capabilities: readonly string[];
}

function changedSettings(facts: VmFacts): Names {
  return {
    parameters: describeParameters(facts).flatMap(({ name, changed, editable, value }) =>
      changed && editable && value !== undefined ? [name] : [],
    ),
    capabilities: describeCapabilities(facts).flatMap(({ name, changed, enabled }) =>
      changed && enabled !== undefined ? [name] : [],
    ),
  };
}

function settableNames(facts: VmFacts): Names {
  return {
    parameters: describeParameters(facts).flatMap(({ name, editable }) => (editable ? [name] : [])),
    capabilities: facts.capabilities.map(({ name }) => name),
  };
}

/** Without parameters that QEMU does not report: there is nothing to copy of them. */
function reportedOnly({ parameters, capabilities }: SettingsState): SettingsState {
  const reported = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return { parameters: Object.fromEntries(reported), capabilities };
}

function countOf({ parameters, capabilities }: SettingsState): number {
  return Object.keys(parameters).length + Object.keys(capabilities).length;
}

/** The changed ones first. */
function settingItems(facts: VmFacts, changed: Names): readonly PromptItem<string>[] {
  const names = settableNames(facts);
  const item = (name: string, isChanged: boolean, text: string): PromptItem<string> => ({
    label: name,
    value: name,
    description: text,
    group: isChanged ? l10n.t('changed') : l10n.t('default'),
  });
  const { parameters } = reportedOnly(settingsOf(facts, names));
  const items = [
    ...Object.entries(parameters).map(([name, value]) =>
      item(name, changed.parameters.includes(name), parameterValueText(facts, name, value)),
    ),
    ...facts.capabilities.map(({ name, enabled }) =>
      item(name, changed.capabilities.includes(name), stateText(enabled)),
    ),
  ];
  const isChanged = ({ value }: PromptItem<string>): boolean =>
    changed.parameters.includes(value) || changed.capabilities.includes(value);
  return [...items.filter(isChanged), ...items.filter((other) => !isChanged(other))];
}

function leftOutWords(leftOut: CopiedText['leftOut']): readonly string[] {
  if (leftOut.length === 0) return [];
  const reasons = leftOut.map(({ name, reason }) => l10n.t('{0}: {1}', name, reason));
  return [l10n.t('Left out: {0}', [...new Set(reasons)].join(' '))];
}
