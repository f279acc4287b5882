import { l10n } from 'vscode';
import { rangeText } from '../../migration/settings/catalogue';
import {
  editText,
  formatParameterValue,
  parseParameterInput,
  type ParameterDescription,
} from '../../migration/settings/parameters';
import { sameValue } from '../../migration/settings/values';
import type { JsonValue } from '../../qmp/json';
import type { VmFacts } from '../../vm/types';
import { judge, textOf, type Verdict } from '../fixes';
import type { FieldNote, PromptItem, Suggestion } from '../prompts';
import { changeWords } from '../settingWords';

/** A value to set, alone or with what it needs. */
export interface Choice {
  readonly value: JsonValue;
  readonly withFixes: boolean;
}

/** What is known of a value before it is sent; nothing is said of the one that QEMU has. */
export function judgeValue(
  facts: VmFacts,
  description: ParameterDescription,
  value: JsonValue,
): Verdict {
  if (sameValue(value, description.value)) {
    return { refusals: [], warnings: [], completed: undefined };
  }
  return judge(facts, { parameters: { [description.name]: value }, capabilities: {} });
}

/** `summary · unit · range · default`, as far as they are known, and how to write it. */
export function promptText(description: ParameterDescription): string {
  const { info, typeText } = description;
  return [
    ...marks(description),
    info === undefined ? l10n.t('new to this extension: {0}', typeText) : info.summary,
    limitsText(description),
    howToWrite(description),
    defaultText(description),
  ]
    .filter((part) => part !== undefined)
    .join(' · ');
}

function marks({ unstable, deprecated }: ParameterDescription): readonly string[] {
  return [...(unstable ? [l10n.t('unstable')] : []), ...(deprecated ? [l10n.t('deprecated')] : [])];
}

/** What a number without a unit is taken for. */
const bareUnits: Readonly<Record<ParameterDescription['unit'], string | undefined>> = {
  bytes: 'bytes',
  'bytes/s': 'bytes/s',
  ms: 'ms',
  percent: '%',
  'MB/s': 'MiB/s',
  count: undefined,
  level: undefined,
  none: undefined,
};

function limitsText({ control, unit, info }: ParameterDescription): string | undefined {
  if (control !== 'integer') return undefined;
  const bare = bareUnits[unit];
  const words = bare === undefined ? undefined : l10n.t('a number alone is in {0}', bare);
  const range = info && rangeText(info);
  const zero = info?.zeroMeans === undefined ? undefined : l10n.t('0: {0}', info.zeroMeans);
  return [words, range, zero].filter((part) => part !== undefined).join(' · ') || undefined;
}

function howToWrite({ control, nullable, typeText }: ParameterDescription): string | undefined {
  switch (control) {
    case 'string':
      return nullable ? l10n.t('an empty text clears it') : undefined;
    case 'list':
      return l10n.t('words separated by blanks, or a list in JSON; nothing for an empty list');
    case 'struct':
      return l10n.t('in JSON: {0}', typeText);
    case 'boolean':
    case 'integer':
    case 'enum':
      return undefined;
  }
}

function defaultText(description: ParameterDescription): string | undefined {
  const { default: standard, nullable } = description;
  // How to clear it is said already.
  return standard.kind === 'known' && !(nullable && standard.value === '')
    ? l10n.t('default: {0}', formatParameterValue({ ...description, value: standard.value }))
    : undefined;
}

/** What is to be said of a text that is being typed. */
export function fieldNote(
  facts: VmFacts | undefined,
  description: ParameterDescription,
  text: string,
): FieldNote | undefined {
  const result = parseParameterInput(description, text);
  if (!result.ok) return { level: 'problem', text: result.problem };
  if (facts === undefined) return undefined;
  const { refusals, warnings, completed } = judgeValue(facts, description, result.value);
  const hint =
    completed === undefined
      ? []
      : [l10n.t('The button above (Shift+Tab) can also {0}.', changeWords(facts, completed.added))];
  if (refusals.length > 0) {
    return { level: 'problem', text: [textOf(refusals), ...hint].join(' ') };
  }
  return warnings.length === 0
    ? undefined
    : { level: 'warning', text: [textOf(warnings), ...hint].join(' ') };
}

/** Values to fill in: the one before the last change, and the default. */
export function suggestions(
  description: ParameterDescription,
  previous: JsonValue | undefined,
): readonly Suggestion[] {
  const { default: standard } = description;
  const offer = (icon: string, value: JsonValue | undefined, words: string): Suggestion[] => {
    if (value === undefined || sameValue(value, description.value)) return [];
    const other = { ...description, value };
    const tooltip = l10n.t('{0}: {1}', words, formatParameterValue(other));
    return [{ icon, tooltip, text: editText(other) }];
  };
  return [
    ...offer('history', previous, l10n.t('Fill in the value before the last change')),
    ...(standard.kind === 'known'
      ? offer('discard', standard.value, l10n.t('Fill in the default, as in {0}', standard.source))
      : []),
  ];
}

/** The values of a boolean or an enumeration, the current one first, so that Enter changes nothing. */
export function choices(
  facts: VmFacts,
  description: ParameterDescription,
  previous: JsonValue | undefined,
): readonly PromptItem<Choice>[] {
  const { control, value: current } = description;
  const values: readonly JsonValue[] = control === 'boolean' ? [true, false] : description.choices;
  const ordered = [
    ...values.filter((value) => sameValue(value, current)),
    ...values.filter((value) => !sameValue(value, current)),
  ];
  const items = ordered.map((value) => choiceItems(facts, description, value, previous));
  return [...items.flatMap(({ alone }) => alone), ...items.flatMap(({ together }) => together)];
}

/** A value as an item, and with what it needs as another. */
function choiceItems(
  facts: VmFacts,
  description: ParameterDescription,
  value: JsonValue,
  previous: JsonValue | undefined,
): { alone: PromptItem<Choice>; together: readonly PromptItem<Choice>[] } {
  const { info, value: current, default: standard } = description;
  const label = formatParameterValue({ ...description, value });
  const isCurrent = sameValue(value, current);
  const words = [
    isCurrent ? l10n.t('current') : undefined,
    standard.kind === 'known' && sameValue(value, standard.value) ? l10n.t('default') : undefined,
    !isCurrent && sameValue(value, previous) ? l10n.t('before the last change') : undefined,
  ].filter((word) => word !== undefined);
  const detail = info?.values?.find((known) => known.value === value)?.summary;
  const { refusals, warnings, completed } = judgeValue(facts, description, value);
  const alone: PromptItem<Choice> = {
    label,
    value: { value, withFixes: false },
    description: words.join(' · '),
    ...(detail !== undefined && { detail }),
    ...(isCurrent && { icon: 'check' }),
    ...(warnings.length > 0 && { warning: textOf(warnings) }),
    ...(refusals.length > 0 && { refusal: textOf(refusals) }),
  };
  if (completed === undefined) return { alone, together: [] };
  return {
    alone,
    together: [
      {
        label: l10n.t('{0}, and {1}', label, changeWords(facts, completed.added)),
        value: { value, withFixes: true },
        icon: 'lightbulb',
        group: l10n.t('together with what it needs'),
        ...(detail !== undefined && { detail }),
      },
    ],
  };
}
