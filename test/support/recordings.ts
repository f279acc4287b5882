import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isObject, parseJson, type JsonObject, type JsonValue } from '../../src/qmp/json';

/** The QEMUs that were recorded; see test/recordings. `11.1-stock` has no backend transfer. */
export type Build = 'local' | 'backend-transfer' | '11.1-stock';
export const builds: readonly Build[] = ['local', 'backend-transfer', '11.1-stock'];

export type Side = 'source' | 'target';

/** One message as it was seen on a QMP socket; without `msg` it is QEMU's closing of it. */
export interface RecordedMessage {
  readonly direction: 'in' | 'out';
  readonly message: JsonObject | undefined;
}

const root = path.join(import.meta.dirname, '..', 'recordings');
const cache = new Map<string, readonly RecordedMessage[]>();

/** All messages of one side of a recorded case, in order. Read once in a process. */
export function readRecording(
  build: Build,
  caseName: string,
  side: Side,
): readonly RecordedMessage[] {
  const file = path.join(root, build, caseName, `${side}.jsonl`);
  let messages = cache.get(file);
  if (messages === undefined) {
    messages = readFileSync(file, 'utf8').trim().split('\n').map(parseLine);
    cache.set(file, messages);
  }
  return messages;
}

function parseLine(line: string): RecordedMessage {
  const record = parseJson(line);
  if (!isObject(record)) throw new Error(`Not a record: ${line}`);
  const message = record['msg'];
  return {
    direction: record['dir'] === 'out' ? 'out' : 'in',
    message: isObject(message) ? message : undefined,
  };
}

/** A command of a recording with the answer that it got. */
export interface RecordedExchange {
  readonly command: string;
  readonly args: JsonObject | undefined;
  /** The whole reply, with `return` or `error`. */
  readonly reply: JsonObject;
}

const exchangeCache = new WeakMap<readonly RecordedMessage[], readonly RecordedExchange[]>();

/** Commands and replies of a recording, paired by id. */
export function exchangesOf(messages: readonly RecordedMessage[]): readonly RecordedExchange[] {
  const known = exchangeCache.get(messages);
  if (known !== undefined) return known;
  const replies = new Map<JsonValue, JsonObject>();
  for (const { direction, message } of messages) {
    if (direction === 'in' && message?.['id'] !== undefined) replies.set(message['id'], message);
  }
  const exchanges: RecordedExchange[] = [];
  for (const { direction, message } of messages) {
    const reply = direction === 'out' ? replies.get(message?.['id'] ?? null) : undefined;
    const command = message?.['execute'];
    if (reply === undefined || typeof command !== 'string') continue;
    const args = message?.['arguments'];
    exchanges.push({ command, args: isObject(args) ? args : undefined, reply });
  }
  exchangeCache.set(messages, exchanges);
  return exchanges;
}

/** What a build answered to one introspection command: its `return` value. */
export function recordedReturn(build: Build, command: string): JsonValue {
  const exchanges = exchangesOf(readRecording(build, 'introspection', 'source'));
  const found = exchanges.find((exchange) => exchange.command === command)?.reply['return'];
  if (found === undefined) throw new Error(`${build}: ${command} was not recorded`);
  return found;
}
