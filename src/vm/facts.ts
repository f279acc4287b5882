import type { QmpConnection } from '../qmp/connection';
import { QmpError } from '../qmp/errors';
import type { JsonValue } from '../qmp/json';
import { readDevices } from './devices';
import {
  queryCapabilities,
  queryMachineType,
  queryMemoryBytes,
  queryMigrate,
  queryName,
  queryParameters,
  queryProperties,
  queryStatus,
  queryUuid,
} from './queries';
import type { FactPart, VmFacts } from './types';

const nothingYet = {
  runState: { status: 'unknown', running: false },
  parameters: {},
  capabilities: [],
  migration: {},
  devices: [],
} as const;

/** Asks QEMU for one part of the facts. */
export async function readPart(
  connection: QmpConnection,
  part: FactPart,
  devicePermissions: readonly string[],
): Promise<Partial<VmFacts>> {
  switch (part) {
    case 'status':
      return { runState: await queryStatus(connection) };
    case 'parameters':
      return { parameters: await queryParameters(connection) };
    case 'capabilities':
      return { capabilities: await queryCapabilities(connection) };
    case 'migration':
      return { migration: await queryMigrate(connection) };
    case 'devices':
      return { devices: await readDevices(connection, devicePermissions) };
  }
}

/**
 * Everything, in one burst of commands. A part that QEMU refuses is listed in `failures`, so that
 * one odd answer does not hide the rest.
 *
 * @throws {QmpError} when the connection ends meanwhile, or the schema cannot be had
 */
export async function loadFacts(
  connection: QmpConnection,
  devicePermissions: readonly string[],
): Promise<VmFacts> {
  const failures: Partial<Record<FactPart, QmpError>> = {};
  const part = async (name: FactPart): Promise<Partial<VmFacts>> => {
    try {
      return await readPart(connection, name, devicePermissions);
    } catch (error) {
      if (!(error instanceof QmpError) || connection.closeReason !== undefined) throw error;
      failures[name] = error;
      return {};
    }
  };
  const optional = async <T>(answer: Promise<T>): Promise<T | undefined> => {
    try {
      return await answer;
    } catch (error) {
      if (!(error instanceof QmpError) || connection.closeReason !== undefined) throw error;
      return undefined;
    }
  };
  const [schema, name, uuid, machineType, memoryBytes, migrationProperties, ...parts] =
    await Promise.all([
      connection.schema(),
      optional(queryName(connection)),
      optional(queryUuid(connection)),
      optional(queryMachineType(connection)),
      optional(queryMemoryBytes(connection)),
      optional(queryProperties(connection, 'migration')),
      part('status'),
      part('parameters'),
      part('capabilities'),
      part('migration'),
      part('devices'),
    ]);
  const known = parts.reduce((sum, next) => ({ ...sum, ...next }), {});
  return {
    ...nothingYet,
    ...known,
    version: connection.version,
    name,
    uuid,
    machineType,
    memoryBytes,
    schema,
    migrationProperties: migrationProperties ?? new Map<string, JsonValue | undefined>(),
    failures,
  };
}
