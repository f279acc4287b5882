import { nothingKnown, readInventory, type Inventory } from '../../../vm/inventory';
import type { MachineHandle, MachineSnapshot } from '../../../vm/types';
import { isOneSided, methodOf } from '../../methods/names';
import { devicesToAdd } from '../../methods/targetDevices';
import { comparePlaces, deviceName } from './places';
import type { Obstacle } from './obstacle';
import type { MigrationRequest } from '../types';

export interface Inventories {
  readonly source: Inventory;
  readonly target: Inventory;
  /** Ids of devices that the target is going to be given. */
  readonly later?: ReadonlySet<string>;
}

/**
 * What each side is made of, for the checks alone; nothing is known of the target of a cpr-transfer,
 * which has no monitor yet, and one machine is asked once.
 *
 * @throws {QmpError} when a connection ends meanwhile
 */
export async function readInventories(
  request: MigrationRequest,
  source: MachineHandle,
  target: MachineHandle,
): Promise<Inventories> {
  const method = methodOf(request);
  const here = readInventory(source.connection());
  const there = isOneSided(method)
    ? here
    : method === 'cpr-transfer'
      ? Promise.resolve(nothingKnown)
      : readInventory(target.connection());
  const [from, to] = await Promise.all([here, there]);
  return { source: from, target: to };
}

/**
 * What the target would refuse when the guest arrives, most of it late, with the guest paused
 * already. What is not known is not held against anybody.
 */
export function inventoryObstacles(
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories: Inventories,
): readonly Obstacle[] {
  return [
    ...vcpuObstacle(inventories),
    ...ramBlockObstacle(inventories),
    ...deviceObstacles(source, target, inventories),
    ...jobObstacles('source', source.label, inventories.source),
    ...jobObstacles('target', target.label, inventories.target),
    ...credentialsObstacle('source', source, inventories.source),
    ...credentialsObstacle('target', target, inventories.target),
  ];
}

/** What of it matters to a machine that is not compared with another one. */
export function oneInventoryObstacles(
  side: 'source' | 'target',
  machine: MachineSnapshot,
  inventory: Inventory,
): readonly Obstacle[] {
  return [
    ...jobObstacles(side, machine.label, inventory),
    ...credentialsObstacle(side, machine, inventory),
  ];
}

function vcpuObstacle({ source, target }: Inventories): readonly Obstacle[] {
  const [here, there] = [source.cpus?.count, target.cpus?.count];
  if (here === undefined || there === undefined || here === there) return [];
  return [
    {
      id: 'vcpu-count',
      side: 'target',
      reason: `The numbers of virtual CPUs differ: ${here} and ${there}.`,
      nextStep: `Start the target with "-smp ${here}".`,
    },
  ];
}

function ramBlockObstacle({ source, target }: Inventories): readonly Obstacle[] {
  const [here, there] = [source.mainMemory, target.mainMemory];
  if (here === undefined || there === undefined || here === there) return [];
  return [
    {
      id: 'ram-block',
      side: 'target',
      reason: `The guest's memory has the id "${here}" on the source and "${there}" on the target.`,
      nextStep: `Start the target with a memory backend of the id "${here}", as the source.`,
    },
  ];
}

function deviceObstacles(
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories: Inventories,
): readonly Obstacle[] {
  const added = devicesToAdd(source, target).map(({ id }) => id);
  const later = new Set([...added, ...(inventories.later ?? [])]);
  const { missing, different } = comparePlaces(inventories.source, inventories.target);
  return [
    ...missing
      .filter(({ id }) => id === undefined || !later.has(id))
      .map((device): Obstacle => ({
        id: 'device-missing',
        side: 'target',
        subject: device.id ?? device.place,
        reason: `The target has nothing where the source has ${deviceName(device)}.`,
        nextStep: `Start the target with it, at the same place (addr=${device.place.split('/').at(-1) ?? ''}).`,
      })),
    ...different.map(({ source: here, target: there }): Obstacle => ({
      id: 'device-differs',
      side: 'target',
      subject: here.id ?? here.place,
      reason: `Where the source has ${deviceName(here)}, the target has ${deviceName(there)}.`,
      nextStep:
        'Start the target with the same devices in the same order, or give each its "addr".',
    })),
  ];
}

function jobObstacles(
  side: 'source' | 'target',
  label: string,
  { blockJobs }: Inventory,
): readonly Obstacle[] {
  return (blockJobs ?? []).map((job) => ({
    id: 'block-job',
    side,
    subject: job,
    reason: `${label} has a block job that has not ended: ${job}.`,
    nextStep: 'Wait for it, or cancel it.',
  }));
}

function credentialsObstacle(
  side: 'source' | 'target',
  { label, facts }: MachineSnapshot,
  { objects }: Inventory,
): readonly Obstacle[] {
  const id = facts?.parameters['tls-creds'];
  if (typeof id !== 'string' || id === '' || objects === undefined || objects.includes(id)) {
    return [];
  }
  return [
    {
      id: 'tls-creds',
      side,
      subject: id,
      reason: `tls-creds of ${label} names "${id}", and there is no such object.`,
      nextStep: `Add the object "${id}" (tls-creds-x509 or tls-creds-psk), or clear tls-creds.`,
    },
  ];
}
