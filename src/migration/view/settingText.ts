/** What the rows of parameters and of capabilities say alike. */
import { stringifyJson, type JsonValue } from '../../qmp/json';
import type { Sides } from '../settings/catalogue';
import type { DefaultValue } from '../settings/defaults';
import type { NodeIcon } from './nodes';

/** A line of a tooltip. */
export type Field = readonly [name: string, value: string];

export const sideWords: Readonly<Record<Sides, string>> = {
  'both-equal': 'must be equal on both sides',
  source: 'only the source’s value matters',
  target: 'only the target’s value matters',
  either: 'each side’s value stands for itself',
};

/** A setting as it is now, ready to be put into a row. */
export interface SettingLook {
  readonly name: string;
  readonly text: string;
  /** What it is by default, when that is known and another. */
  readonly changedFrom: string | undefined;
  readonly unstable: boolean;
  readonly deprecated: boolean;
}

/** A dot before what was changed; an empty place before the rest keeps the names in line. */
export function changeIcon(changed: boolean): NodeIcon {
  return changed
    ? { codicon: 'circle-small-filled', color: 'gitDecoration.modifiedResourceForeground' }
    : { codicon: 'blank' };
}

/** Beside the name: `1 GiB/s · default 128 MiB/s · unstable`. */
export function settingDescription({ text, changedFrom, ...marks }: SettingLook): string {
  const standard = changedFrom === undefined ? [] : [`default ${shortened(changedFrom)}`];
  return [shortened(text), ...standard, ...marksOf(marks)].join(' · ');
}

/** For a screen reader: `max-bandwidth, 1 GiB/s, changed from the default 128 MiB/s`. */
export function settingSpoken({ name, text, changedFrom, ...marks }: SettingLook): string {
  const standard =
    changedFrom === undefined ? [] : [`changed from the default ${shortened(changedFrom)}`];
  return [name, shortened(text), ...standard, ...marksOf(marks)].join(', ');
}

/** What a setting is, then what to know of it: Markdown of ours, for a tooltip. */
export function explanationOf(
  info: { readonly summary: string; readonly details: string } | undefined,
  unknown: string,
): string {
  return info === undefined ? unknown : `${info.summary}.\n\n${info.details}`;
}

function marksOf({
  unstable,
  deprecated,
}: Pick<SettingLook, 'unstable' | 'deprecated'>): readonly string[] {
  return [...(unstable ? ['unstable'] : []), ...(deprecated ? ['deprecated'] : [])];
}

/** What QEMU's marks mean for whoever sets the value. */
export function markWarnings({
  unstable,
  deprecated,
}: Pick<SettingLook, 'unstable' | 'deprecated'>): readonly string[] {
  return [
    ...(unstable ? ['Unstable: another version of QEMU may change it or not have it.'] : []),
    ...(deprecated ? ['Deprecated: a later version of QEMU will not have it.'] : []),
  ];
}

/** A row has one line; the tooltip has the whole value. */
const longest = 120;

function shortened(text: string): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}

/** Lines about the default, with the way we know it. */
export function defaultFields(
  standard: DefaultValue,
  format: (value: JsonValue | undefined) => string,
): readonly Field[] {
  return standard.kind === 'unknown'
    ? [['Default', 'not known for this QEMU']]
    : [['Default', `${format(standard.value)}, as in ${standard.source}`]];
}

export function sinceField(info: { readonly since: string; readonly until?: string }): Field {
  const until = info.until === undefined ? '' : `, gone in ${info.until}`;
  return ['Since', info.since === 'patched' ? 'patched builds' : `QEMU ${info.since}${until}`];
}

/** A value as QMP has it, for the clipboard. */
export function copyTextOf(value: JsonValue | undefined): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : stringifyJson(value);
}
