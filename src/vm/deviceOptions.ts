import type { QmpConnection } from '../qmp/connection';
import type { JsonObject, JsonValue } from '../qmp/json';
import { queryProperties, qomGet } from './queries';

/** A device as it can be made again. */
export interface DeviceOptions {
  readonly id: string;
  readonly driver: string;
  /** Arguments of `device_add`, with QEMU's own types; `driver` and `id` first. */
  readonly args: JsonObject;
}

/** They are not for a person to give, or say nothing that the others do not. */
const notGiven =
  /^(type|realized|hotplugged|hotpluggable|parent_bus|legacy-.*|x-.*|acpi-index|drive-.*|len-.*|virtio-backend|busnr|.*\[.*)$/;

/** QEMU's way of saying that a property was not given. */
function isNothing(value: JsonValue | undefined): boolean {
  return value === undefined || value === null || value === '' || typeof value === 'object';
}

/**
 * What it takes to make a device of a running machine again in the same place: bus, address, and all
 * properties whose value is not the driver's default. Read from QOM, which knows nothing of how the
 * device came to be.
 *
 * @returns `undefined` where QEMU does not tell where it sits
 * @throws {QmpError} when the connection ends meanwhile, or the driver is not known
 */
export async function readDeviceOptions(
  connection: QmpConnection,
  { id, driver, path }: { readonly id: string; readonly driver: string; readonly path: string },
): Promise<DeviceOptions | undefined> {
  const properties = await queryProperties(connection, driver);
  const read = (name: string): Promise<JsonValue | undefined> => qomGet(connection, path, name);
  const names = [...properties.keys()].filter(
    (name) => !notGiven.test(name) && name !== 'addr' && name !== 'multifunction',
  );
  const [bus, addr, multifunction, ...values] = await Promise.all(
    ['parent_bus', 'addr', 'multifunction', ...names].map(read),
  );
  if (typeof bus !== 'string' || bus === '') return undefined;
  const given: Record<string, JsonValue> = {};
  names.forEach((name, at) => {
    const value = values[at];
    if (value === undefined || isNothing(value) || isUnset(name, value)) return;
    if (properties.get(name) === value) return;
    given[name] = asId(value);
  });
  const place = placeOf(addr);
  return {
    id,
    driver,
    args: {
      driver,
      id,
      bus: bus.split('/').at(-1) ?? bus,
      // Behind a root port there is slot 0 only, and QEMU takes it by itself.
      ...(place !== undefined && place !== '00.0' && { addr: place }),
      ...(multifunction === true && { multifunction }),
      ...given,
    },
  };
}

/** QEMU lists some properties without a default, and these values mean that nothing was given. */
function isUnset(name: string, value: JsonValue): boolean {
  return (
    (name === 'bootindex' && value === -1) ||
    (name === 'failover_pair_id' && value === '') ||
    value === 'auto'
  );
}

/** A link is told as a path, and given as an id. */
function asId(value: JsonValue): JsonValue {
  const found =
    typeof value === 'string' ? /^\/(?:objects|machine\/peripheral)\/([^/]+)$/.exec(value) : null;
  return found?.[1] ?? value;
}

/** QEMUs tell slot and function as one number, or as text. */
function placeOf(addr: JsonValue | undefined): string | undefined {
  if (typeof addr === 'number' && addr >= 0) {
    return `${(addr >> 3).toString(16).padStart(2, '0')}.${addr & 7}`;
  }
  const text = typeof addr === 'string' ? /^([\da-f]{1,2})(?:\.([0-7]))?$/i.exec(addr) : null;
  return text?.[1] && `${text[1].toLowerCase().padStart(2, '0')}.${text[2] ?? '0'}`;
}

/** The same as words of the command line. */
export function asOptions({ args }: DeviceOptions): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(args).flatMap(([name, value]): [string, string][] => {
      if (name === 'driver' || name === 'id') return [];
      return [[name, value === true ? 'on' : value === false ? 'off' : textOf(value)]];
    }),
  );
}

/** Lists and objects are left out before. */
function textOf(value: JsonValue): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
    ? String(value)
    : '';
}
