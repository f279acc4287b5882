import type { QmpConnection } from '../qmp/connection';
import type { JsonValue } from '../qmp/json';
import { isBridge } from './devices';
import { qomGet, qomList } from './queries';

/** A device that the user gave (`-device`, `device_add`), bridges included, and where it sits. */
export interface PlacedDevice {
  /** As given; those without one have `device[N]`. */
  readonly id: string;
  readonly named: boolean;
  /** QOM path. */
  readonly path: string;
  /** QOM type, such as `virtio-net-pci`. */
  readonly driver: string;
  /**
   * Where in the tree of PCI buses, such as `02.0`, or `01.0/00.0` behind a bridge: this names its
   * state in the migration stream. `undefined` for what is on another bus.
   */
  readonly place: string | undefined;
  readonly mac: string | undefined;
  readonly netdev: string | undefined;
  /** `share-rw` of a disk: others may write to its image too. */
  readonly sharesWriting: boolean;
}

const peripherals = ['/machine/peripheral', '/machine/peripheral-anon'] as const;

interface Found extends Omit<PlacedDevice, 'place'> {
  readonly address: string | undefined;
  readonly bus: string;
}

/** QMP `qom-list` and `qom-get`: numbers of PCI buses are the firmware's, and a target has run none. */
export async function readPlaces(connection: QmpConnection): Promise<readonly PlacedDevice[]> {
  const lists = await Promise.all(peripherals.map((path) => qomList(connection, path)));
  const found = await Promise.all(
    lists.flatMap((list, index) =>
      list.flatMap(({ name, type }) => {
        const driver = /^child<(.+)>$/.exec(type)?.[1];
        const parent = peripherals[index];
        return driver === undefined || parent === undefined
          ? []
          : [readDevice(connection, { id: name, named: index === 0, driver, parent })];
      }),
    ),
  );
  return found.map(({ address, bus, ...device }) => ({ ...device, place: placeOf(address, bus) }));

  function placeOf(address: string | undefined, bus: string, depth = 0): string | undefined {
    if (address === undefined || depth > found.length) return undefined;
    const bridge = found.find(({ path }) => bus.startsWith(`${path}/`));
    if (bridge === undefined) return address;
    const before = placeOf(bridge.address, bridge.bus, depth + 1);
    return before === undefined ? undefined : `${before}/${address}`;
  }
}

async function readDevice(
  connection: QmpConnection,
  {
    id,
    named,
    driver,
    parent,
  }: {
    readonly id: string;
    readonly named: boolean;
    readonly driver: string;
    readonly parent: string;
  },
): Promise<Found> {
  const path = `${parent}/${id}`;
  const read = (property: string): Promise<JsonValue | undefined> =>
    qomGet(connection, path, property);
  // There may be dozens of ports, and each question costs.
  const own = isBridge(driver) ? [] : ['mac', 'netdev', 'share-rw'];
  const [bus, addr, mac, netdev, shareRw] = await Promise.all(
    ['parent_bus', 'addr', ...own].map(read),
  );
  return {
    id,
    named,
    driver,
    path,
    address: pciAddress(addr),
    bus: textOf(bus) ?? '',
    mac: textOf(mac),
    netdev: textOf(netdev),
    sharesWriting: shareRw === true,
  };
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** QEMUs tell slot and function as one number, or as text. */
function pciAddress(value: JsonValue | undefined): string | undefined {
  if (typeof value === 'number') {
    return value < 0 ? undefined : `${(value >> 3).toString(16).padStart(2, '0')}.${value & 7}`;
  }
  if (typeof value !== 'string') return undefined;
  const match = /^([\da-f]{1,2})(?:\.([0-7]))?$/i.exec(value);
  return match?.[1] && `${match[1].toLowerCase().padStart(2, '0')}.${match[2] ?? '0'}`;
}
