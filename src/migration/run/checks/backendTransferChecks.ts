import type { MachineSnapshot } from '../../../vm/types';
import {
  backendTransferOf,
  type BackendTransfer,
  type DevicePermission,
} from '../../settings/backendTransfer';
import type { Obstacle } from './obstacle';
import type { MigrationRequest } from '../types';

/**
 * What would make a run with backend transfer fail on the target, as measured: a parameter on one
 * side only, a permission that is missing, a TAP that the target opened before it knew.
 */
export function checkBackendTransfer(
  wanted: MigrationRequest['backendTransfer'],
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly Obstacle[] {
  const offers = { source: backendTransferOf(source), target: backendTransferOf(target) };
  if (wanted === 'off') {
    return [
      { side: source, offer: offers.source },
      { side: target, offer: offers.target },
    ].flatMap(({ side, offer }) => stillListed(side, offer, side === source ? 'source' : 'target'));
  }
  if (wanted === 'as-is') {
    const differ = isOn(offers.source) !== isOn(offers.target);
    if (differ) {
      return [
        {
          id: 'backend-transfer-one-side',
          side: 'both',
          reason: 'Backend transfer is on at one side only.',
          nextStep: 'Turn it on at both sides, or off at both.',
        },
      ];
    }
    return isOn(offers.source) ? deviceFindings(source, target) : [];
  }
  const unable = [
    { side: source, offer: offers.source },
    { side: target, offer: offers.target },
  ].flatMap(({ side, offer }) => unableFinding(side, offer, side === source ? 'source' : 'target'));
  return unable.length > 0 ? unable : deviceFindings(source, target);
}

/** Whether backend transfer is in force, under any spelling. */
export function isOn(offer: BackendTransfer | undefined): boolean {
  if (offer === undefined) return false;
  switch (offer.kind) {
    case 'absent':
      return false;
    case 'boolean':
      return offer.enabled;
    case 'list':
      return offer.entries.length > 0;
  }
}

/** A run switches, but does not edit lists. */
function stillListed(
  { label }: MachineSnapshot,
  offer: BackendTransfer | undefined,
  role: 'source' | 'target',
): readonly Obstacle[] {
  if (offer?.kind !== 'list' || !isOn(offer)) return [];
  return [
    {
      id: 'backend-transfer-listed',
      side: role,
      reason: `Backend transfer is a list in the QEMU of ${label} ("${offer.parameter}"), and it is not empty.`,
      nextStep: `Set "${offer.parameter}" to an empty list.`,
    },
  ];
}

function unableFinding(
  { label }: MachineSnapshot,
  offer: BackendTransfer | undefined,
  role: 'source' | 'target',
): readonly Obstacle[] {
  if (offer?.kind === 'boolean' || (offer?.kind === 'list' && isOn(offer))) return [];
  if (offer?.kind === 'list') {
    return [
      {
        id: 'backend-transfer-empty',
        side: role,
        reason: `Backend transfer is a list in the QEMU of ${label} ("${offer.parameter}"), and it is empty.`,
        nextStep: `Set "${offer.parameter}" to what is to be transferred.`,
      },
    ];
  }
  return [
    {
      id: 'backend-transfer-unable',
      side: role,
      reason: `The QEMU of ${label} has no backend transfer.`,
      nextStep: 'Migrate without it; the target then needs a network back end of its own.',
    },
  ];
}

function deviceFindings(source: MachineSnapshot, target: MachineSnapshot): readonly Obstacle[] {
  const [from, to] = [backendTransferOf(source), backendTransferOf(target)];
  if (from === undefined || from.kind === 'absent') return [];
  if (to === undefined || to.kind === 'absent') return [];
  const there = new Map(to.devices.map((entry) => [entry.device.id, entry]));
  return from.devices
    .filter(({ device }) => device.netdev?.type === 'tap')
    .flatMap((entry) => deviceFinding(entry, there.get(entry.device.id), from.permission));
}

function deviceFinding(
  { device, permission }: DevicePermission,
  there: DevicePermission | undefined,
  option: { readonly on: 'device' | 'netdev'; readonly name: string } | undefined,
): readonly Obstacle[] {
  const netdev = device.netdev?.id ?? '';
  if (option?.on === 'netdev') {
    if (permission === 'not-permitted') {
      return [
        {
          id: 'netdev-not-permitted',
          side: 'source',
          subject: device.id,
          reason: `The source's netdev "${netdev}" was started without "${option.name}=on".`,
          nextStep: `Turn backend transfer off, or start the source with "-netdev tap,id=${netdev},...,${option.name}=on".`,
        },
      ];
    }
    if (there !== undefined && there.device.netdev?.incoming !== true) {
      return [
        {
          id: 'netdev-too-early',
          side: 'target',
          subject: device.id,
          reason: `The target opened a TAP of its own for "${device.id}"; with this QEMU it must be added after the parameter is set.`,
          nextStep: `Start the target without "-netdev ...,id=${netdev}" and without its device; it is added for you.`,
        },
      ];
    }
    return [];
  }
  if (there !== undefined && there.permission !== permission) {
    return [
      {
        id: 'permission-one-side',
        side: 'both',
        subject: device.id,
        reason: `"${device.id}" may hand over its back end on one side only.`,
        nextStep: `Start both sides with the same "${option?.name ?? 'backend-transfer'}" for that device.`,
      },
    ];
  }
  return [];
}
