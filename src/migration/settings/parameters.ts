import { parseTypedJson, stringifyJson, type JsonValue } from '../../qmp/json';
import type { QmpSchema, SchemaType } from '../../qmp/schema';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { parameterInfo, parseParameter, type ParameterInfo, type Unit } from './catalogue';
import { parameterDefault, type DefaultValue } from './defaults';
import { nearest } from './nearest';
import { executedParameter } from './rules';
import { editableQuantity, formatQuantity, parseQuantity } from './units';
import { isNumber, sameValue } from './values';
import { checkValue, typeText } from './valueTypes';
import { splitWords } from './wordList';

/**
 * The control that edits a parameter.
 * - `list`: texts, as JSON or as words separated by blanks
 * - `struct`: all else that has no control of its own, as JSON
 */
export type ParameterControl = 'boolean' | 'integer' | 'enum' | 'string' | 'list' | 'struct';

/** All that is needed to show and edit one parameter of one machine. */
export interface ParameterDescription {
  readonly name: string;
  /** What we know of it; `undefined` for one that we have never heard of. */
  readonly info: ParameterInfo | undefined;
  readonly control: ParameterControl;
  /** As this QEMU's schema has it; `undefined` when it cannot be set. */
  readonly type: SchemaType | undefined;
  /** The type for people: `list of texts`. */
  readonly typeText: string;
  /** `null` may be set, for "not set"; so may the empty text, which says the same. */
  readonly nullable: boolean;
  readonly unit: Unit;
  /** The values in this QEMU that an enumeration, or a list of them, may have. */
  readonly choices: readonly string[];
  /** As QEMU reports it; `undefined`: not set. */
  readonly value: JsonValue | undefined;
  readonly default: DefaultValue;
  /** It is set, and its default is known to be another. */
  readonly changed: boolean;
  readonly unstable: boolean;
  readonly deprecated: boolean;
  readonly editable: boolean;
  readonly notEditableReason?: string;
}

const setCommand = 'migrate-set-parameters';

/** Every parameter that this QEMU reports or that its schema lets one set, by name. */
export function describeParameters(facts: VmFacts): readonly ParameterDescription[] {
  const names = new Set([...Object.keys(facts.parameters), ...shapesOf(facts.schema).keys()]);
  return [...names].sort().flatMap((name) => describeParameter(facts, name) ?? []);
}

/** One parameter; `undefined` when this QEMU has no such parameter. */
export function describeParameter(facts: VmFacts, name: string): ParameterDescription | undefined {
  const value = Object.hasOwn(facts.parameters, name) ? facts.parameters[name] : undefined;
  const shape = shapesOf(facts.schema).get(name) ?? reportedShape(value);
  if (shape === undefined) return undefined;
  const info = parameterInfo(name);
  const standard = parameterDefault(facts, name);
  return {
    name,
    info,
    ...shape,
    unit: info?.unit ?? (shape.control === 'integer' ? 'count' : 'none'),
    value,
    default: standard,
    changed: value !== undefined && standard.kind === 'known' && !sameValue(value, standard.value),
  };
}

/** What does not depend on a machine, only on what its QEMU lets one set. */
type Shape = Pick<
  ParameterDescription,
  | 'control'
  | 'type'
  | 'typeText'
  | 'nullable'
  | 'choices'
  | 'unstable'
  | 'deprecated'
  | 'editable'
  | 'notEditableReason'
>;

/** Machines of one QEMU build share a schema: its parameters are looked at once. */
const shapes = new WeakMap<QmpSchema, ReadonlyMap<string, Shape>>();

function shapesOf(schema: QmpSchema): ReadonlyMap<string, Shape> {
  let found = shapes.get(schema);
  if (found === undefined) {
    found = new Map(
      schema.arguments(setCommand).map(({ name, type, features }) => [
        name,
        {
          control: controlOfType(type),
          type,
          typeText: typeText(type),
          nullable: type.kind === 'alternate' && type.members.some(isNull),
          choices: schema.enumValues(setCommand, name),
          unstable: features.includes('unstable'),
          deprecated: features.includes('deprecated'),
          editable: true,
        },
      ]),
    );
    shapes.set(schema, found);
  }
  return found;
}

/** Of a parameter that is not in the schema. */
function reportedShape(value: JsonValue | undefined): Shape | undefined {
  if (value === undefined) return undefined;
  const control = controlOfValue(value);
  return {
    control,
    type: undefined,
    typeText: valueWords[control],
    nullable: false,
    choices: [],
    unstable: false,
    deprecated: false,
    editable: false,
    notEditableReason: 'This QEMU reports the value, but does not let it be set.',
  };
}

/** Why the user is asked before this is set, as one sentence; `undefined`: no need to ask. */
export function needsConsent(name: string): string | undefined {
  return name === executedParameter
    ? 'At the end of a migration in mode cpr-exec QEMU executes this command in place of itself, ' +
        'with all of its rights, and a wrong command loses the guest.'
    : undefined;
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
      return isText(type.element) ? 'list' : 'struct';
    case 'alternate':
      // What is typed may stand for one thing only: `5` would be a text or a number.
      return type.members.some(isText) &&
        type.members.every((member) => isText(member) || isNull(member))
        ? 'string'
        : 'struct';
    case 'object':
      return 'struct';
  }
}

function isText(type: SchemaType): boolean {
  return type.kind === 'enum' || (type.kind === 'builtin' && type.json === 'string');
}

