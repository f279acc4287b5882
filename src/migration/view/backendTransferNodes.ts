import type { MachineSnapshot } from '../../vm/types';
import { pairBackendTransfer, type PairBackendTransfer } from '../pair/backendTransferPair';
import {
  backendTransferOf,
  type BackendTransfer,
  type DevicePermission,
  type Permission,
  type PermissionOption,
} from '../settings/backendTransfer';
import { parameterInfo } from '../settings/catalogue';
import { describeParameter } from '../settings/parameters';
import type { PairView } from './context';
import type { NodeIcon, Tooltip, ViewNode } from './nodes';
import { endsOf, otherLabel } from './pairNodes';

const meaning =
  'QEMU hands the back end of a device, such as a TAP with its open descriptors, to the target through the migration channel, so that the guest keeps its network. Both QEMUs are on this host, the channel is a UNIX socket, and both sides must have it on.';

/**
 * The row "Backend transfer" with the devices under it; `undefined` while nothing is known. Of a
 * pair it tells both sides, for one alone is of no use.
 */
export function backendTransferNode(
  snapshot: MachineSnapshot,
  pair?: PairView,
): ViewNode | undefined {
  const offer = backendTransferOf(snapshot);
  if (offer === undefined) return undefined;
  const own = lookOf(offer);
  const both = pair && bothSides(snapshot, pair, own.state);
  const state = both?.state ?? own.state;
  const description = [state, ...own.name].join(' · ');
  const devices = offer.kind === 'absent' ? [] : offer.devices;
  const changed = offer.kind !== 'absent' && isChanged(snapshot, offer.parameter);
  const keywords = offer.kind === 'absent' ? undefined : parameterInfo(offer.parameter)?.summary;
  return {
    id: `vm:${snapshot.id}/backend-transfer`,
    kind: 'backend-transfer',
    machineId: snapshot.id,
    ...(offer.kind !== 'absent' && { subject: offer.parameter }),
    label: 'Backend transfer',
    description,
    icon: iconOf(own.on, both),
    tooltip: {
      title: `Backend transfer: ${description}`,
      ...orderOf(offer, both?.known),
      fields: offer.kind === 'absent' ? [] : fieldsOf(offer, pair, both?.known),
      ...(both !== undefined && { warnings: both.known?.problems ?? [] }),
    },
    ...(keywords !== undefined && { keywords }),
    expansion: devices.length > 0 ? 'collapsed' : 'leaf',
    tags: [...own.tags, ...(changed ? ['changed'] : []), ...(pair === undefined ? [] : ['paired'])],
    spoken: `Backend transfer, ${description}`,
    ...(own.copyText !== undefined && { copyText: own.copyText }),
    children:
      offer.kind === 'absent'
        ? []
        : devices.map((entry) =>
            deviceNode(snapshot, entry, adviceOn(entry, offer.permission, pair, both?.known)),
          ),
  };
}

function isChanged({ facts }: MachineSnapshot, parameter: string): boolean {
  return facts !== undefined && describeParameter(facts, parameter)?.changed === true;
}

/** A pair as seen from one of its machines. */
interface BothSides {
  /** Of both, in words. */
  readonly state: string;
  readonly differ: boolean;
  readonly known: PairBackendTransfer | undefined;
}

function bothSides(snapshot: MachineSnapshot, pair: PairView, own: string): BothSides {
  const { other } = pair;
  const offer = other?.state.kind === 'ready' ? backendTransferOf(other) : undefined;
  if (offer === undefined) {
    const state = `${own} here, ${otherLabel(pair)} not connected`;
    return { state, differ: false, known: undefined };
  }
  const ends = endsOf(snapshot, pair);
  const known = ends && pairBackendTransfer(ends.source, ends.target);
  const theirs = lookOf(offer).state;
  const same = own === theirs;
  const problems = known?.state === 'on' ? known.problems.length : 0;
  return {
    state: same
      ? [`${own} · both sides`, ...problemWords(problems)].join(' · ')
      : `${own} here, ${theirs} on ${otherLabel(pair)}`,
    differ: known?.state === 'mixed',
    known,
  };
}

