import { isArray, isObject, type JsonValue } from '../../qmp/json';

/** Whether two QMP values are one; `1` and `1n` are. `undefined`: not set. */
export function sameValue(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === undefined || b === undefined || a === null || b === null) return a === b;
  // Compared so, a number and a bigint are one exactly when they are equal; === tells them apart.
  if (isNumber(a) && isNumber(b)) return a >= b && a <= b;
  if (isArray(a)) {
    return (
      isArray(b) && a.length === b.length && a.every((entry, index) => sameValue(entry, b[index]))
    );
  }
  if (isObject(a)) {
    if (!isObject(b)) return false;
    const names = Object.keys(a);
    return (
      names.length === Object.keys(b).length &&
      names.every((name) => Object.hasOwn(b, name) && sameValue(a[name], b[name]))
    );
  }
  return a === b;
}

export function isNumber(value: JsonValue | undefined): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** A number without a fraction, of any size. */
export function isInteger(value: JsonValue | undefined): value is number | bigint {
  return typeof value === 'bigint' || Number.isInteger(value);
}
