import type { FdPassHelper, PeerCredentials } from '../fdpass/helper';
import type { QmpConnection } from '../qmp/connection';
import { looksLikeQemu } from './discovery';
import { findListener } from './listener';
import { defaultProcRoot, isSameProcess, readProcess } from './process';
import { SocketHolders } from './socketHolders';
import type { QemuProcess } from './types';

/** Who answers on a QMP connection, and how that is known. */
export interface PeerFinding {
  /** `undefined` when nothing tells it. */
  readonly process: QemuProcess | undefined;
  /**
   * - `socket`: it holds the other end of this very connection.
   * - `credentials`: it called `listen` on the socket that was connected to, and is a QEMU.
   * - `path`: it listens on a socket that was bound to this path; all there is without a helper.
   */
  readonly by: 'socket' | 'credentials' | 'path' | undefined;
  /**
   * What `/proc/net/unix` tells of the path. It keeps the name that a socket was bound to: after a
   * rename the path is another's there.
   */
  readonly listener: QemuProcess | undefined;
  /** The listener is another process than the one found: the path was renamed, or taken over. */
  readonly disagrees: boolean;
  /** What the kernel says of the other end; `undefined` without a helper that can ask. */
  readonly credentials: PeerCredentials | undefined;
}

const holders = new SocketHolders();

/**
 * Finds the process behind a connection. The other end's holder comes first, then whom the kernel
 * names if it is a QEMU (of an inherited listening socket it names libvirt), then the path. Without a
 * helper, or with one that fails, only the path is left. Never rejects.
 */
export async function findPeer(
  connection: QmpConnection,
  helper: Pick<FdPassHelper, 'peer'> | undefined,
  procRoot = defaultProcRoot,
): Promise<PeerFinding> {
  const [credentials, listener] = await Promise.all([
    helper?.peer(connection, { timeoutMs: 2000 }).catch(() => undefined),
    findListener(connection.path, procRoot).catch(() => undefined),
  ]);
  const found = (process: QemuProcess, by: PeerFinding['by']): PeerFinding => ({
    ...{ process, by, listener, credentials },
    disagrees: listener !== undefined && !isSameProcess(process, listener),
  });
  const holder = credentials && (await holderOf(credentials, procRoot));
  if (holder !== undefined) return found(holder, 'socket');
  const named = credentials && (await namedBy(credentials, procRoot));
  if (named !== undefined) return found(named, 'credentials');
  if (listener !== undefined) return found(listener, 'path');
  return { process: undefined, by: undefined, listener, disagrees: false, credentials };
}

async function holderOf(
  { socketLink }: PeerCredentials,
  procRoot: string,
): Promise<QemuProcess | undefined> {
  if (socketLink === undefined) return undefined;
  const pid = (await holders.find([socketLink], procRoot)).get(socketLink);
  return pid === undefined ? undefined : readProcess(pid, procRoot);
}

async function namedBy(
  { pid, startTicks }: PeerCredentials,
  procRoot: string,
): Promise<QemuProcess | undefined> {
  const process = pid === 0 ? undefined : await readProcess(pid, procRoot);
  if (process === undefined || process.startTicks !== startTicks) return undefined;
  return looksLikeQemu(process) ? process : undefined;
}