function isNull(type: SchemaType): boolean {
  return type.kind === 'builtin' && type.json === 'null';
}

function controlOfValue(value: JsonValue): ParameterControl {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'bigint' || Number.isInteger(value)) return 'integer';
  return typeof value === 'string' ? 'string' : 'struct';
}

/** The type of a value that is only reported. */
const valueWords: Readonly<Record<ParameterControl, string>> = {
  boolean: 'on or off',
  integer: 'whole number',
  enum: 'text',
  string: 'text',
  list: 'list',
  struct: 'any value',
};

/** The value as a person reads it: `128 MiB/s`, `on`, `not set`. */
export function formatParameterValue(description: ParameterDescription): string {
  const { value, unit } = description;
  if (value === undefined) return 'not set';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'number' || typeof value === 'bigint') {
    return formatNumber(value, unit, description.info);
  }
  if (typeof value === 'string') return value === '' ? 'empty' : shownText(value);
  return value === null || isEmpty(value) ? 'empty' : stringifyJson(value);
}

/** A text as it is; in quotes where it would be taken for another, or for none. */
function shownText(text: string): string {
  return /^(empty|not set)$|^\s|\s$|\p{Cc}/u.test(text) ? JSON.stringify(text) : text;
}

/** A value as a person reads it, also of a parameter that this QEMU does not have any more. */
export function parameterValueText(
  facts: VmFacts,
  name: string,
  value: JsonValue | undefined,
): string {
  const description = describeParameter(facts, name);
  if (description !== undefined) return formatParameterValue({ ...description, value });
  return value === undefined ? 'not set' : stringifyJson(value);
}

function formatNumber(value: number | bigint, unit: Unit, info: ParameterInfo | undefined): string {
  // The figure says nothing then, and a row of the tree is short.
  if (Number(value) === 0 && info?.zeroMeans !== undefined) return info.zeroMeans;
  return formatQuantity(value, unit);
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}

/** The text to begin editing with; `parseParameterInput` of it gives the value again. */
export function editText(description: ParameterDescription): string {
  const { value, unit, control } = description;
  if (value === undefined) return '';
  if (control === 'struct' || (typeof value === 'object' && value !== null)) {
    return stringifyJson(value);
  }
  if (value === null) return '';
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
 * the other settings have to say of it is left to `checkChange`, and to QEMU.
 */
export function parseParameterInput(description: ParameterDescription, text: string): InputResult {
  const { type, notEditableReason } = description;
  if (notEditableReason !== undefined) return { ok: false, problem: notEditableReason };
  const parsed = readInput(description, text);
  if (!parsed.ok || type === undefined) return parsed;
  const problem = checkValue(type, parsed.value);
  return problem === undefined ? parsed : { ok: false, problem };
}

function readInput(description: ParameterDescription, text: string): InputResult {
  const trimmed = text.trim();
  switch (description.control) {
    case 'boolean':
      return readBoolean(trimmed);
    case 'integer':
      return readInteger(description, trimmed);
    case 'enum':
      return readChoice(description.choices, trimmed);
    case 'string':
      return { ok: true, value: text };
    case 'list':
      return /^[[{]/.test(trimmed) ? readJson(description, trimmed) : splitWords(trimmed);
    case 'struct':
      return trimmed === '' && description.type?.kind === 'array'
        ? { ok: true, value: [] }
        : readJson(description, trimmed);
  }
}

function readBoolean(text: string): InputResult {
  if (/^(on|true|yes|1)$/i.test(text)) return { ok: true, value: true };
  if (/^(off|false|no|0)$/i.test(text)) return { ok: true, value: false };
  return { ok: false, problem: 'Type on or off.' };
}

function readInteger(description: ParameterDescription, text: string): InputResult {
  const { info, unit } = description;
  if (info !== undefined) return parseParameter(text, info);
  // Of one that we never heard of only its values tell whether it may be negative.
  const values = [description.value, standardOf(description)];
  const signed = values.some((value) => isNumber(value) && value < 0);
  if (signed && /^-\d{1,19}$/.test(text)) return { ok: true, value: BigInt(text) };
  return parseQuantity(text, unit);
}

function standardOf({ default: standard }: ParameterDescription): JsonValue | undefined {
  return standard.kind === 'known' ? standard.value : undefined;
}

function readChoice(choices: readonly string[], text: string): InputResult {
  const lower = text.toLowerCase();
  const found =
    choices.find((choice) => choice === text) ??
    choices.find((choice) => choice.toLowerCase() === lower);
  if (found !== undefined) return { ok: true, value: found };
  const near =
    nearest(lower, choices) ??
    choices.find((choice) => lower !== '' && choice.toLowerCase().startsWith(lower));
  const hint = near === undefined ? '' : `Did you mean ${near}? `;
  return { ok: false, problem: `${hint}One of: ${choices.join(', ')}.` };
}

function readJson(description: ParameterDescription, text: string): InputResult {
  if (text === '') return { ok: false, problem: `Type it as JSON: ${description.typeText}.` };
  try {
    return { ok: true, value: parseTypedJson(text) };
  } catch (error) {
    if (error instanceof RangeError) return { ok: false, problem: 'It is nested too deeply.' };
    if (!(error instanceof Error)) throw error;
    return { ok: false, problem: `This is not JSON: ${error.message.replace(/\.$/, '')}.` };
  }
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
