import type { PlacedDevice } from '../../vm/places';
import { devicesToAdd } from '../methods/targetDevices';
import { comparePlaces, deviceName, type Occupant } from '../run/checks/places';
import { backendTransferOf } from '../settings/backendTransfer';
import type { Finding, PreflightInput } from './types';

/** Differences of devices that QEMU swallows; those that it refuses forbid a run by themselves. */
export function deviceFindings(input: PreflightInput): readonly Finding[] {
  const { source, target } = input;
  const { same, extra } = comparePlaces(source.inventory, target.inventory);
  const here = byPlace(source.inventory.devices);
  const there = byPlace(target.inventory.devices);
  const both = same.flatMap(({ source: { place } }) => {
    const [one, other] = [here.get(place), there.get(place)];
    return one === undefined || other === undefined ? [] : [{ one, other }];
  });
  return [
    ...both.flatMap(({ one, other }) => [
      ...macFinding(one, other),
      ...netdevFinding(input, one, other),
      ...idFinding(one, other),
    ]),
    ...extra.map(extraFinding),
    ...elsewhereFindings(input),
    ...listenerFindings(input),
  ];
}

function byPlace(devices: readonly PlacedDevice[] | undefined): ReadonlyMap<string, PlacedDevice> {
  return new Map(
    devices?.flatMap((device) =>
      device.place === undefined ? [] : [[device.place, device] as const],
    ),
  );
}

function nameOf({ id, named, driver, place }: PlacedDevice): string {
  return named ? `"${id}"` : `${driver} at ${place ?? 'an unknown place'}`;
}

function macFinding(one: PlacedDevice, other: PlacedDevice): readonly Finding[] {
  if (one.mac === undefined || other.mac === undefined) return [];
  if (one.mac.toLowerCase() === other.mac.toLowerCase()) return [];
  return [
    {
      id: 'mac',
      subject: one.id,
      level: 'warns',
      side: 'target',
      what: `${nameOf(one)} has the MAC address ${one.mac} on the source and ${other.mac} on the target.`,
      why: 'QEMU does not compare them: the guest keeps the old one until it resets the device, and then drops off its network.',
      nextStep: `Start the target with "mac=${one.mac}" for that device.`,
    },
  ];
}

function netdevFinding(
  { source, target }: PreflightInput,
  one: PlacedDevice,
  other: PlacedDevice,
): readonly Finding[] {
  if (one.netdev === undefined && other.netdev === undefined) return [];
  const common = { subject: one.id, side: 'target' } as const;
  if (one.netdev === undefined || other.netdev === undefined) {
    return [
      {
        ...common,
        id: 'netdev-missing',
        level: 'warns',
        what: `${nameOf(one)} has a network back end on the ${one.netdev === undefined ? 'target' : 'source'} only.`,
        why: 'The guest loses its network, or the target refuses the state of the device.',
        nextStep:
          one.netdev === undefined
            ? 'Start the target without a netdev for that device.'
            : `Start the target with a netdev "${one.netdev}" for that device.`,
      },
    ];
  }
  if (one.netdev === other.netdev) return [];
  const handedOver = [source, target].some(({ snapshot }) => {
    const offer = backendTransferOf(snapshot);
    return offer?.kind === 'boolean' && offer.enabled;
  });
  return [
    {
      ...common,
      id: 'netdev-id',
      level: handedOver ? 'warns' : 'tells',
      what: `The back end of ${nameOf(one)} is "${one.netdev}" on the source and "${other.netdev}" on the target.`,
      why: handedOver
        ? 'With backend transfer its state goes by that name, and the target fails when it arrives.'
        : 'QEMU takes it; what is unplugged or set by that name later has to be called otherwise.',
      nextStep: `Start the target with "-netdev ...,id=${one.netdev}".`,
    },
  ];
}

function idFinding(one: PlacedDevice, other: PlacedDevice): readonly Finding[] {
  const [here, there] = [one.named ? one.id : '', other.named ? other.id : ''];
  if (here === there) return [];
  const called = (id: string): string => (id === '' ? 'has no id' : `is "${id}"`);
  return [
    {
      id: 'device-id',
      subject: one.id,
      level: 'tells',
      side: 'target',
      what: `The ${one.driver} at ${one.place ?? ''} ${called(here)} on the source and ${called(there)} on the target.`,
      why: 'QEMU takes it; whoever unplugs or watches the device by its id has to know.',
      nextStep:
        here === '' ? 'Leave the id out on the target.' : `Start the target with "id=${here}".`,
    },
  ];
}

function extraFinding(device: Occupant): Finding {
  return {
    id: 'device-extra',
    subject: device.id ?? device.place,
    level: 'warns',
    side: 'target',
    what: `The target alone has ${deviceName(device)}.`,
    why: 'QEMU does not notice: the guest knows nothing of that device until it looks for new ones, or starts again.',
    nextStep: 'Start the target without it, unless it is meant.',
  };
}

/** Devices on other buses (USB, SCSI, ISA), which have no place that could be compared. */
function elsewhereFindings({ source, target }: PreflightInput): readonly Finding[] {
  const [here, there] = [source.inventory.devices, target.inventory.devices];
  if (here === undefined || there === undefined) return [];
  const later = new Set(devicesToAdd(source.snapshot, target.snapshot).map(({ id }) => id));
  const left = there.filter(({ place }) => place === undefined);
  return here
    .filter(({ id, place }) => place === undefined && !later.has(id))
    .flatMap((device): readonly Finding[] => {
      const index = left.findIndex(
        (other) =>
          other.driver === device.driver &&
          (other.id === device.id || !(device.named && other.named)),
      );
      if (index >= 0) {
        left.splice(index, 1);
        return [];
      }
      return [
        {
          id: 'device-not-found',
          subject: device.id,
          level: 'warns',
          side: 'target',
          what: `The target has no "${device.id}" (${device.driver}).`,
          why: 'If the device has a state, the target refuses it when the guest arrives, and the guest goes on at the source.',
          nextStep: 'Start the target with the same devices.',
        },
      ];
    });
}

/** The second one to listen at a path takes it away from the first. */
function listenerFindings({ source, target }: PreflightInput): readonly Finding[] {
  const rootOf = (side: PreflightInput['source']): string => side.snapshot.process?.root ?? '/';
  if (rootOf(source) !== rootOf(target)) return [];
  const there = new Set(target.inventory.listening?.filter((path) => path.startsWith('/')));
  return (source.inventory.listening ?? [])
    .filter((path) => there.has(path))
    .map((path) => ({
      id: 'socket-path',
      subject: path,
      level: 'warns',
      side: 'target',
      what: `Both sides were told to listen at ${path}.`,
      why: 'The one that was started later has the path; the other cannot be reached there any more.',
      nextStep: 'Start the target with paths of its own.',
    }));
}
