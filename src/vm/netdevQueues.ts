import type { QmpConnection } from '../qmp/connection';
import type { Descriptor } from './descriptors';
import { queryNetworkLines } from './queries';

/** One TAP netdev with its queues, in their order. */
export interface TapNetdev {
  readonly id: string;
  readonly ifname: string;
  /** Numbers of the descriptors in QEMU; empty: it could not be told which they are. */
  readonly fds: readonly number[];
}

/** What QEMU has of TAPs, and what could not be told. */
export interface TapNetdevs {
  readonly netdevs: readonly TapNetdev[];
  /** Netdevs of type `tap` whose queues could not be found, by id. */
  readonly unresolved: readonly string[];
  /** TAP queues that belong to no netdev that is known. */
  readonly loose: readonly Descriptor[];
}

/**
 * Which TAP queues serve which netdev. QEMU tells the number of a descriptor that it was given, and the
 * name of an interface that it opened itself; the kernel tells the name behind each number.
 *
 * @throws {QmpError} when the connection ends meanwhile
 */
export async function readTapNetdevs(
  connection: QmpConnection,
  descriptors: readonly Descriptor[],
): Promise<TapNetdevs> {
  return matchTaps(await queryNetworkLines(connection), descriptors);
}

/** One line of HMP `info network`: a queue of a back end. */
export interface NetworkLine {
  readonly id: string;
  readonly options: ReadonlyMap<string, string>;
}

/** Pure part of {@link readTapNetdevs}. */
export function matchTaps(
  lines: readonly NetworkLine[],
  descriptors: readonly Descriptor[],
): TapNetdevs {
  const queues = descriptors.filter(({ tap }) => tap !== undefined);
  const byId = new Map<string, NetworkLine[]>();
  for (const line of lines) {
    if (line.options.get('type') !== 'tap') continue;
    byId.set(line.id, [...(byId.get(line.id) ?? []), line]);
  }
  const taken = new Set<number>();
  const found = new Map<string, TapNetdev>();
  // First what is told by number, so that a name needs to look among the rest only.
  for (const [id, own] of byId) {
    const fds = inOrder(own).map(({ options }) => Number(options.get('fd') ?? NaN));
    const opened = fds.map((fd) => queues.find((queue) => queue.fd === fd));
    const ifname = opened[0]?.tap;
    if (ifname === undefined || opened.some((queue) => queue?.tap !== ifname)) continue;
    fds.forEach((fd) => taken.add(fd));
    found.set(id, { id, ifname, fds });
  }
  for (const [id, own] of byId) {
    const ifname = own[0]?.options.get('ifname');
    if (found.has(id) || ifname === undefined) continue;
    // QEMU opens the queues one after the other.
    const fds = queues
      .filter(({ fd, tap }) => tap === ifname && !taken.has(fd))
      .map(({ fd }) => fd);
    if (fds.length !== own.length) continue;
    fds.forEach((fd) => taken.add(fd));
    found.set(id, { id, ifname, fds });
  }
  // A helper or a bridge opened it: what is left can be only that, where one of each is left.
  const left = [...byId.keys()].filter((id) => !found.has(id));
  const rest = queues.filter(({ fd }) => !taken.has(fd));
  const names = new Set(rest.map(({ tap }) => tap));
  const [last] = left;
  const [name] = names;
  if (
    last !== undefined &&
    name !== undefined &&
    left.length === 1 &&
    names.size === 1 &&
    byId.get(last)?.length === rest.length
  ) {
    rest.forEach(({ fd }) => taken.add(fd));
    found.set(last, { id: last, ifname: name, fds: rest.map(({ fd }) => fd) });
  }
  return {
    netdevs: [...byId.keys()].flatMap((id) => found.get(id) ?? []),
    unresolved: [...byId.keys()].filter((id) => !found.has(id)),
    loose: queues.filter(({ fd }) => !taken.has(fd)),
  };
}

/** By `index`, which is the number of the queue. */
function inOrder(lines: readonly NetworkLine[]): readonly NetworkLine[] {
  const index = ({ options }: NetworkLine): number => Number(options.get('index') ?? 0);
  return [...lines].sort((a, b) => index(a) - index(b));
}
