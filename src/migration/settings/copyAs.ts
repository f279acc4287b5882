import { isArray, stringifyJson, type JsonValue } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { capabilityInfo, parameterInfo } from './catalogue';
import type { SettingsState } from './change';
import { describeParameter, editText, needsConsent, parseParameterInput } from './parameters';
import { sameValue } from './values';

/** QMP commands, HMP commands, `-global` options, or calls of our command line. */
export const copyForms = ['qmp', 'hmp', 'global', 'cli'] as const;
export type CopyForm = (typeof copyForms)[number];

export interface CopiedText {
  readonly text: string;
  /** Settings that this form cannot express, with a sentence why. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

/** A setting in one form, or why it cannot be. */
type Written = { readonly text: string } | { readonly reason: string };

interface Settings<T> {
  readonly parameters: readonly (readonly [name: string, value: JsonValue, written: T])[];
  readonly capabilities: readonly (readonly [name: string, enabled: boolean, written: T])[];
}

interface Form {
  readonly parameter: (name: string, value: JsonValue, snapshot: MachineSnapshot) => Written;
  readonly capability: (name: string, enabled: boolean, snapshot: MachineSnapshot) => Written;
  /** All that could be written, as one text. */
  readonly join: (settings: Settings<string>, snapshot: MachineSnapshot) => string;
}

/**
 * The settings as text to paste elsewhere, in the order of the selection; those that are not set
 * are left out. Pure.
 *
 * - `qmp`: at most one `migrate-set-parameters` and one `migrate-set-capabilities`, a line each, for
 *   a session that has negotiated
 * - `hmp`: `migrate_set_parameter` and `migrate_set_capability`, a line for each setting
 * - `global`: `-global` options for the command line of another QEMU of this build
 * - `cli`: `qemu-migration params` and `qemu-migration caps`
 *
 * The last two are quoted for a POSIX shell.
 */
export function copyAs(
  form: CopyForm,
  selection: SettingsState,
  snapshot: MachineSnapshot,
): CopiedText {
  const { parameter, capability, join } = forms[form];
  const leftOut: { name: string; reason: string }[] = [];
  const keep = <V>(name: string, value: V, written: Written): (readonly [string, V, string])[] => {
    if ('text' in written) return [[name, value, written.text]];
    leftOut.push({ name, reason: written.reason });
    return [];
  };
  const parameters = Object.entries(selection.parameters).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const locked = whyNotSettable(snapshot.facts, name);
    return keep(name, value, locked ?? parameter(name, value, snapshot));
  });
  const capabilities = Object.entries(selection.capabilities).flatMap(([name, enabled]) =>
    keep(name, enabled, capability(name, enabled, snapshot)),
  );
  return { text: join({ parameters, capabilities }, snapshot), leftOut };
}

function whyNotSettable(facts: VmFacts | undefined, name: string): Written | undefined {
  return facts === undefined || facts.schema.argument('migrate-set-parameters', name) !== undefined
    ? undefined
    : { reason: `This QEMU reports ${name}, but does not let it be set.` };
}

const qmp: Form = {
  parameter: () => ({ text: '' }),
  capability: () => ({ text: '' }),
  join({ parameters, capabilities }) {
    const values = Object.fromEntries(parameters.map(([name, value]) => [name, value]));
    const states = capabilities.map(([capability, state]) => ({ capability, state }));
    return [
      ...(parameters.length > 0 ? [{ execute: 'migrate-set-parameters', arguments: values }] : []),
      ...(states.length > 0
        ? [{ execute: 'migrate-set-capabilities', arguments: { capabilities: states } }]
        : []),
    ]
      .map((command) => escaped(stringifyJson(command)))
      .join('\n');
  },
};

/** JSON escapes only some of what a terminal would act upon when the text is pasted. */
function escaped(json: string): string {
  return json.replace(/[\u007f-\u009f]/g, (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`);
}

const hmp: Form = {
  parameter(name, value, { facts }) {
    const written = hmpValue(name, value, facts);
    return 'text' in written ? { text: `migrate_set_parameter ${name} ${written.text}` } : written;
  },
  capability: (name, enabled) => ({ text: `migrate_set_capability ${name} ${onOff(enabled)}` }),
  join: ({ parameters, capabilities }) =>
    [...parameters, ...inOrderOfNeeds(capabilities)].map(([, , line]) => line).join('\n'),
};

function hmpValue(name: string, value: JsonValue, facts: VmFacts | undefined): Written {
  if (typeof value === 'boolean') return { text: onOff(value) };
  if (typeof value === 'number' || typeof value === 'bigint') return hmpNumber(name, value);
  if (typeof value === 'string') return hmpText(value, facts);
  if (name === 'cpr-exec-command' && isArray(value)) return hmpCommand(value);
  return {
    reason: 'HMP can set neither lists nor structures, nor unset anything. Copy it as QMP.',
  };
}

/** HMP parses sizes as signed numbers. */
const largestHmpSize = (1n << 63n) - 1n;

function hmpNumber(name: string, value: number | bigint): Written {
  const unit = parameterInfo(name)?.unit;
  if (unit === undefined) {
    return {
      reason: `HMP reads some numbers in MiB, and whether ${name} is one of them is not known here. Copy it as QMP.`,
    };
  }
  if (unit !== 'bytes' && unit !== 'bytes/s') return { text: String(value) };
  if (BigInt(value) > largestHmpSize) {
    return { reason: `HMP takes sizes up to ${largestHmpSize} only. Copy it as QMP.` };
  }
  // Without the suffix some sizes, not all, would count in MiB.
  return { text: `${value}B` };
}

/**
 * HMP read one word here, in double quotes where needed, until it got to read all the rest of the
 * line as it is. That came for the sake of `cpr-exec-command`, so a QEMU has both or neither.
 */
function hmpText(value: string, facts: VmFacts | undefined): Written {
  if (Buffer.byteLength(value) > longestHmpText) {
    return { reason: 'HMP cannot take a text of this length. Copy it as QMP.' };
  }
  if (unprintable.test(value)) return unpastable;
  if (/^[^\s"\p{Cc}][^\s\p{Cc}]*$/u.test(value)) return { text: value };
  if (facts === undefined || /\p{Cc}/u.test(value)) {
    return { reason: 'HMP cannot set a text like this. Copy it as QMP.' };
  }
  if (facts.schema.argument('migrate-set-parameters', 'cpr-exec-command') === undefined) {
    return { text: `"${value.replace(/["\\]/g, '\\$&')}"` };
  }
  if (value === '') return { reason: 'HMP cannot set an empty text here. Copy it as QMP.' };
  return /^\s/.test(value)
    ? { reason: 'HMP drops blanks in front of a text. Copy it as QMP.' }
    : { text: value };
}

