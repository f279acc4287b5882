import { stringifyJson, type JsonValue } from '../../../qmp/json';

/** Plain data of ours as JSON on one line; members that are undefined are left out. */
export function printJson(value: object): string {
  return stringifyJson(value as JsonValue);
}
