import { l10n } from 'vscode';
import type { JsonValue } from '../../qmp/json';
import type { ParameterInfo } from '../../migration/settings/catalogue';
import {
  describeParameter,
  describeParameters,
  editText,
  formatParameterValue,
  parseParameterInput,
  setParameter,
  type ParameterDescription,
} from '../../migration/settings/parameters';
import { explain } from '../../migration/view/words';
import type { MachineHandle } from '../../vm/types';
import { back, type Back, type PromptItem, type Prompts, type Suggestion } from '../prompts';

/** Asks for a parameter's new value with the control that fits it, and sets it. */
export class ParameterEditor {
  private readonly prompts: Prompts;
  /** The value before our last change, by machine and parameter: offered as the way back. */
  private readonly previous = new Map<string, JsonValue>();

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  chooseParameter(machine: MachineHandle): Promise<string | Back | undefined> {
    const { facts, label } = machine.snapshot;
    const items = (facts === undefined ? [] : describeParameters(facts)).map((description) => {
      const { name, info, notEditableReason } = description;
      return {
        label: name,
        value: name,
        description: formatParameterValue(description),
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
    const { facts, label } = machine.snapshot;
    const description = facts && describeParameter(facts, name);
    if (description === undefined || !description.editable) {
      void this.prompts.message(
        'information',
        description?.notEditableReason ?? l10n.t('This QEMU has no parameter "{0}".', name),
      );
      return;
    }
    const title = l10n.t('{0}: {1}', label, name);
    switch (description.control) {
      case 'boolean':
      case 'enum': {
        const value = await this.prompts.pick({
          title,
          placeholder: promptText(description.info) ?? l10n.t('New value'),
          items: this.choices(machine, description),
        });
        if (value !== undefined && value !== back) await this.set(machine, name, value);
        return;
      }
      case 'integer':
      case 'string':
      case 'list':
      case 'struct':
        await this.askText(machine, description, title);
    }
  }

  private choices(
    machine: MachineHandle,
    description: ParameterDescription,
  ): readonly PromptItem<JsonValue>[] {
    const { info, value: current } = description;
    const previous = this.previous.get(key(machine, description.name));
    const values: readonly (string | boolean)[] =
      description.control === 'boolean' ? [true, false] : description.choices;
    const items = values.map((value): PromptItem<JsonValue> => {
      const marks = [
        value === current ? l10n.t('current') : undefined,
        value === info?.defaultValue ? l10n.t('default') : undefined,
        value === previous && value !== current ? l10n.t('before the last change') : undefined,
      ].filter((mark) => mark !== undefined);
      const detail = info?.values?.find((known) => known.value === value)?.summary;
      return {
        label: formatParameterValue({ ...description, value }),
        value,
        description: marks.join(' · '),
        ...(detail !== undefined && { detail }),
        ...(value === current && { icon: 'check' }),
      };
    });
    // The current one first, so that Enter changes nothing.
    return [
      ...items.filter(({ value }) => value === current),
      ...items.filter(({ value }) => value !== current),
    ];
  }

  private async askText(
    machine: MachineHandle,
    description: ParameterDescription,
    title: string,
  ): Promise<void> {
    const { name, info } = description;
    await this.prompts.input({
      title,
      prompt: [promptText(info), rangeText(description)].filter(Boolean).join(' · '),
      value: editText(description),
      placeholder: l10n.t('New value'),
      suggestions: this.suggestions(machine, description),
      validate: (text) => {
        const result = parseParameterInput(description, text);
        return result.ok ? undefined : result.problem;
      },
      submit: async (text) => {
        const result = parseParameterInput(description, text);
        if (!result.ok) return result.problem;
        try {
          await this.set(machine, name, result.value);
          return undefined;
        } catch (error) {
          const { headline, detail } = explain(error);
          return detail === undefined ? headline : `${headline} ${detail}`;
        }
      },
    });
  }

  private suggestions(machine: MachineHandle, description: ParameterDescription): Suggestion[] {
    const previous = this.previous.get(key(machine, description.name));
    const fallback = description.info?.defaultValue;
    const offer = (icon: string, value: JsonValue | undefined, tooltip: string): Suggestion[] => {
      if (value === undefined || value === null || value === description.value) return [];
      const other = { ...description, value };
      const words = `${tooltip}: ${formatParameterValue(other)}`;
      return [{ icon, tooltip: words, text: editText(other) }];
    };
    return [
      ...offer('discard', previous, l10n.t('Fill in the value before the last change')),
      ...offer('history', fallback, l10n.t("Fill in QEMU's default")),
    ];
  }

  private async set(machine: MachineHandle, name: string, value: JsonValue): Promise<void> {
    const { facts } = machine.snapshot;
    const before = facts && describeParameter(facts, name)?.value;
    if (before === value) return;
    await setParameter(machine, name, value);
    if (before !== undefined) this.previous.set(key(machine, name), before);
  }
}

function key(machine: MachineHandle, name: string): string {
  return `${machine.id} ${name}`;
}

function promptText(info: ParameterInfo | undefined): string | undefined {
  return info?.summary;
}

/** Ends of ranges from here on are only those of the number's type and tell nobody anything. */
const unlimited = 2n ** 53n;

/** Unit and range, as far as they are known. */
function rangeText({ control, unit, info, ...rest }: ParameterDescription): string | undefined {
  if (control === 'list') return l10n.t('separated by commas');
  if (control !== 'integer') return undefined;
  const words = unit === 'none' || unit === 'count' ? undefined : l10n.t('in {0}', unit);
  const format = (value: bigint): string =>
    formatParameterValue({ ...rest, control, unit, info: undefined, value });
  const range =
    info?.range === undefined || info.range.max >= unlimited
      ? undefined
      : l10n.t('{0} to {1}', format(info.range.min), format(info.range.max));
  const zero = info?.zeroMeans === undefined ? undefined : l10n.t('0: {0}', info.zeroMeans);
  return [words, range, zero].filter((part) => part !== undefined).join(' · ') || undefined;
}
