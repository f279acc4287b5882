import { isObject, parseJson, stringifyJson, type JsonValue } from '../../qmp/json';
import {
  givenOption,
  type DevicePermission,
  type PermissionOption,
} from '../settings/backendTransfer';
import type { PairDevice } from './backendTransferPair';
import { devicesOf, permissionOf, transferable, type End, type Ends } from './transferEnds';

/** The devices of both sides, the source's first. */
export function pairDevices(ends: Ends): readonly PairDevice[] {
  const { source, target } = ends;
  return [
    ...devicesOf(source).map((entry) => pairDevice('source', entry, sourceAdvice(source, entry))),
    ...devicesOf(target).map((entry) => pairDevice('target', entry, targetAdvice(ends, entry))),
  ];
}

function pairDevice(
  side: PairDevice['side'],
  { device, permission }: DevicePermission,
  advice: string | undefined,
): PairDevice {
  return { side, device: device.id, netdev: device.netdev?.id, permission, advice };
}

function sourceAdvice(end: End, entry: DevicePermission): string | undefined {
  const option = permissionOf(end);
  switch (entry.permission) {
    case 'permitted':
      return undefined;
    case 'not-permitted':
      return option && howToPermit(end, entry, option);
    case 'unknown':
      return option === undefined
        ? 'This QEMU decides by its list alone what is handed over.'
        : `Neither QEMU nor its command line tells whether ${subjectOf(entry, option)} was created with \`${option.name}=on\`. Without it the target fails when the guest arrives.`;
    case 'unsupported':
      return whyUnsupported(entry);
  }
}

function targetAdvice(ends: Ends, entry: DevicePermission): string | undefined {
  const option = permissionOf(ends.target);
  const wanted = transferable(ends).some(({ device }) => device.id === entry.device.id);
  if (option === undefined || !wanted) return undefined;
  if (option.on === 'netdev') {
    return isTooEarly(entry) ? howToLeaveOut(ends.target, entry) : undefined;
  }
  return entry.permission === 'not-permitted' ? howToPermit(ends.target, entry, option) : undefined;
}

/**
 * With a permission on the netdev, the TAP on the target is created after the parameter was set, and
 * then waits for its descriptors: one that does not wait has opened a TAP of its own.
 */
export function isTooEarly({ device }: DevicePermission): boolean {
  return device.netdev !== undefined && !device.netdev.incoming;
}

/** How the target is to be started instead. */
export function howToLeaveOut({ snapshot }: End, { device }: DevicePermission): string {
  const netdev = device.netdev?.id ?? '';
  return `Start ${snapshot.label} without the netdev "${netdev}" and without its device "${device.id}"; with this QEMU they are added after backend transfer was switched on, which "Migrate to..." does.`;
}

/** The exact option with which the machine is to be started. */
export function howToPermit(
  { snapshot }: End,
  { device }: DevicePermission,
  option: PermissionOption,
): string {
  const args = snapshot.process?.args ?? [];
  const start = (text: string): string =>
    `Start ${snapshot.label} with \`-${option.on} ${text}\`: it cannot be changed later.`;
  if (option.on === 'netdev') {
    const id = device.netdev?.id ?? '';
    return start(permitted(givenOption(args, 'netdev', id) ?? `tap,id=${id},...`, option.name));
  }
  const given = givenOption(args, 'device', device.id);
  const text = permitted(given ?? `${device.driver},id=${device.id},...`, option.name);
  return `${start(text)} Machine types of older versions have it off unless told.`;
}

/** The text of an option with the permission added. */
function permitted(option: string, name: string): string {
  if (option.startsWith('{')) {
    const value = read(option);
    return isObject(value) ? stringifyJson({ ...value, [name]: true }) : option;
  }
  const others = option.replace(new RegExp(`,${name}(?:=[^,]*)?(?=,|$)`, 'g'), '');
  return `${others},${name}=on`;
}

function read(json: string): JsonValue {
  try {
    return parseJson(json);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function subjectOf({ device }: DevicePermission, option: PermissionOption): string {
  return option.on === 'netdev' ? `the netdev "${device.netdev?.id ?? ''}"` : `"${device.id}"`;
}

function whyUnsupported({ device }: DevicePermission): string {
  const { driver, netdev } = device;
  const own = 'the target needs one of its own';
  return netdev?.type !== undefined && netdev.type !== 'tap'
    ? `A back end of type "${netdev.type}" cannot be handed over: ${own}.`
    : `This QEMU cannot hand over the back end of a ${driver}: ${own}.`;
}
