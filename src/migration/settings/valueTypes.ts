import { isArray, isObject, stringifyJson, type JsonObject, type JsonValue } from '../../qmp/json';
import type { SchemaMember, SchemaType } from '../../qmp/schema';
import { nearest } from './nearest';

/** Deeper than any value that a person writes; a type that holds itself ends here. */
const deepest = 60;

/**
 * What is wrong with a value for this type, as one sentence that says where:
 * `bitmaps[1].name must be a text, not a number.` `undefined` when QEMU's schema allows it.
 *
 * Ranges of parameters are not in the schema; see `checkRange` of the catalogue.
 */
export function checkValue(type: SchemaType, value: JsonValue): string | undefined {
  return problemOf(type, value, '', 0) ?? unsendable(value);
}

function problemOf(
  type: SchemaType,
  value: JsonValue,
  path: string,
  depth: number,
): string | undefined {
  if (depth > deepest) return `${subject(path)} is nested too deeply.`;
  switch (type.kind) {
    case 'builtin':
      return builtinProblem(type, value, path);
    case 'enum':
      return enumProblem(
        type.values.map(({ name }) => name),
        value,
        path,
      );
    case 'array': {
      if (!isArray(value)) return wrongKind(type, value, path);
      return first(value.entries(), ([index, entry]) =>
        problemOf(type.element, entry, `${path}[${index}]`, depth + 1),
      );
    }
    case 'object':
      return isObject(value)
        ? memberProblem(type, value, path, depth)
        : wrongKind(type, value, path);
    case 'alternate': {
      // QEMU tells the choices of an alternate apart by the kind of JSON value alone.
      const fitting = choicesOf(type).filter((choice) => accepts(choice, value));
      if (fitting.length === 0) return wrongKind(type, value, path);
      const problems = fitting.map((choice) => problemOf(choice, value, path, depth + 1));
      return problems.includes(undefined) ? undefined : problems[0];
    }
  }
}

type PlainType = Exclude<SchemaType, { kind: 'alternate' }>;

/** The types that an alternate stands for, or the type itself; an alternate may be in another. */
function choicesOf(type: SchemaType, seen = new Set<SchemaType>()): readonly PlainType[] {
  if (type.kind !== 'alternate') return [type];
  if (seen.has(type)) return [];
  seen.add(type);
  return type.members.flatMap((member) => choicesOf(member, seen));
}

function memberProblem(
  type: SchemaType & { kind: 'object' },
  value: JsonObject,
  path: string,
  depth: number,
): string | undefined {
  const members = membersOf(type, value);
  const known = members.map(({ name }) => name);
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const near = nearest(unknown, known);
    const hint =
      near === undefined ? `known here: ${known.join(', ') || 'nothing'}` : `did you mean ${near}?`;
    return `${at(unknown)} is unknown; ${hint}${hint.endsWith('?') ? '' : '.'}`;
  }
  return first(members, ({ name, type: memberType, optional }) => {
    const member = Object.hasOwn(value, name) ? value[name] : undefined;
    if (member === undefined) return optional ? undefined : `${at(name)} is missing.`;
    return problemOf(memberType, member, at(name), depth + 1);
  });
}

/** The members that a value may have: some depend on what its discriminator says. */
function membersOf(
  { members, variants }: SchemaType & { kind: 'object' },
  value: JsonObject,
): readonly SchemaMember[] {
  const chosen = variants && value[variants.discriminator];
  return typeof chosen === 'string'
    ? [...members, ...(variants?.membersFor(chosen) ?? [])]
    : members;
}

/** By the names of QEMU's integer types; a schema calls all of them `int`. */
const integerRanges: ReadonlyMap<string, readonly [bigint, bigint]> = new Map([
  ...[8, 16, 32, 64].flatMap((bits): [string, readonly [bigint, bigint]][] => {
    const half = 1n << BigInt(bits - 1);
    return [
      [`int${bits}`, [-half, half - 1n]],
      [`uint${bits}`, [0n, 2n * half - 1n]],
    ];
  }),
  ['size', [0n, (1n << 64n) - 1n]],
]);
/** What QEMU's JSON parser keeps as an integer. */
const anyInteger: readonly [bigint, bigint] = [-(1n << 63n), (1n << 64n) - 1n];

function builtinProblem(
  type: SchemaType & { kind: 'builtin' },
  value: JsonValue,
  path: string,
): string | undefined {
  if (type.json === 'value') return undefined;
  if (!accepts(type, value)) return wrongKind(type, value, path);
  if (type.json !== 'int' || typeof value === 'boolean' || value === null) return undefined;
  if (typeof value === 'number' && !Number.isInteger(value)) {
    return `${subject(path)} must be a whole number, not ${value}.`;
  }
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const [min, max] = integerRanges.get(type.name) ?? anyInteger;
  const exact = BigInt(value);
  return exact < min || exact > max
    ? `${subject(path)} must be between ${min} and ${max}, not ${exact}.`
    : undefined;
}