/** A word has room for 1023 bytes in HMP, and a line that is typed for 4095. */
const longestHmpText = 1000;

/** What a terminal acts upon, or shows otherwise than it is. A line break in quotes is neither. */
const unprintable = /[^\P{Cc}\n]|[\u2028-\u202e\u2066-\u2069]/u;
const unpastable: Written = {
  reason: 'A text with control characters cannot be pasted into a terminal. Copy it as QMP.',
};

/** The one list that HMP takes: as words in the manner of a shell. */
function hmpCommand(words: readonly JsonValue[]): Written {
  if (words.length === 0) return { reason: 'HMP cannot set an empty list. Copy it as QMP.' };
  const texts = words.map(String);
  if (texts.some((text) => unprintable.test(text))) return unpastable;
  return texts.some((text) => text.includes('\n'))
    ? { reason: 'HMP cannot take line breaks. Copy it as QMP.' }
    : { text: texts.map(quoted).join(' ') };
}

/**
 * HMP sets one capability after another, and QEMU checks each time: those to be off go first, and
 * whatever needs another is off before it, and on after it. Otherwise the order is kept.
 */
function inOrderOfNeeds<T>(
  capabilities: readonly (readonly [name: string, enabled: boolean, T])[],
): readonly (readonly [name: string, enabled: boolean, T])[] {
  const depth = (name: string, seen: readonly string[] = []): number =>
    seen.includes(name)
      ? 0
      : Math.max(
          0,
          ...(capabilityInfo(name)?.needs ?? []).map((need) => 1 + depth(need, [...seen, name])),
        );
  const rank = ([name, enabled]: readonly [string, boolean, T]): number =>
    enabled ? depth(name) : -1 - depth(name);
  return capabilities.toSorted((a, b) => rank(a) - rank(b));
}

const global: Form = {
  parameter(name, value, { facts }) {
    const property = propertyOf(facts, name);
    if (typeof property !== 'string') return property;
    if (typeof value === 'object') {
      return { reason: '-global can set neither lists nor structures, nor unset anything.' };
    }
    const text = typeof value === 'boolean' ? onOff(value) : String(value);
    if (unprintable.test(text)) return unpastable;
    return { text: globalOption(property, text) };
  },
  capability(name, enabled, { facts }) {
    const property = propertyOf(facts, name);
    if (typeof property !== 'string') return property;
    return { text: globalOption(property, onOff(enabled)) };
  },
  join: ({ parameters, capabilities }) =>
    [...parameters, ...capabilities].map(([, , option]) => option).join(' \\\n'),
};

/** What this QEMU calls the setting in `-global`; a wrong name would end it at once. */
function propertyOf(facts: VmFacts | undefined, name: string): string | { reason: string } {
  const properties = facts?.migrationProperties;
  if (properties === undefined || properties.size === 0) {
    return { reason: 'This QEMU has not told which options -global migration has.' };
  }
  return (
    [name, `x-${name}`].find((property) => properties.has(property)) ?? {
      reason: `In this QEMU -global migration has no option for ${name}: it can only be set later.`,
    }
  );
}

/** In this short form QEMU takes all after the first `=` as it is, commas too. */
function globalOption(property: string, value: string): string {
  return `-global ${quoted(`migration.${property}=${value}`)}`;
}

const cli: Form = {
  parameter(name, value, { facts }) {
    const description = facts && describeParameter(facts, name);
    if (description === undefined) return { reason: 'Nothing is known of this QEMU yet.' };
    const asked = { ...description, value };
    const text = editText(asked);
    if (unprintable.test(text)) return unpastable;
    const read = parseParameterInput(asked, text);
    return read.ok && sameValue(read.value, value)
      ? { text: `${name}=${quoted(text)}` }
      : { reason: `The command line cannot give ${name} this value. Copy it as QMP.` };
  },
  capability: (name, enabled) => ({ text: `${name}=${onOff(enabled)}` }),
  join: ({ parameters, capabilities }, { socketPath }) =>
    [['params', parameters] as const, ['caps', capabilities] as const]
      .filter(([, settings]) => settings.length > 0)
      .map(([command, settings]) => {
        const words = settings.map(([, , word]) => word);
        // Whoever pastes into a shell has it execute things anyway.
        const consent = settings.some(([name]) => needsConsent(name) !== undefined);
        const options = command === 'params' && consent ? ['--allow-exec'] : [];
        return ['qemu-migration', command, quoted(socketPath), ...options, ...words].join(' ');
      })
      .join('\n'),
};

const forms: Readonly<Record<CopyForm, Form>> = { qmp, hmp, global, cli };

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
