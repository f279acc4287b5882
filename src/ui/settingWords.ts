import { l10n } from 'vscode';
import type { SettingsChange, SettingsState } from '../migration/settings/change';
import { parameterValueText } from '../migration/settings/parameters';
import type { VmFacts } from '../vm/types';

/** More names than this are only counted. */
const mostNamed = 3;

export function stateText(enabled: boolean | undefined): string {
  if (enabled === undefined) return l10n.t('not set');
  return enabled ? l10n.t('on') : l10n.t('off');
}

/** `a`, `a and b`, `a, b and c`. */
export function joinWords(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  if (words.length < 2) return last;
  return l10n.t('{0} and {1}', words.slice(0, -1).join(', '), last);
}

/** `max-bandwidth of web-1`, `4 settings of web-1`: what a step of the history is called. */
export function changeTitle(
  label: string,
  { parameters, capabilities }: SettingsChange | SettingsState,
): string {
  return namesTitle(label, [...Object.keys(parameters), ...Object.keys(capabilities)]);
}

export function namesTitle(label: string, names: readonly string[]): string {
  return names.length > mostNamed
    ? l10n.t('{0} settings of {1}', names.length, label)
    : l10n.t('{0} of {1}', joinWords(names), label);
}

/** `turn on return-path and set mode to normal`, without a capital. */
export function changeWords(facts: VmFacts, change: SettingsChange): string {
  const switched = (state: boolean): string[] =>
    Object.entries(change.capabilities).flatMap(([name, on]) => (on === state ? [name] : []));
  const [on, off] = [switched(true), switched(false)];
  return joinWords([
    ...(on.length > 0 ? [l10n.t('turn on {0}', joinWords(on))] : []),
    ...(off.length > 0 ? [l10n.t('turn off {0}', joinWords(off))] : []),
    ...Object.entries(change.parameters).map(([name, value]) =>
      l10n.t('set {0} to {1}', name, parameterValueText(facts, name, value)),
    ),
  ]);
}