function enumProblem(
  values: readonly string[],
  value: JsonValue,
  path: string,
): string | undefined {
  if (typeof value === 'string' && values.includes(value)) return undefined;
  const found = typeof value === 'string' ? JSON.stringify(value) : kindOf(value);
  return `${subject(path)} must be one of ${values.join(', ')}, not ${found}.`;
}

/** Whether the value is of the kind of JSON that the type is written in. */
function accepts(type: PlainType, value: JsonValue): boolean {
  switch (type.kind) {
    case 'builtin':
      switch (type.json) {
        case 'boolean':
          return typeof value === 'boolean';
        case 'int':
        case 'number':
          return typeof value === 'number' || typeof value === 'bigint';
        case 'string':
          return typeof value === 'string';
        case 'null':
          return value === null;
        case 'object':
          return isObject(value);
        case 'value':
          return true;
      }
    case 'enum':
      return typeof value === 'string';
    case 'array':
      return isArray(value);
    case 'object':
      return isObject(value);
  }
}

function wrongKind(type: SchemaType, value: JsonValue, path: string): string {
  const kinds = unique(choicesOf(type).map(wanted));
  return `${subject(path)} must be ${listed(kinds, 'or')}, not ${kindOf(value)}.`;
}

function subject(path: string): string {
  return path === '' ? 'The value' : path;
}

function wanted(type: PlainType): string {
  switch (type.kind) {
    case 'builtin':
      return oneOf[type.json];
    case 'enum':
      return 'a text';
    case 'array':
      return 'a list';
    case 'object':
      return 'an object';
  }
}

type BuiltinJson = (SchemaType & { kind: 'builtin' })['json'];

const oneOf: Readonly<Record<BuiltinJson, string>> = {
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
  null: 'null',
  object: 'an object',
  value: 'any value',
};

function kindOf(value: JsonValue): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return 'a text';
  if (typeof value === 'object') return isArray(value) ? 'a list' : 'an object';
  return 'a number';
}

/** What the schema allows, but JSON or QEMU's parser of it does not. */
function unsendable(value: JsonValue): string | undefined {
  try {
    stringifyJson(value);
    return undefined;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return `The value cannot be sent to QEMU: ${error.message}.`;
  }
}

/**
 * A type in words, for a tooltip: `list of texts`, `text or null`,
 * `list of objects with node-name, alias, bitmaps`.
 */
export function typeText(type: SchemaType): string {
  return words(type, false, 0);
}

function words(type: SchemaType, plural: boolean, depth: number): string {
  // Far enough to understand a value; a type may hold itself.
  if (depth > 3) return plural ? 'values' : 'value';
  switch (type.kind) {
    case 'builtin':
      return plural ? many[type.json] : single[type.json];
    case 'enum':
      return `${plural ? 'values out' : 'one'} of ${type.values.map(({ name }) => name).join(', ')}`;
    case 'array':
      return `${plural ? 'lists' : 'list'} of ${words(type.element, true, depth + 1)}`;
    case 'object':
      return `${plural ? 'objects' : 'object'}${membersText(type)}`;
    case 'alternate': {
      const choices = choicesOf(type).map((choice) => words(choice, plural, depth + 1));
      return listed(unique(choices), 'or');
    }
  }
}

function membersText({ members, variants }: SchemaType & { kind: 'object' }): string {
  const names = members.filter(({ optional }) => !optional).map(({ name }) => name);
  const extra = members.filter(({ optional }) => optional).map(({ name }) => name);
  const parts = [
    ...(names.length > 0 ? [`with ${names.join(', ')}`] : []),
    ...(extra.length > 0 ? [`optionally ${extra.join(', ')}`] : []),
    ...(variants !== undefined ? [`more depending on ${variants.discriminator}`] : []),
  ];
  return parts.length === 0 ? '' : ` ${parts.join(', ')}`;
}

const single: Readonly<Record<BuiltinJson, string>> = {
  boolean: 'on or off',
  int: 'whole number',
  number: 'number',
  string: 'text',
  null: 'null',
  object: 'object',
  value: 'any value',
};

const many: Readonly<Record<BuiltinJson, string>> = {
  boolean: 'true or false',
  int: 'whole numbers',
  number: 'numbers',
  string: 'texts',
  null: 'nulls',
  object: 'objects',
  value: 'values of any type',
};

function listed(texts: readonly string[], joint: string): string {
  const last = texts.at(-1) ?? '';
  return texts.length < 2 ? last : `${texts.slice(0, -1).join(', ')} ${joint} ${last}`;
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}

/** The first problem among those of `parts`. */
function first<Part>(
  parts: Iterable<Part>,
  problem: (part: Part) => string | undefined,
): string | undefined {
  for (const part of parts) {
    const found = problem(part);
    if (found !== undefined) return found;
  }
  return undefined;
}
