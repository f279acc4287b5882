import type { MachineSnapshot } from '../../vm/types';
import {
  backendTransferOf,
  type BackendTransfer,
  type DevicePermission,
  type Permission,
  type PermissionOption,
} from '../settings/backendTransfer';
import type { NodeIcon, ViewNode } from './nodes';

const meaning =
  'QEMU hands the back end of a device, such as a TAP with its open descriptors, to the target through the migration channel, so that the guest keeps its network. Both QEMUs are on this host, the channel is a UNIX socket, and both sides must have it on.';

/** The row "Backend transfer" with the devices under it; `undefined` while nothing is known. */
export function backendTransferNode(snapshot: MachineSnapshot): ViewNode | undefined {
  const offer = backendTransferOf(snapshot);
  if (offer === undefined) return undefined;
  const { description, on, tags, copyText } = lookOf(offer);
  const devices = offer.kind === 'absent' ? [] : offer.devices;
  const permission = offer.kind === 'absent' ? undefined : offer.permission;
  return {
    id: `vm:${snapshot.id}/backend-transfer`,
    kind: 'backend-transfer',
    machineId: snapshot.id,
    ...(offer.kind !== 'absent' && { subject: offer.parameter }),
    label: 'Backend transfer',
    description,
    icon: on ? { codicon: 'arrow-swap', color: 'testing.iconPassed' } : { codicon: 'arrow-swap' },
    tooltip: {
      title: `Backend transfer: ${description}`,
      body: [meaning, orderText(offer)].join('\n\n'),
      fields:
        offer.kind === 'absent'
          ? []
          : [['QMP', `migrate-set-parameters ${offer.parameter}`], ...permissionField(offer)],
    },
    expansion: devices.length > 0 ? 'collapsed' : 'leaf',
    tags,
    spoken: `Backend transfer, ${description}`,
    ...(copyText !== undefined && { copyText }),
    children: devices.map((entry) => deviceNode(snapshot, entry, permission)),
  };
}

interface Look {
  readonly description: string;
  readonly on: boolean;
  readonly tags: readonly string[];
  readonly copyText?: string;
}

function lookOf(offer: BackendTransfer): Look {
  switch (offer.kind) {
    case 'absent': {
      const instead = offer.instead.length === 0 ? '' : ` · has ${offer.instead.join(', ')}`;
      return {
        description: `not in this QEMU${instead}`,
        on: false,
        tags: ['backend-transfer', 'absent'],
      };
    }
    case 'boolean': {
      const { enabled, devices } = offer;
      const tags = ['backend-transfer', 'boolean', 'copyable', enabled ? 'on' : 'off'];
      const blocked = devices.filter(({ permission }) => permission === 'not-permitted').length;
      const permitted = devices.filter(({ permission }) => permission === 'permitted').length;
      const state = !enabled ? 'off' : blocked > 0 && permitted > 0 ? 'mixed' : 'on';
      const hint = state === 'mixed' ? ` (${permitted} of ${blocked + permitted} permitted)` : '';
      return {
        description: `${state}${hint} · parameter "${offer.parameter}"`,
        on: enabled,
        tags,
        copyText: String(enabled),
      };
    }
    case 'list': {
      const { entries, parameter } = offer;
      const what = entries.length === 0 ? 'off' : entries.join(', ');
      return {
        description: `${what} · list "${parameter}"`,
        on: entries.length > 0,
        tags: ['backend-transfer', 'list', 'copyable'],
        copyText: JSON.stringify(entries),
      };
    }
  }
}

function permissionField(offer: {
  readonly permission: PermissionOption | undefined;
}): readonly (readonly [string, string])[] {
  const { permission } = offer;
  if (permission === undefined) return [];
  return [['Permission', `${permission.name} on the ${permission.on}`]];
}

function orderText(offer: BackendTransfer): string {
  if (offer.kind === 'absent') {
    return offer.instead.length === 0
      ? 'This QEMU has no parameter for it.'
      : 'This QEMU has no parameter for it. Its CPR modes keep descriptors too, but need shared memory from the start.';
  }
  return offer.permission?.on === 'netdev'
    ? 'Order: set it on both sides; **then** create the netdev and the NIC on the target; then `migrate-incoming`, then `migrate`. "Migrate to..." does this.'
    : 'Order: start the target with the same netdev and device and `-incoming defer`; set it on both sides; then `migrate-incoming`, then `migrate`. "Migrate to..." does this.';
}

const permissionWords: Readonly<Record<Permission, string>> = {
  permitted: 'permitted',
  'not-permitted': 'not permitted',
  unknown: 'permission not readable',
  unsupported: 'not supported here',
};

const permissionIcons: Readonly<Record<Permission, NodeIcon>> = {
  permitted: { codicon: 'pass', color: 'testing.iconPassed' },
  'not-permitted': { codicon: 'circle-slash' },
  unknown: { codicon: 'question' },
  unsupported: { codicon: 'dash' },
};

function deviceNode(
  snapshot: MachineSnapshot,
  { device, permission }: DevicePermission,
  option: PermissionOption | undefined,
): ViewNode {
  const { netdev } = device;
  const backend =
    netdev === undefined
      ? ''
      : ` ← ${netdev.id}${netdev.type === undefined ? '' : ` (${[netdev.type, netdev.ifname].filter((part) => part !== undefined).join(' ')})`}`;
  const words = permissionWords[permission];
  return {
    id: `vm:${snapshot.id}/backend-transfer/${device.id}`,
    kind: 'device',
    machineId: snapshot.id,
    subject: device.id,
    label: `${device.id}${backend}`,
    description: words,
    icon: permissionIcons[permission],
    tooltip: {
      title: `${device.id}: ${words}`,
      body: adviceFor(permission, option),
      fields: [
        ['Device', device.driver],
        ...(netdev === undefined ? [] : ([['Netdev', netdev.id]] as const)),
        ...(netdev?.type === undefined ? [] : ([['Back end', netdev.type]] as const)),
        ...(netdev?.ifname === undefined ? [] : ([['TAP', netdev.ifname]] as const)),
      ],
    },
    expansion: 'leaf',
    tags: ['device', 'copyable'],
    spoken: `${device.id}, ${words}`,
    copyText: device.id,
    children: [],
  };
}

function adviceFor(permission: Permission, option: PermissionOption | undefined): string {
  switch (permission) {
    case 'permitted':
      return 'Its back end goes along when backend transfer is on at both sides.';
    case 'not-permitted':
      return option === undefined
        ? 'It may not be handed over.'
        : `It can only be permitted at the start: \`${option.name}=on\` on its ${option.on}.`;
    case 'unknown':
      return 'It was added while QEMU ran, and this QEMU does not tell whether it was permitted.';
    case 'unsupported':
      return 'This kind of device or back end cannot be handed over by this QEMU.';
  }
}
