import { QmpCommandError } from '../../qmp/errors';
import type { JsonObject, JsonValue } from '../../qmp/json';
import type { QmpConnection } from '../../qmp/connection';
import { qomGet } from '../../vm/queries';
import type { DeviceFacts, MachineHandle, MachineSnapshot } from '../../vm/types';
import { backendTransferOf } from '../settings/backendTransfer';

/** A NIC of the source could not be added to the target. */
export class TargetDeviceError extends Error {
  override readonly name = 'TargetDeviceError';
  readonly device: string;

  constructor(device: string, reason: string, cause?: unknown) {
    super(reason, { cause });
    this.device = device;
  }
}

/**
 * For the spelling whose permission is an option of the netdev: the TAP's netdev and its NIC have
 * to be created on the target after the parameter was set there. Adds those of the source that the
 * target lacks, with the same ids, MAC and slot. Does nothing for other spellings.
 *
 * @returns ids of the devices that were added
 * @throws {TargetDeviceError} then what was added for that device is removed again
 */
export async function addTransferredDevices(
  source: MachineHandle,
  target: MachineHandle,
): Promise<readonly string[]> {
  const offer = backendTransferOf(source.snapshot);
  if (offer?.kind !== 'boolean' || offer.permission?.on !== 'netdev') return [];
  const missing = devicesToAdd(source.snapshot, target.snapshot);
  const added: string[] = [];
  for (const device of missing) {
    const netdev = {
      type: 'tap',
      id: device.netdev?.id ?? '',
      ...{ script: '', downscript: '' },
      [offer.permission.name]: true,
    };
    const args = await readDeviceArguments(source.connection(), device);
    await addNic(target.connection(), device.id, { netdev, device: args });
    added.push(device.id);
  }
  if (added.length > 0) await target.refresh(['devices']);
  return added;
}

/** The devices of the source that `addTransferredDevices` is going to add to the target. */
export function devicesToAdd(
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly DeviceFacts[] {
  const offer = backendTransferOf(source);
  if (offer?.kind !== 'boolean' || offer.permission?.on !== 'netdev') return [];
  const there = new Set(target.facts?.devices.map(({ id }) => id));
  return offer.devices
    .filter(
      ({ device, permission }) =>
        device.netdev?.type === 'tap' && permission !== 'unsupported' && !there.has(device.id),
    )
    .map(({ device }) => device);
}

/** The `device_add` arguments that make the same NIC in the same place. */
async function readDeviceArguments(
  connection: QmpConnection,
  device: DeviceFacts,
): Promise<JsonObject> {
  const read = (property: string): Promise<JsonValue | undefined> =>
    qomGet(connection, device.path, property);
  const [mac, bus, addr, multiQueue] = await Promise.all([
    read('mac'),
    read('parent_bus'),
    read('addr'),
    read('mq'),
  ]);
  if (typeof mac !== 'string' || typeof bus !== 'string') {
    throw new TargetDeviceError(device.id, `The source does not tell the place of "${device.id}".`);
  }
  if (multiQueue === true) {
    throw new TargetDeviceError(
      device.id,
      `"${device.id}" has several queues; add it to the target by hand, after backend transfer is on there.`,
    );
  }
  return {
    driver: device.driver,
    netdev: device.netdev?.id ?? '',
    id: device.id,
    bus: bus.split('/').at(-1) ?? bus,
    mac,
    // Behind a root port there is slot 0 only, and QEMU takes it by itself.
    ...(typeof addr === 'string' && !/^0?0\.0$/.test(addr) && { addr }),
  };
}

async function addNic(
  connection: QmpConnection,
  name: string,
  { netdev, device }: PlannedNic,
): Promise<void> {
  const { id = null } = netdev;
  try {
    await connection.execute('netdev_add', netdev);
  } catch (error) {
    throw asDeviceError(name, error);
  }
  try {
    await connection.execute('device_add', device);
  } catch (error) {
    await connection.execute('netdev_del', { id }).catch(() => undefined);
    throw asDeviceError(name, error);
  }
}

function asDeviceError(device: string, error: unknown): unknown {
  return error instanceof QmpCommandError
    ? new TargetDeviceError(device, `The target refused "${device}": ${error.desc}`, error)
    : error;
}

/** A NIC with its netdev, as QMP makes them. */
export interface PlannedNic {
  /** Arguments of `netdev_add`. */
  readonly netdev: JsonObject;
  /** Arguments of `device_add`. */
  readonly device: JsonObject;
}

/**
 * Adds NICs with their netdevs to a target, back to back: a netdev without its NIC drops what it reads.
 *
 * @param announce told of each before it is added
 * @returns ids of the NICs
 * @throws {TargetDeviceError} then the netdev that was to serve it is removed again
 */
export async function addPlannedNics(
  target: MachineHandle,
  nics: readonly PlannedNic[],
  announce: (id: string) => Promise<void>,
): Promise<readonly string[]> {
  for (const nic of nics) await announce(nicId(nic));
  const connection = target.connection();
  for (const nic of nics) await addNic(connection, nicId(nic), nic);
  if (nics.length > 0) await target.refresh(['devices']);
  return nics.map(nicId);
}

/** A device without an id is called by its netdev's. */
export function nicId({ netdev, device }: PlannedNic): string {
  const id = device['id'] ?? netdev['id'];
  return typeof id === 'string' ? id : 'a NIC without id';
}