/** While it is off nobody wants it, and what is in its way is for the tooltip alone. */
function problemWords(count: number): readonly string[] {
  if (count === 0) return [];
  return [count === 1 ? '1 problem' : `${count} problems`];
}

function iconOf(on: boolean, both: BothSides | undefined): NodeIcon {
  if (both?.differ === true || (on && (both?.known?.problems ?? []).length > 0)) {
    return { codicon: 'arrow-swap', color: 'problemsWarningIcon.foreground' };
  }
  return on ? { codicon: 'arrow-swap', color: 'testing.iconPassed' } : { codicon: 'arrow-swap' };
}

interface Look {
  readonly state: string;
  /** What it is called in this QEMU; empty when it has none. */
  readonly name: readonly string[];
  readonly on: boolean;
  readonly tags: readonly string[];
  readonly copyText?: string;
}

function lookOf(offer: BackendTransfer): Look {
  switch (offer.kind) {
    case 'absent': {
      const name = offer.instead.length === 0 ? [] : [`has ${offer.instead.join(', ')}`];
      return { state: 'not in this QEMU', name, on: false, tags: ['backend-transfer', 'absent'] };
    }
    case 'boolean': {
      const { enabled, devices, parameter } = offer;
      const blocked = devices.filter(({ permission }) => permission === 'not-permitted').length;
      const permitted = devices.filter(({ permission }) => permission === 'permitted').length;
      const mixed = enabled && blocked > 0 && permitted > 0;
      const word = enabled ? 'on' : 'off';
      return {
        state: mixed ? `mixed (${permitted} of ${blocked + permitted} permitted)` : word,
        name: [`parameter "${parameter}"`],
        on: enabled,
        tags: ['backend-transfer', 'boolean', 'copyable', word],
        copyText: String(enabled),
      };
    }
    case 'list': {
      const { entries, parameter } = offer;
      return {
        state: entries.length === 0 ? 'off' : entries.join(', '),
        name: [`list "${parameter}"`],
        on: entries.length > 0,
        tags: ['backend-transfer', 'list', 'copyable'],
        copyText: JSON.stringify(entries),
      };
    }
  }
}

type Offer = Exclude<BackendTransfer, { kind: 'absent' }>;

function fieldsOf(
  { parameter, permission }: Offer,
  pair: PairView | undefined,
  both: PairBackendTransfer | undefined,
): readonly (readonly [string, string])[] {
  const theirs = pair?.role === 'source' ? both?.names.target : both?.names.source;
  return [
    ['QMP', `migrate-set-parameters ${parameter}`],
    ...(permission === undefined
      ? []
      : ([['Permission', `${permission.name} on the ${permission.on}`]] as const)),
    ...(pair === undefined || theirs === undefined
      ? []
      : ([[`On ${otherLabel(pair)}`, `migrate-set-parameters ${theirs}`]] as const)),
  ];
}

/** What it is, and in which order things have to be done. */
function orderOf(
  offer: BackendTransfer,
  both: PairBackendTransfer | undefined,
): Pick<Tooltip, 'body' | 'stepsTitle' | 'steps'> {
  return both === undefined || both.order.length === 0
    ? { body: `${meaning}\n\n${orderText(offer)}` }
    : {
        body: meaning,
        stepsTitle: 'It takes these steps; "Migrate to..." does all but the first and the last.',
        steps: both.order,
      };
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
  advice: Pick<Tooltip, 'body' | 'note'>,
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
      ...advice,
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

/** Of a pair the advice knows both sides. */
function adviceOn(
  { device, permission }: DevicePermission,
  option: PermissionOption | undefined,
  pair: PairView | undefined,
  both: PairBackendTransfer | undefined,
): Pick<Tooltip, 'body' | 'note'> {
  const entry = both?.devices.find(
    ({ side, device: id }) => side === pair?.role && id === device.id,
  );
  return entry?.advice === undefined
    ? { body: adviceFor(permission, option) }
    : { note: entry.advice };
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
