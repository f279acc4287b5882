import { parse as parseLossless } from 'lossless-json';

/** Any JSON value; integers that a double cannot hold exactly are bigints. */
export type JsonValue =
  null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** Sixteen digits that are not a fraction: the shortest integer that may not fit into a double. */
const longInteger = /(?:^|[^0-9.])[0-9]{16}/;

/**
 * Parses one JSON text. Integers beyond ±(2^53 - 1) become bigints, all other numbers stay numbers.
 * Throws SyntaxError.
 */
export function parseJson(text: string): JsonValue {
  // The engine's own parser is many times faster, and nearly all QMP text has small numbers only.
  if (!longInteger.test(text)) return JSON.parse(text) as JsonValue;
  return parseLossless(text, undefined, parseNumber) as JsonValue;
}

/**
 * Parses what a person typed as `parseJson` does, and refuses an object that has a member twice with
 * different values, as QEMU does. Throws SyntaxError, and RangeError for very deep nesting.
 */
export function parseTypedJson(text: string): JsonValue {
  return parseLossless(text, undefined, parseNumber) as JsonValue;
}

function parseNumber(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) || /[.eE]/.test(text) ? value : BigInt(text);
}

/** QEMU's JSON parser refuses deeper nesting (`MAX_NESTING`, 1024), and then without an id. */
const maxDepth = 1000;

/**
 * Prints JSON on one line; bigints and integral doubles come out as plain integers.
 *
 * Throws TypeError for what QEMU's parser would choke on: NaN, infinities, half a surrogate pair,
 * a code point that Unicode keeps from being a character, very deep nesting. A refusal from that parser carries no id and would cost the connection.
 */
export function stringifyJson(value: JsonValue): string {
  return isPlain(value, 0) ? JSON.stringify(value) : print(value);
}

/** Whether `JSON.stringify` prints `value` as we want it; throws for what cannot be printed. */
function isPlain(value: JsonValue | undefined, depth: number): boolean {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`JSON has no ${value}`);
    return Number.isSafeInteger(value) || !Number.isInteger(value);
  }
  if (typeof value === 'string') checkString(value);
  if (typeof value !== 'object' || value === null) return typeof value !== 'bigint';

  if (depth > maxDepth) throw new TypeError('JSON nested too deeply for QEMU');
  let plain = true;
  // `&& plain` comes last: what follows a big integer must be checked too.
  if (isArray(value)) {
    for (const element of value) plain = isPlain(element, depth + 1) && plain;
  } else {
    for (const key in value) {
      checkString(key);
      plain = isPlain(value[key], depth + 1) && plain;
    }
  }
  return plain;
}

function checkString(text: string): void {
  const [bad] = /\p{Surrogate}|\p{Noncharacter_Code_Point}/u.exec(text) ?? [];
  if (bad === undefined) return;
  const code = `U+${(bad.codePointAt(0) ?? 0).toString(16).toUpperCase()}`;
  throw new TypeError(
    /\p{Surrogate}/u.test(bad)
      ? 'Text with half a surrogate pair'
      : `Text with ${code}, which is no character`,
  );
}

/** The slow way, for values with big integers in them. */
function print(value: JsonValue): string {
  if (typeof value === 'bigint') return value.toString();
  // A double such as 2^64 would come out rounded (18446744073709552000), or as 1e+21.
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value).toString();
  if (isArray(value)) return `[${value.map(print).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => (member as JsonValue | undefined) !== undefined)
      .map(([key, member]) => `${JSON.stringify(key)}:${print(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}

/** `Array.isArray` that understands readonly arrays. */
export function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Whether `value` is a JSON object: not null, not an array. */
export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
