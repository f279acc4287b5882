import type { JsonValue } from '../qmp/json';

/** `TUN_F_*` of the kernel's `if_tun.h`: what a TAP may hand to its reader unfinished. */
export const tunOffload = {
  csum: 0x01,
  tso4: 0x02,
  tso6: 0x04,
  tsoEcn: 0x08,
  ufo: 0x10,
  uso4: 0x20,
  uso6: 0x40,
} as const;

/** Names as QEMU's `x-query-virtio-status` has them, bits as the virtio standard numbers them. */
const guestFeatures = [
  { name: 'VIRTIO_NET_F_GUEST_TSO4', bit: 7n, flag: tunOffload.tso4 },
  { name: 'VIRTIO_NET_F_GUEST_TSO6', bit: 8n, flag: tunOffload.tso6 },
  { name: 'VIRTIO_NET_F_GUEST_UFO', bit: 10n, flag: tunOffload.ufo },
  { name: 'VIRTIO_NET_F_GUEST_USO4', bit: 54n, flag: tunOffload.uso4 },
  { name: 'VIRTIO_NET_F_GUEST_USO6', bit: 55n, flag: tunOffload.uso6 },
] as const;

/**
 * The offloads that QEMU asks of the TAP for what the guest's driver has negotiated: `guest-features`
 * of `x-query-virtio-status`. Names are followed by a description there; what a QEMU has no name for
 * is a number (7.2 does not know USO). A guest that switched some off later, by the control queue,
 * cannot be told from one that did not.
 *
 * **Never send `x-query-virtio-status` to QEMU 11.1: it crashes on it, guest and all** (segmentation
 * fault, seen with virtio-net, virtio-blk and virtio-rng, with and without a driver in the guest; 7.2 and
 * 10.0 answer). There the offloads are not known, and stay off until the guest's driver sets them again.
 *
 * @returns `undefined` for an answer of another shape
 */
export function tapOffloads(status: JsonValue | undefined): number | undefined {
  const features = member(status, 'guest-features');
  const named = member(features, 'dev-features');
  if (!Array.isArray(named)) return undefined;
  const names = new Set<string>();
  for (const each of named) {
    if (typeof each !== 'string') return undefined;
    names.add(each.split(':', 1)[0]?.trim() ?? '');
  }
  const unknown = member(features, 'unknown-dev-features') ?? 0;
  if (typeof unknown !== 'number' && typeof unknown !== 'bigint') return undefined;
  const bits = BigInt(unknown);
  const has = (name: string, bit: bigint): boolean =>
    names.has(name) || ((bits >> bit) & 1n) === 1n;

  // Without checksums by the guest there is nothing else to leave to it.
  if (!has('VIRTIO_NET_F_GUEST_CSUM', 1n)) return 0;
  let flags: number = tunOffload.csum;
  for (const { name, bit, flag } of guestFeatures) if (has(name, bit)) flags |= flag;
  const segments = (flags & (tunOffload.tso4 | tunOffload.tso6)) !== 0;
  if (segments && has('VIRTIO_NET_F_GUEST_ECN', 9n)) flags |= tunOffload.tsoEcn;
  return flags;
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return (value as { readonly [key: string]: JsonValue })[name];
}
