import { l10n, workspace } from 'vscode';
import { type SettingsChange, SettingsNotAppliedError } from '../../migration/settings/change';
import { SettingsRefusedError } from '../../migration/settings/findings';
import type { SettingsHistory } from '../../migration/settings/history';
import {
  describeParameter,
  describeParameters,
  editText,
  formatParameterValue,
  needsConsent,
  parseParameterInput,
  type ParameterDescription,
} from '../../migration/settings/parameters';
import { sameValue } from '../../migration/settings/values';
import { explain } from '../../migration/view/words';
import { QmpCommandError } from '../../qmp/errors';
import type { JsonValue } from '../../qmp/json';
import type { MachineHandle } from '../../vm/types';
import type { Back, FieldAction, Prompts } from '../prompts';
import { changeTitle, changeWords } from '../settingWords';
import { choices, fieldNote, judgeValue, promptText, suggestions } from './parameterField';
import { PreviousValues } from './previousValues';

/** Asks for a parameter's new value with the control that fits it, and sets it. */
export class ParameterEditor {
  private readonly prompts: Prompts;
  private readonly history: Pick<SettingsHistory, 'perform'>;
  private readonly previous: PreviousValues;
  private readonly isTrusted: () => boolean;

  constructor(
    prompts: Prompts,
    history: Pick<SettingsHistory, 'perform' | 'last' | 'onDidChange'>,
    isTrusted = () => workspace.isTrusted,
  ) {
    this.prompts = prompts;
    this.history = history;
    this.previous = new PreviousValues(history);
    this.isTrusted = isTrusted;
  }

  chooseParameter(machine: MachineHandle): Promise<string | Back | undefined> {
    const { facts, label } = machine.snapshot;
    const items = (facts === undefined ? [] : describeParameters(facts)).map((description) => {
      const { name, info, changed, unstable, deprecated, notEditableReason } = description;
      const words = [
        formatParameterValue(description),
        ...(changed ? [l10n.t('changed')] : []),
        ...(unstable ? [l10n.t('unstable')] : []),
        ...(deprecated ? [l10n.t('deprecated')] : []),
      ];
      return {
        label: name,
        value: name,
        description: words.join(' · '),
        ...(info !== undefined && { detail: info.summary }),
        ...(notEditableReason !== undefined && {
          refusal: notEditableReason,
          group: l10n.t('only shown'),
        }),
      };
    });
    return this.prompts.pick({
      title: l10n.t('Set Parameter of {0}', label),
      placeholder: l10n.t('Which parameter?'),
      items: items.sort((a, b) => Number('refusal' in a) - Number('refusal' in b)),
    });
  }

  async edit(machine: MachineHandle, name: string): Promise<void> {
    const { facts } = machine.snapshot;
    const description = facts && describeParameter(facts, name);
    if (description === undefined || !description.editable) {
      void this.prompts.message(
        'information',
        description?.notEditableReason ?? l10n.t('This QEMU has no parameter "{0}".', name),
      );
      return;
    }
    if (needsConsent(name) !== undefined && !this.isTrusted()) {
      void this.prompts.message(
        'warning',
        l10n.t('{0} is not set from a workspace that is not trusted.', name),
      );
      return;
    }
    switch (description.control) {
      case 'boolean':
      case 'enum':
        await this.askChoice(machine, description);
        return;
      case 'integer':
      case 'string':
      case 'list':
      case 'struct':
        await this.askText(machine, description);
    }
  }

  private async askChoice(
    machine: MachineHandle,
    description: ParameterDescription,
  ): Promise<void> {
    const { facts } = machine.snapshot;
    if (facts === undefined) return;
    const { name } = description;
    await this.prompts.pick({
      title: fieldTitle(machine, name),
      placeholder: promptText(description),
      items: choices(facts, description, this.previous.of(machine.id, name)),
      submit: ({ value, withFixes }) => this.submit(machine, name, value, withFixes),
    });
  }

  private async askText(machine: MachineHandle, description: ParameterDescription): Promise<void> {
    const { name } = description;
    await this.prompts.input({
      title: fieldTitle(machine, name),
      prompt: promptText(description),
      value: editText(description),
      placeholder: l10n.t('New value'),
      suggestions: suggestions(description, this.previous.of(machine.id, name)),
      actions: (text) => this.actions(machine, description, text),
      // Against what QEMU has at the moment, which may change while one types.
      validate: (text) => fieldNote(machine.snapshot.facts, description, text),
      submit: async (text) => {
        const result = parseParameterInput(description, text);
        return result.ok ? this.submit(machine, name, result.value, false) : result.problem;
      },
      // A question that is asked in a dialog would close the box below it.
      ...(needsConsent(name) !== undefined && { stays: true }),
    });
  }

  /** Setting a value together with what it needs. */
  private actions(
    machine: MachineHandle,
    description: ParameterDescription,
    text: string,
  ): readonly FieldAction[] {
    const { facts } = machine.snapshot;
    const result = parseParameterInput(description, text);
    if (facts === undefined || !result.ok) return [];
    const { completed } = judgeValue(facts, description, result.value);
    if (completed === undefined) return [];
    return [
      {
        icon: 'lightbulb',
        tooltip: l10n.t('Set it, and {0}', changeWords(facts, completed.added)),
        submit: () => this.submit(machine, description.name, result.value, true),
      },
    ];
  }

  /** Sets it as one step of the history. What is not taken comes back as words. */
  private async submit(
    machine: MachineHandle,
    name: string,
    value: JsonValue,
    withFixes: boolean,
  ): Promise<string | undefined> {
    const { facts, label } = machine.snapshot;
    const now = facts && describeParameter(facts, name);
    if (now !== undefined && sameValue(now.value, value)) return undefined;
    const alone: SettingsChange = { parameters: { [name]: value }, capabilities: {} };
    const completed =
      withFixes && facts && now ? judgeValue(facts, now, value).completed : undefined;
    const consent = needsConsent(name);
    if (consent !== undefined && !(await this.confirm(machine, name, consent))) {
      return l10n.t('{0} was not changed.', name);
    }
    try {
      const change = completed?.change ?? alone;
      await this.history.perform(changeTitle(label, change), [{ machine, change }]);
      return undefined;
    } catch (error) {
      return refusalText(error, now);
    }
  }

  private confirm(machine: MachineHandle, name: string, sentence: string): Promise<boolean> {
    return this.prompts.confirm({
      message: l10n.t('Set {0} of {1}?', name, machine.snapshot.label),
      detail: sentence,
      action: l10n.t('Set {0}', name),
      keep: l10n.t('Leave It'),
    });
  }
}

/** Beside the field: why it was not taken, and what QEMU has still. */
function refusalText(error: unknown, before: ParameterDescription | undefined): string {
  const keeps = (text: string): string =>
    before === undefined ? text : l10n.t('{0} It keeps {1}.', text, formatParameterValue(before));
  if (error instanceof SettingsRefusedError) return keeps(explain(error).headline);
  if (error instanceof SettingsNotAppliedError && error.cause instanceof QmpCommandError) {
    // The title names the machine already, and there is one line only.
    if (error.notPutBack.length === 0) return keeps(explain(error.cause).headline);
  }
  const { headline, detail } = explain(error);
  return detail === undefined ? headline : `${headline} ${detail}`;
}

function fieldTitle({ snapshot }: MachineHandle, name: string): string {
  return l10n.t('{0}: {1}', snapshot.label, name);
}
