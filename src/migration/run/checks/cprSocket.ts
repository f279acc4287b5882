import path from 'node:path';
import { isArray, isObject, parseJson, type JsonValue } from '../../../qmp/json';
import { givenOptions, readOptions } from '../../../vm/qemuOptions';

/**
 * The socket at which a QEMU with this command line waits for the CPR channel (`-incoming` with
 * `channel-type` `cpr`); `undefined`: it waits for none. The path is as that QEMU sees it.
 */
export function cprSocketOf(args: readonly string[]): string | undefined {
  for (const value of givenOptions(args, 'incoming')) {
    const found = value.startsWith('{') ? ofJson(value) : ofPairs(value);
    if (found !== undefined && path.isAbsolute(found)) return found;
  }
  return undefined;
}

function ofPairs(value: string): string | undefined {
  const { options } = readOptions(value);
  return options.get('channel-type') === 'cpr' ? options.get('addr.path') : undefined;
}

function ofJson(value: string): string | undefined {
  let parsed: JsonValue;
  try {
    parsed = parseJson(value);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  for (const channel of isArray(parsed) ? parsed : [parsed]) {
    if (!isObject(channel) || channel['channel-type'] !== 'cpr') continue;
    const address = channel['addr'];
    const file = isObject(address) ? address['path'] : undefined;
    if (typeof file === 'string') return file;
  }
  return undefined;
}
