import type { MachineSnapshot } from '../../vm/types';
import type {
  BackendTransfer,
  DevicePermission,
  PermissionOption,
} from '../settings/backendTransfer';

/** One side of a pair with what it offers. */
export interface End {
  readonly snapshot: MachineSnapshot;
  readonly offer: BackendTransfer;
}

export interface Ends {
  readonly source: End;
  readonly target: End;
}

export function devicesOf({ offer }: End): readonly DevicePermission[] {
  return offer.kind === 'absent' ? [] : offer.devices;
}

export function permissionOf({ offer }: End): PermissionOption | undefined {
  return offer.kind === 'absent' ? undefined : offer.permission;
}

/**
 * Where the permission is given. A side without devices does not tell whether they would have one;
 * then the other's word counts. Only a netdev's option is in the schema.
 */
export function optionOf({ source, target }: Ends): PermissionOption | undefined {
  return permissionOf(source) ?? permissionOf(target);
}

/** Those devices of the source whose back end can be handed over, if it is permitted. */
export function transferable({ source }: Ends): readonly DevicePermission[] {
  return devicesOf(source).filter(({ permission }) => permission !== 'unsupported');
}

export function counterpart({ target }: Ends, id: string): DevicePermission | undefined {
  return devicesOf(target).find(({ device }) => device.id === id);
}

/**
 * Whether the sides have different stages of the work: another name, a list, or the permission in
 * another place.
 */
export function areMixed({ source, target }: Ends): boolean {
  const [from, to] = [source.offer, target.offer];
  if (from.kind === 'absent' || to.kind === 'absent') return false;
  if (from.kind !== to.kind || from.parameter !== to.parameter) return true;
  const [a, b] = [from.permission, to.permission];
  return a !== undefined && b !== undefined && (a.on !== b.on || a.name !== b.name);
}
