import * as z from 'zod/mini';
import type { QmpConnection } from '../qmp/connection';
import { QmpCommandError, QmpError } from '../qmp/errors';
import { isArray, isObject, type JsonObject, type JsonValue } from '../qmp/json';
import type { Capability, NetdevFacts, RunState } from './types';

const runStateShape = z.looseObject({ status: z.string(), running: z.boolean() });
const nameShape = z.looseObject({ name: z.optional(z.string()) });
const uuidShape = z.looseObject({ UUID: z.string() });
const memoryShape = z.looseObject({
  'base-memory': z.number(),
  'plugged-memory': z.optional(z.number()),
});
const capabilitiesShape = z.array(z.looseObject({ capability: z.string(), state: z.boolean() }));
const propertyListShape = z.array(z.looseObject({ name: z.string() }));
const qomListShape = z.array(z.looseObject({ name: z.string(), type: z.string() }));

/** QEMU answered, but not in the shape that the command is documented to have. */
export class UnexpectedReplyError extends QmpError {
  override readonly name = 'UnexpectedReplyError';
  readonly command: string;

  constructor(command: string, cause: unknown) {
    super(`${command}: the reply has an unexpected shape`, { cause });
    this.command = command;
  }
}

/** @throws {UnexpectedReplyError} */
function parseReply<T>(command: string, shape: z.ZodMiniType<T>, reply: JsonValue): T {
  const result = z.safeParse(shape, reply);
  if (!result.success) throw new UnexpectedReplyError(command, result.error);
  return result.data;
}

async function query<T>(
  connection: QmpConnection,
  command: string,
  shape: z.ZodMiniType<T>,
): Promise<T> {
  return parseReply(command, shape, await connection.execute(command));
}

function asObject(command: string, reply: JsonValue): JsonObject {
  if (isObject(reply)) return reply;
  throw new UnexpectedReplyError(command, undefined);
}

/** QAPI `query-status`. */
export function queryStatus(connection: QmpConnection): Promise<RunState> {
  return query(connection, 'query-status', runStateShape);
}

/** QAPI `query-name`; `undefined` without `-name`. */
export async function queryName(connection: QmpConnection): Promise<string | undefined> {
  return (await query(connection, 'query-name', nameShape)).name;
}

/** QAPI `query-uuid`; `undefined` when QEMU was started without `-uuid` (all zero). */
export async function queryUuid(connection: QmpConnection): Promise<string | undefined> {
  const { UUID } = await query(connection, 'query-uuid', uuidShape);
  return /^[0-]*$/.test(UUID) ? undefined : UUID;
}

/** Guest memory in bytes, base and plugged (QAPI `query-memory-size-summary`). */
export async function queryMemoryBytes(connection: QmpConnection): Promise<number> {
  const memory = await query(connection, 'query-memory-size-summary', memoryShape);
  return memory['base-memory'] + (memory['plugged-memory'] ?? 0);
}

/** QAPI `query-migrate`, as it came: `{}` before any migration. */
export async function queryMigrate(connection: QmpConnection): Promise<JsonObject> {
  return asObject('query-migrate', await connection.execute('query-migrate'));
}

/** QAPI `query-migrate-parameters`, as it came. */
export async function queryParameters(connection: QmpConnection): Promise<JsonObject> {
  const command = 'query-migrate-parameters';
  return asObject(command, await connection.execute(command));
}

/** QAPI `query-migrate-capabilities`. */
export async function queryCapabilities(connection: QmpConnection): Promise<Capability[]> {
  const list = await query(connection, 'query-migrate-capabilities', capabilitiesShape);
  return list.map(({ capability, state }) => ({ name: capability, enabled: state }));
}

/** QAPI `qom-get`; `undefined` when the path or the property does not exist. */
export async function qomGet(
  connection: QmpConnection,
  path: string,
  property: string,
): Promise<JsonValue | undefined> {
  try {
    return await connection.execute('qom-get', { path, property });
  } catch (error) {
    if (error instanceof QmpCommandError) return undefined;
    throw error;
  }
}

/** QAPI `qom-list`; empty when the path does not exist. */
export async function qomList(
  connection: QmpConnection,
  path: string,
): Promise<readonly { name: string; type: string }[]> {
  try {
    const reply = await connection.execute('qom-list', { path });
    return parseReply('qom-list', qomListShape, reply);
  } catch (error) {
    if (error instanceof QmpCommandError) return [];
    throw error;
  }
}

/** The versioned machine type, such as `pc-q35-10.0`; `undefined` for machines without one. */
export async function queryMachineType(connection: QmpConnection): Promise<string | undefined> {
  const type = await qomGet(connection, '/machine', 'type');
  return typeof type === 'string' ? type.replace(/-machine$/, '') : undefined;
}

/**
 * The host network back ends by id, read from HMP `info network`, since QMP has no query for them.
 * Empty when this QEMU has no HMP.
 */
export async function queryNetdevs(
  connection: QmpConnection,
): Promise<ReadonlyMap<string, NetdevFacts>> {
  const found = new Map<string, NetdevFacts>();
  for (const { id, options } of await queryNetworkLines(connection)) {
    const type = options.get('type');
    // Of a multi-queue back end each queue has a line; the first tells all that we show.
    if (type === 'nic' || found.has(id)) continue;
    found.set(id, { id, type, ifname: options.get('ifname'), incoming: options.has('incoming') });
  }
  return found;
}

/** The lines of HMP `info network`, one for each queue; none when this QEMU has no HMP. */
export async function queryNetworkLines(
  connection: QmpConnection,
): Promise<readonly { readonly id: string; readonly options: ReadonlyMap<string, string> }[]> {
  let text: JsonValue;
  try {
    text = await connection.execute('human-monitor-command', { 'command-line': 'info network' });
  } catch (error) {
    if (error instanceof QmpCommandError) return [];
    throw error;
  }
  return typeof text === 'string' ? text.split(/\r?\n/).flatMap(networkLine) : [];
}

/** Such as ` \ net0: index=0,type=tap,ifname=tap0,script=no`. */
function networkLine(
  line: string,
): readonly { readonly id: string; readonly options: ReadonlyMap<string, string> }[] {
  const match = /^\s*\\?\s*([^:\s]+):\s*(index=.*)$/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return [];
  const options = match[2].split(',').map((option): [string, string] => {
    const [name = '', ...value] = option.split('=');
    return [name, value.join('=')];
  });
  return [{ id: match[1], options: new Map(options) }];
}

/**
 * The options of `-global TYPE.NAME=` with the value each has in a fresh QEMU, `undefined` where
 * QEMU does not tell (QAPI `device-list-properties`).
 */
export async function queryProperties(
  connection: QmpConnection,
  typename: string,
): Promise<ReadonlyMap<string, JsonValue | undefined>> {
  const command = 'device-list-properties';
  const reply = await connection.execute(command, { typename });
  parseReply(command, propertyListShape, reply);
  // Taken from the reply itself, where integers of any size are exact.
  return new Map(
    (isArray(reply) ? reply : []).flatMap((entry) =>
      isObject(entry) && typeof entry['name'] === 'string'
        ? [[entry['name'], entry['default-value']] as const]
        : [],
    ),
  );
}
