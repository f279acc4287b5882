import type { QmpSchema, SchemaMember } from '../../qmp/schema';
import { readOptions } from '../../vm/qemuOptions';
import type { DeviceFacts, MachineSnapshot, VmFacts } from '../../vm/types';
import type { SettingsChange } from './settingsState';

/**
 * Backend transfer under whatever name this QEMU has for it. The only module that knows the names;
 * found by the schema, never by version.
 */

/** Spellings of the migration parameter, the mission's first. A list-typed draft had the first name. */
const parameterNames = ['backend-transfer', 'local'] as const;

/** Permission as a boolean property of the device. */
export const devicePermissions: readonly string[] = ['backend-transfer', 'local-migration'];

/** Permission as an option of the tap netdev, given at `-netdev` or `netdev_add`, not readable later. */
const netdevPermissions = [
  'x-permit-local-migration',
  'x-local-migration-supported',
  'local-migration-supported',
] as const;

export type Permission =
  | 'permitted'
  | 'not-permitted'
  /** It may have been given, but neither QEMU nor its command line tells. */
  | 'unknown'
  /** This kind of device or back end has no transfer here. */
  | 'unsupported';

export interface DevicePermission {
  readonly device: DeviceFacts;
  readonly permission: Permission;
}

/** Where the permission is given, and its exact name; `undefined` when this spelling has none. */
export interface PermissionOption {
  readonly on: 'device' | 'netdev';
  readonly name: string;
}

export type BackendTransfer =
  /** This QEMU has no such parameter; `instead` names the modes that it has for the same end. */
  | { readonly kind: 'absent'; readonly instead: readonly string[] }
  | {
      readonly kind: 'boolean';
      readonly parameter: string;
      readonly enabled: boolean;
      readonly permission: PermissionOption | undefined;
      readonly devices: readonly DevicePermission[];
    }
  /** An early draft: a list of what may be transferred. */
  | {
      readonly kind: 'list';
      readonly parameter: string;
      readonly entries: readonly string[];
      readonly permission: PermissionOption | undefined;
      readonly devices: readonly DevicePermission[];
    };

/** What this machine offers and has set; `undefined` while nothing is known of it. */
export function backendTransferOf(
  snapshot: Pick<MachineSnapshot, 'facts' | 'process'>,
): BackendTransfer | undefined {
  const { facts, process } = snapshot;
  if (facts === undefined) return undefined;
  const member = findParameter(facts.schema);
  if (member === undefined) {
    const modes = facts.schema.enumValues('migrate-set-parameters', 'mode');
    return { kind: 'absent', instead: modes.filter((mode) => mode.startsWith('cpr-')) };
  }
  const permission = findPermission(facts);
  const devices = facts.devices
    .filter(
      ({ netdev, permissions }) => netdev !== undefined || Object.keys(permissions).length > 0,
    )
    .map((device) => ({
      device,
      permission: permissionOf(device, permission, process?.args ?? []),
    }));
  const shared = { parameter: member.name, permission, devices };
  const value = facts.parameters[member.name];
  return member.type.kind === 'array'
    ? { kind: 'list', entries: Array.isArray(value) ? value.map(String) : [], ...shared }
    : { kind: 'boolean', enabled: value === true, ...shared };
}

/** Whether a migration parameter is backend transfer under one of its names. */
export function isBackendTransferParameter(name: string): boolean {
  return parameterNames.some((known) => known === name);
}

function findParameter(schema: QmpSchema): SchemaMember | undefined {
  for (const name of parameterNames) {
    const member = schema.argument('migrate-set-parameters', name);
    if (member === undefined) continue;
    const { type } = member;
    if (type.kind === 'array' || (type.kind === 'builtin' && type.json === 'boolean'))
      return member;
  }
  return undefined;
}

