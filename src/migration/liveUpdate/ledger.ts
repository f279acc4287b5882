import type { Descriptor } from '../../vm/descriptors';
import type { TapNetdevs } from '../../vm/netdevQueues';
import type { AdoptedDescriptor, LedgerRow, UpdateMethod } from './types';

export interface LedgerInput {
  readonly descriptors: readonly Descriptor[];
  readonly taps: TapNetdevs;
  readonly adopt: readonly AdoptedDescriptor[];
  readonly method: UpdateMethod;
  /** Files of the guest's disks, absolute. */
  readonly disks: readonly string[];
}

/** The kinds in the order in which a person asks for them. */
const kinds: readonly LedgerRow['kind'][] = [
  ...(['tap', 'vhost', 'memory', 'disk', 'eventfd', 'kvm', 'socket', 'other'] as const),
];

/**
 * What the source has open and what becomes of it, as planned. Standard streams, libraries and what the
 * kernel's pseudo file systems serve are left out. Pure.
 */
export function ledgerBefore(input: LedgerInput): readonly LedgerRow[] {
  const rows = input.descriptors.flatMap((one): readonly LedgerRow[] => {
    const kind = kindOf(one, input.disks);
    if (kind === undefined) return [];
    const adopted = input.adopt.find(({ sourceFd }) => sourceFd === one.fd);
    return [
      {
        kind,
        what: nameOf(one, kind, input.taps),
        sourceFd: one.fd,
        targetFd:
          adopted?.targetFd ??
          (input.method === 'cpr-exec' && survives(one, kind) ? one.fd : undefined),
        fate: adopted === undefined ? fateOf(one, kind, input) : 'handed-over',
      },
    ];
  });
  return sorted(rows);
}

/** QEMU marks what is to survive. */
function survives({ closesOnExec }: Descriptor, kind: LedgerRow['kind']): boolean {
  return !closesOnExec && (kind === 'tap' || kind === 'memory');
}

function fateOf(
  one: Descriptor,
  kind: LedgerRow['kind'],
  { method, taps, adopt }: LedgerInput,
): LedgerRow['fate'] {
  const keepsMemory = method === 'cpr-transfer' || method === 'cpr-exec';
  switch (kind) {
    case 'tap': {
      if (method === 'backend-transfer') {
        return taps.loose.some(({ fd }) => fd === one.fd) ? 'unclaimed' : 'handed-over';
      }
      if (method === 'cpr-exec') return one.closesOnExec ? 'unclaimed' : 'handed-over';
      if (method === 'plain' && taps.netdevs.some(({ fds }) => fds.includes(one.fd))) {
        return 'opened-anew';
      }
      return 'unclaimed';
    }
    case 'memory':
      return keepsMemory ? 'handed-over' : 'opened-anew';
    case 'vhost':
    case 'disk':
    case 'kvm':
    case 'eventfd':
      return 'opened-anew';
    case 'socket':
      return 'ends-with-source';
    case 'other':
      // Something that somebody passed to QEMU and we do not know what for.
      return !one.closesOnExec && adopt.length > 0 ? 'unclaimed' : 'ends-with-source';
  }
}

/**
 * The same rows with the descriptors of the target beside them. There are no rights to compare the open
 * files themselves: a TAP is told by name and the number of its queue, the rest by path or inode. Pure.
 *
 * @param after of the target, when it has the guest
 */
export function ledgerAfter(
  rows: readonly LedgerRow[],
  before: readonly Descriptor[],
  after: readonly Descriptor[],
): readonly LedgerRow[] {
  const left = new Map(after.map((one) => [one.fd, one]));
  const take = (fits: (one: Descriptor) => boolean): Descriptor | undefined => {
    const found = [...left.values()].find(fits);
    if (found !== undefined) left.delete(found.fd);
    return found;
  };
  // Those whose number was agreed upon first.
  const agreed = new Map<number, Descriptor | undefined>();
  for (const { sourceFd, targetFd } of rows) {
    if (targetFd !== undefined)
      agreed.set(
        sourceFd,
        take(({ fd }) => fd === targetFd),
      );
  }
  return rows.map((row): LedgerRow => {
    const old = before.find(({ fd }) => fd === row.sourceFd);
    if (old === undefined || row.kind === 'socket') return row;
    const found = agreed.get(row.sourceFd) ?? take((one) => isLike(old, one));
    if (found === undefined) {
      return { ...row, targetFd: undefined, fate: row.kind === 'tap' ? 'unclaimed' : row.fate };
    }
    const same = row.kind === 'tap' ? found.tap === old.tap : true;
    return { ...row, targetFd: found.fd, fate: same ? row.fate : 'unclaimed' };
  });
}

function isLike(a: Descriptor, b: Descriptor): boolean {
  if (a.tap !== undefined || b.tap !== undefined) return a.tap === b.tap;
  if (a.target.startsWith('anon_inode:') || a.target.startsWith('/dev/')) {
    return a.target === b.target;
  }
  if (a.identity !== undefined && b.identity !== undefined) return a.identity === b.identity;
  return a.target === b.target;
}

function kindOf(
  { fd, target, tap }: Descriptor,
  disks: readonly string[],
): LedgerRow['kind'] | undefined {
  if (tap !== undefined) return 'tap';
  if (/\/net\/tun$/.test(target)) return 'tap';
  if (/vhost-/.test(target)) return 'vhost';
  if (/^\/memfd:|^\/dev\/hugepages|^\/dev\/shm\//.test(target)) return 'memory';
  if (target.startsWith('anon_inode:kvm') || target === '/dev/kvm') return 'kvm';
  if (target.startsWith('anon_inode:[eventfd')) return 'eventfd';
  if (disks.includes(target)) return 'disk';
  if (fd <= 2) return undefined;
  if (target.startsWith('socket:')) return 'socket';
  // Kernel objects that every QEMU makes for itself.
  if (
    /^(anon_inode:|pipe:|\/proc\/|\/sys\/|\/dev\/(null|urandom|random|pts|ptmx|zero))/.test(target)
  ) {
    return undefined;
  }
  return 'other';
}

function nameOf(
  { fd, target, tap }: Descriptor,
  kind: LedgerRow['kind'],
  taps: TapNetdevs,
): string {
  if (kind !== 'tap' || tap === undefined) return target;
  const netdev = taps.netdevs.find(({ fds }) => fds.includes(fd));
  return netdev === undefined
    ? `TAP ${tap}, of no netdev that is known`
    : `TAP ${tap}, queue ${netdev.fds.indexOf(fd)} of ${netdev.id}`;
}

function sorted(rows: readonly LedgerRow[]): readonly LedgerRow[] {
  return [...rows].sort(
    (a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || a.sourceFd - b.sourceFd,
  );
}
