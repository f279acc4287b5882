import type { QmpConnection } from '../qmp/connection';
import type { JsonValue } from '../qmp/json';
import { qomGet, qomList, queryNetdevs } from './queries';
import type { DeviceFacts } from './types';

const peripherals = ['/machine/peripheral', '/machine/peripheral-anon'] as const;

/**
 * The devices that the user gave (`-device`, `device_add`), with their network back end.
 * Bridges and root ports are left out: they have nothing to hand over.
 *
 * @param permissionProperties names of boolean device properties to read where a device has them
 */
export async function readDevices(
  connection: QmpConnection,
  permissionProperties: readonly string[],
): Promise<readonly DeviceFacts[]> {
  const [netdevs, ...lists] = await Promise.all([
    queryNetdevs(connection),
    ...peripherals.map((path) => qomList(connection, path)),
  ]);
  const children = lists.flatMap((list, index) =>
    list.flatMap(({ name, type }) => {
      const driver = /^child<(.+)>$/.exec(type)?.[1];
      const parent = peripherals[index];
      if (driver === undefined || parent === undefined) return [];
      return isBridge(driver) ? [] : [{ id: name, driver, path: `${parent}/${name}` }];
    }),
  );
  return Promise.all(
    children.map(async ({ id, driver, path }) => {
      const [netdev, ...values] = await Promise.all([
        qomGet(connection, path, 'netdev'),
        ...permissionProperties.map((property) => qomGet(connection, path, property)),
      ]);
      const permissions: Record<string, JsonValue> = {};
      permissionProperties.forEach((property, index) => {
        const value = values[index];
        if (value !== undefined) permissions[property] = value;
      });
      const netdevId = typeof netdev === 'string' && netdev !== '' ? netdev : undefined;
      return {
        id,
        driver,
        path,
        permissions,
        netdev:
          netdevId === undefined
            ? undefined
            : (netdevs.get(netdevId) ?? {
                id: netdevId,
                type: undefined,
                ifname: undefined,
                incoming: false,
              }),
      };
    }),
  );
}

/** Whether a driver only makes room for other devices. */
export function isBridge(driver: string): boolean {
  return /root-port|bridge|switch/.test(driver);
}