function findPermission(facts: VmFacts): PermissionOption | undefined {
  const tap = tapOptions(facts.schema);
  const netdev = netdevPermissions.find((name) => tap.has(name));
  if (netdev !== undefined) return { on: 'netdev', name: netdev };
  const device = devicePermissions.find((name) =>
    facts.devices.some(({ permissions }) => name in permissions),
  );
  return device === undefined ? undefined : { on: 'device', name: device };
}

function tapOptions(schema: QmpSchema): ReadonlySet<string> {
  const type = schema.argumentType('netdev_add');
  const members = type?.kind === 'object' ? type.variants?.membersFor('tap') : undefined;
  return new Set(members?.map(({ name }) => name));
}

function permissionOf(
  device: DeviceFacts,
  option: PermissionOption | undefined,
  args: readonly string[],
): Permission {
  const given = device.netdev && givenOption(args, 'netdev', device.netdev.id);
  const backEnd = device.netdev?.type ?? (given === undefined ? undefined : kindOf(given));
  // Of network back ends only TAPs have descriptors that can be taken over, so far.
  if (backEnd !== undefined && backEnd !== 'tap') return 'unsupported';
  if (option === undefined) {
    // A draft that decides by its list alone: by kind of device, and only virtio-net was one.
    return backEnd === 'tap' && device.driver.startsWith('virtio-net') ? 'unknown' : 'unsupported';
  }
  if (option.on === 'device') {
    // QEMU refuses to read a property that the driver does not have; then it is not listed.
    const value = device.permissions[option.name];
    if (value === undefined) return 'unsupported';
    return typeof value === 'boolean' ? (value ? 'permitted' : 'not-permitted') : 'unknown';
  }
  if (device.netdev === undefined) return 'unsupported';
  // Only a permitted TAP is left without descriptors to wait for.
  if (device.netdev.incoming) return 'permitted';
  if (given === undefined) return 'unknown';
  const value = readOptions(given).options.get(option.name);
  return value !== undefined && isYes(value) ? 'permitted' : 'not-permitted';
}

/** The kind of back end that a `-netdev` makes. */
function kindOf(netdev: string): string | undefined {
  const { first, options } = readOptions(netdev);
  return first ?? options.get('type');
}

/** How QEMU's options say yes. */
function isYes(value: string): boolean {
  return ['on', 'yes', 'true', 'y'].includes(value);
}

/**
 * The text of `-netdev` or `-device` with that id; `undefined` when it was not given at the start,
 * but later, or in a file.
 */
export function givenOption(
  args: readonly string[],
  kind: 'netdev' | 'device',
  id: string,
): string | undefined {
  for (const [index, argument] of args.entries()) {
    const value = args[index + 1];
    if (value === undefined || argument.replace(/^--?/, '-') !== `-${kind}`) continue;
    if (readOptions(value).options.get('id') === id) return value;
  }
  return undefined;
}

/** Why backend transfer cannot be switched on this machine. */
export class BackendTransferError extends Error {
  override readonly name = 'BackendTransferError';
  readonly reason: 'absent' | 'list';
  readonly label: string;
  /** The modes that this QEMU has instead, or the list's parameter. */
  readonly detail: readonly string[];

  constructor(reason: BackendTransferError['reason'], label: string, detail: readonly string[]) {
    super(`backend transfer cannot be switched on ${label}: ${reason}`);
    this.reason = reason;
    this.label = label;
    this.detail = detail;
  }
}

/**
 * What switches backend transfer under the name that this QEMU has for it.
 *
 * @throws {BackendTransferError} when it has no such parameter, or a list
 */
export function switchBackendTransfer(snapshot: MachineSnapshot, on: boolean): SettingsChange {
  const { label } = snapshot;
  const offer = backendTransferOf(snapshot);
  if (offer === undefined || offer.kind === 'absent') {
    throw new BackendTransferError('absent', label, offer?.instead ?? []);
  }
  if (offer.kind === 'list') throw new BackendTransferError('list', label, [offer.parameter]);
  return { parameters: { [offer.parameter]: on }, capabilities: {} };
}
