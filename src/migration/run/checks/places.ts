import type { Inventory } from '../../../vm/inventory';

/** What sits at one place of the PCI tree, which names its state in the migration stream. */
export interface Occupant {
  readonly place: string;
  /** The id that the user gave; `undefined`: none. */
  readonly id: string | undefined;
  /** QOM type where the user gave the device. */
  readonly driver: string | undefined;
  /** Vendor and device, where QEMU tells. */
  readonly pciId: string | undefined;
}

export interface PlaceComparison {
  /** The source has something, the target nothing there. */
  readonly missing: readonly Occupant[];
  /** Something else is there. */
  readonly different: readonly { readonly source: Occupant; readonly target: Occupant }[];
  /** The target alone has something. */
  readonly extra: readonly Occupant[];
  /** One and the same kind on both sides. */
  readonly same: readonly { readonly source: Occupant; readonly target: Occupant }[];
}

/** Devices without a state of their own: pci-testdev, edu, pvpanic-pci. */
const stateless: ReadonlySet<string> = new Set(['1b36:0005', '1234:11e8', '1b36:0011']);

/** Both sides place by place; empty where a side does not tell. */
export function comparePlaces(source: Inventory, target: Inventory): PlaceComparison {
  const nothing = { missing: [], different: [], extra: [], same: [] };
  const withBus = source.pci !== undefined && target.pci !== undefined;
  if (source.devices === undefined || target.devices === undefined) return nothing;
  const [here, there] = [occupants(source, withBus), occupants(target, withBus)];
  const both = [...here.values()].flatMap((one) => {
    const other = there.get(one.place);
    return other === undefined ? [] : [{ source: one, target: other }];
  });
  return {
    missing: [...here.values()].filter(
      ({ place, pciId }) => !there.has(place) && !stateless.has(pciId ?? ''),
    ),
    different: both.filter((pair) => !sameKind(pair)),
    extra: [...there.values()].filter(({ place }) => !here.has(place)),
    same: both.filter(sameKind),
  };
}

function occupants({ pci, devices }: Inventory, withBus: boolean): ReadonlyMap<string, Occupant> {
  const found = new Map<string, Occupant>();
  if (withBus) {
    for (const { address, pciId, deviceId } of pci ?? []) {
      found.set(address, { place: address, id: deviceId, driver: undefined, pciId });
    }
  }
  for (const { place, id, named, driver } of devices ?? []) {
    if (place === undefined) continue;
    const pciId = found.get(place)?.pciId;
    found.set(place, { place, id: named ? id : undefined, driver, pciId });
  }
  return found;
}

function sameKind({
  source,
  target,
}: {
  readonly source: Occupant;
  readonly target: Occupant;
}): boolean {
  if (source.driver !== undefined && target.driver !== undefined) {
    return source.driver === target.driver;
  }
  return source.pciId === undefined || target.pciId === undefined || source.pciId === target.pciId;
}

/** A device as it is called in a sentence. */
export function deviceName({ place, id, driver, pciId }: Occupant): string {
  const kind = driver ?? (pciId === undefined ? 'a device' : `a PCI device ${pciId}`);
  return id === undefined ? `${kind} at ${place}` : `"${id}" (${kind} at ${place})`;
}
