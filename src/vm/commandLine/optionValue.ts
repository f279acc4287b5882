import {
  isArray,
  isObject,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../qmp/json';
import type { CommandOption } from './commandLine';
import { withValue } from './commandLine';
import { hasKeys, impliedKey } from './optionTable';

/** A piece between two single commas, kept as it was written. */
interface Part {
  readonly key: string;
  readonly value: string;
  readonly raw: string;
}

/**
 * The value of an option that is made of keys: `first,key=value,flag` with `,,` for a comma
 * (QemuOpts and keyval), or the same in JSON. Immutable; what is not changed is printed as it was
 * written. A member of a JSON object has a key with dots, such as `addr.path`.
 */
export interface OptionValue {
  /** The last one counts, as in QEMU; a flag reads as `on`, `noflag` as `off`. */
  readonly get: (key: string) => string | undefined;
  readonly all: (key: string) => readonly string[];
  readonly has: (key: string) => boolean;
  /** In their order; several keys may be the same. */
  readonly entries: readonly (readonly [key: string, value: string])[];
  /** With this value in place of the last one of that key, or at the end. */
  readonly with: (key: string, value: string) => OptionValue;
  /** Without all values of these keys, and in JSON without what is below them. */
  readonly without: (...keys: readonly string[]) => OptionValue;
  readonly print: () => string;
  readonly isJson: boolean;
}

/** Reads `option`; `undefined` where it has no value of that kind, or JSON that is not well-formed. */
export function readValue(option: CommandOption): OptionValue | undefined {
  if (option.value === undefined || !hasKeys(option.name)) return undefined;
  return parseValue(option.value, impliedKey(option.name));
}

/** The option with that value. */
export function writeValue(option: CommandOption, value: OptionValue): CommandOption {
  return withValue(option, value.print());
}

/**
 * @param implied the key of a first word without one; empty: such a word is a flag
 * @returns `undefined` for JSON that is not well-formed or no object
 */
export function parseValue(text: string, implied: string): OptionValue | undefined {
  if (text.startsWith('{')) {
    try {
      const json = parseJson(text);
      return isObject(json) ? jsonValue(json, text) : undefined;
    } catch {
      return undefined;
    }
  }
  return partsValue(splitParts(text, implied), implied);
}

/** Makes a value of keys; the first may be the implied one. */
export function makeValue(
  entries: Iterable<readonly [key: string, value: string]>,
  implied = '',
): string {
  return [...entries]
    .map(([key, value], index) => printPart(key, value, index === 0 && key === implied))
    .join(',');
}

/** A comma inside of a value. */
export function escapeCommas(text: string): string {
  return text.replaceAll(',', ',,');
}

function printPart(key: string, value: string, isFirst: boolean): string {
  // A first word with `=` would be read as a key, an empty one as nothing, one with `{` as JSON.
  if (isFirst && key !== '' && value !== '' && !/^(\{|[^,]*=)/.test(value)) {
    return escapeCommas(value);
  }
  return `${key}=${escapeCommas(value)}`;
}

/** At each comma that is not doubled, from left to right: of `,,,` the third one separates. */
export function splitAtCommas(text: string): readonly string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] !== ',') continue;
    if (text[at + 1] === ',') {
      at += 1;
    } else {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

function splitParts(text: string, implied: string): readonly Part[] {
  if (text === '') return [];
  return splitAtCommas(text).map((raw, index) => {
    const [, key, value] = /^([^=,]*)=(.*)$/s.exec(raw) ?? [];
    if (key !== undefined && value !== undefined) {
      return { key, value: value.replaceAll(',,', ','), raw };
    }
    if (index === 0 && implied !== '') {
      return { key: implied, value: raw.replaceAll(',,', ','), raw };
    }
    return { key: raw, value: 'on', raw };
  });
}

function partsValue(parts: readonly Part[], implied: string): OptionValue {
  // QEMU reads `nowait` as `wait=off`, unless there is an option of that whole name.
  const lookUp = (key: string): readonly string[] =>
    parts.flatMap((part) => {
      if (part.key === key) return [part.value];
      return part.raw === `no${key}` ? ['off'] : [];
    });
  const isOf = (part: Part, key: string): boolean =>
    part.key === key || (part.raw === `no${key}` && key !== '');
  return {
    get: (key) => lookUp(key).at(-1),
    all: lookUp,
    has: (key) => lookUp(key).length > 0,
    entries: parts.map(({ key, value }) => [key, value]),
    with: (key, value) => {
      const at = parts.findLastIndex((part) => isOf(part, key));
      const made = (index: number): Part => {
        // A key that was written stays written.
        const isBare =
          index === 0 && key === implied && parts[0]?.raw.startsWith(`${key}=`) !== true;
        return { key, value, raw: printPart(key, value, isBare) };
      };
      if (at < 0) return partsValue([...parts, made(parts.length)], implied);
      if (lookUp(key).at(-1) === value) return partsValue(parts, implied);
      return partsValue(parts.with(at, made(at)), implied);
    },
    without: (...keys) => {
      const left = parts.filter((part) => !keys.some((key) => isOf(part, key)));
      // What was first may stand without its key; what comes first now has to name it.
      return partsValue(left, implied);
    },
    print: () => parts.map(({ raw }) => raw).join(','),
    isJson: false,
  };
}

function jsonValue(json: JsonObject, text: string | undefined): OptionValue {
  const entries = flatten('', json);
  const lookUp = (key: string): readonly string[] =>
    entries.flatMap(([name, value]) => (name === key ? [value] : []));
  return {
    get: (key) => lookUp(key).at(-1),
    all: lookUp,
    has: (key) => entries.some(([name]) => name === key || name.startsWith(`${key}.`)),
    entries,
    with: (key, value) =>
      lookUp(key).at(-1) === value
        ? jsonValue(json, text)
        : jsonValue(setMember(json, key.split('.'), value), undefined),
    without: (...keys) => {
      const left = keys.reduce<JsonObject>((from, key) => dropMember(from, key.split('.')), json);
      return left === json ? jsonValue(json, text) : jsonValue(left, undefined);
    },
    print: () => text ?? stringifyJson(json),
    isJson: true,
  };
}

function flatten(key: string, value: JsonValue): readonly (readonly [string, string])[] {
  if (isArray(value)) {
    return value.flatMap((entry, index) =>
      flatten(key === '' ? String(index) : `${key}.${index}`, entry),
    );
  }
  if (isObject(value)) {
    return Object.entries(value).flatMap(([name, member]) =>
      flatten(key === '' ? name : `${key}.${name}`, member),
    );
  }
  return [[key, value === true ? 'on' : value === false ? 'off' : String(value)]];
}

/** Keys and values in JSON text, however deep; `undefined` where it is not well-formed. */
export function deepEntries(
  key: string,
  text: string,
): readonly (readonly [string, string])[] | undefined {
  try {
    return flatten(key, parseJson(text));
  } catch {
    return undefined;
  }
}

/** A boolean and a number stay one; everything else becomes text, which QEMU's options of that kind are. */
function setMember(json: JsonObject, path: readonly string[], value: string): JsonObject {
  const [head = '', ...rest] = path;
  const before = json[head];
  if (rest.length > 0) {
    return { ...json, [head]: setMember(isObject(before) ? before : {}, rest, value) };
  }
  return { ...json, [head]: memberOf(head, before, value) };
}

function memberOf(name: string, before: JsonValue | undefined, value: string): JsonValue {
  if (typeof before === 'boolean' || isSwitch(name)) return isOn(value);
  return typeof before === 'number' || name === 'queues' ? Number(value) : value;
}

/** Members that are booleans in QAPI, so that text would be refused. */
function isSwitch(name: string): boolean {
  return ['server', 'wait', 'vhost', 'append', 'logappend', 'read-only', 'abstract'].includes(name);
}

function dropMember(json: JsonObject, path: readonly string[]): JsonObject {
  const [head = '', ...rest] = path;
  const before = json[head];
  if (before === undefined) return json;
  if (rest.length > 0) {
    if (!isObject(before)) return json;
    const inner = dropMember(before, rest);
    return inner === before ? json : { ...json, [head]: inner };
  }
  return Object.fromEntries(Object.entries(json).filter(([name]) => name !== head));
}

/** `on` in all the ways of writing it. */
export function isOn(text: string | undefined): boolean {
  return text !== undefined && ['on', 'yes', 'true', 'y'].includes(text);
}

/** `off` in all the ways of writing it. */
export function isOff(text: string | undefined): boolean {
  return text !== undefined && ['off', 'no', 'false', 'n'].includes(text);
}
