import { stringifyJson, type JsonValue } from '../../qmp/json';
import type { SchemaType } from '../../qmp/schema';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { parameterInfo, parseParameter, type ParameterInfo, type Unit } from './catalogue';
import { editableQuantity, formatQuantity, parseQuantity } from './units';

/** The control that edits a parameter. */
export type ParameterControl = 'boolean' | 'integer' | 'enum' | 'string' | 'list' | 'struct';

/** All that is needed to show and edit one parameter of one machine. */
export interface ParameterDescription {
  readonly name: string;
  /** What we know of it; `undefined` for one that we have never heard of. */
  readonly info: ParameterInfo | undefined;
  readonly control: ParameterControl;
  readonly unit: Unit;
  /** An enum's values in this QEMU. */
  readonly choices: readonly string[];
  /** As QEMU reports it; `undefined`: not set. */
  readonly value: JsonValue | undefined;
  readonly unstable: boolean;
  readonly deprecated: boolean;
  readonly editable: boolean;
  readonly notEditableReason?: string;
}

const setCommand = 'migrate-set-parameters';

/** Every parameter that this QEMU reports or that its schema lets one set, by name. */
export function describeParameters(facts: VmFacts): readonly ParameterDescription[] {
  const names = new Set([
    ...Object.keys(facts.parameters),
    ...facts.schema.arguments(setCommand).map(({ name }) => name),
  ]);
  return [...names].sort().flatMap((name) => describeParameter(facts, name) ?? []);
}

/** One parameter; `undefined` when this QEMU has no such parameter. */
export function describeParameter(facts: VmFacts, name: string): ParameterDescription | undefined {
  const member = facts.schema.argument(setCommand, name);
  const value = Object.hasOwn(facts.parameters, name) ? facts.parameters[name] : undefined;
  if (member === undefined && value === undefined) return undefined;
  const info = parameterInfo(name);
  const control = member === undefined ? controlOfValue(value) : controlOfType(member.type);
  const notEditableReason = whyNotEditable(name, control, member !== undefined);
  return {
    name,
    info,
    control,
    unit: info?.unit ?? (control === 'integer' ? 'count' : 'none'),
    choices: control === 'enum' ? facts.schema.enumValues(setCommand, name) : [],
    value,
    unstable: member?.features.includes('unstable') ?? false,
    deprecated: member?.features.includes('deprecated') ?? false,
    editable: notEditableReason === undefined,
    ...(notEditableReason !== undefined && { notEditableReason }),
  };
}

function whyNotEditable(
  name: string,
  control: ParameterControl,
  settable: boolean,
): string | undefined {
  if (!settable) return 'This QEMU reports the value, but does not let it be set.';
  if (name === 'cpr-exec-command') {
    return 'QEMU runs this command in place of itself. It is only shown here.';
  }
  return control === 'struct' ? 'A structured value is only shown here.' : undefined;
}

function controlOfType(type: SchemaType): ParameterControl {
  switch (type.kind) {
    case 'builtin':
      switch (type.json) {
        case 'boolean':
          return 'boolean';
        case 'int':
          return 'integer';
        case 'string':
          return 'string';
        case 'number':
        case 'null':
        case 'object':
        case 'value':
          return 'struct';
      }
    case 'enum':
      return 'enum';
    case 'array':
      return isStringType(type.element) ? 'list' : 'struct';
    case 'alternate':
      return type.members.some(isStringType) ? 'string' : 'struct';
    case 'object':
      return 'struct';
  }
}

function isStringType(type: SchemaType): boolean {
  return type.kind === 'enum' || (type.kind === 'builtin' && type.json === 'string');
}

function controlOfValue(value: JsonValue | undefined): ParameterControl {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'bigint' || Number.isInteger(value)) return 'integer';
  return typeof value === 'string' ? 'string' : 'struct';
}

/** The value as a person reads it: `128 MiB/s`, `on`, `not set`. */
export function formatParameterValue(description: ParameterDescription): string {
  const { value, unit } = description;
  if (value === undefined) return 'not set';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'number' || typeof value === 'bigint') {
    return formatNumber(value, unit, description.info);
  }
  if (typeof value === 'string') return value === '' ? 'empty' : value;
  return value === null || isEmpty(value) ? 'empty' : stringifyJson(value);
}

function formatNumber(value: number | bigint, unit: Unit, info: ParameterInfo | undefined): string {
  const text = formatQuantity(value, unit);
  return Number(value) === 0 && info?.zeroMeans !== undefined
    ? `${text} (${info.zeroMeans})`
    : text;
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}

/** The text to begin editing with; `parseParameterInput` of it gives the value again. */
export function editText(description: ParameterDescription): string {
  const { value, unit } = description;
  if (value === undefined || value === null) return '';
  if (typeof value === 'object') return stringifyJson(value);
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string') return value;
  // QMP has fractions too, if no parameter of a QEMU that we know.
  if (typeof value === 'number' && !Number.isInteger(value)) return String(value);
  return editableQuantity(BigInt(value), unit);
}

export type InputResult =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly problem: string };

/**
 * What a person typed, as the value to send; checked against type, unit, range and choices. What
 * only QEMU can know (dependencies) is left to QEMU.
 */
export function parseParameterInput(description: ParameterDescription, text: string): InputResult {
  const trimmed = text.trim();
  switch (description.control) {
    case 'boolean':
      return parseBoolean(trimmed);
    case 'integer': {
      const { info, unit } = description;
      return info === undefined ? parseQuantity(trimmed, unit) : parseParameter(trimmed, info);
    }
    case 'enum':
      return description.choices.includes(trimmed)
        ? { ok: true, value: trimmed }
        : { ok: false, problem: `One of: ${description.choices.join(', ')}.` };
    case 'string':
      return { ok: true, value: text };
    case 'list':
      return parseList(trimmed);
    case 'struct':
      return { ok: false, problem: description.notEditableReason ?? 'Not editable here.' };
  }
}

function parseBoolean(text: string): InputResult {
  if (/^(on|true|yes|1)$/i.test(text)) return { ok: true, value: true };
  if (/^(off|false|no|0)$/i.test(text)) return { ok: true, value: false };
  return { ok: false, problem: 'on or off.' };
}

function parseList(text: string): InputResult {
  const problem = 'A list in JSON, such as ["virtio-net-tap"], or [] for none.';
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) {
      return { ok: true, value };
    }
  } catch {
    // The sentence says what is wanted.
  }
  return { ok: false, problem };
}

/**
 * Sends `migrate-set-parameters` and reads back.
 *
 * @returns what QEMU now reports; `undefined` when it does not report the parameter
 * @throws {QmpCommandError} QEMU's refusal; then nothing was set
 * @throws {NotConnectedError}
 */
export async function setParameter(
  machine: MachineHandle,
  name: string,
  value: JsonValue,
): Promise<JsonValue | undefined> {
  await machine.connection().execute(setCommand, { [name]: value });
  const facts = await machine.refresh(['parameters']);
  const failure = facts.failures.parameters;
  if (failure !== undefined) throw failure;
  return facts.parameters[name];
}
