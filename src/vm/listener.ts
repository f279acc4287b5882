import path from 'node:path';
import { defaultProcRoot, readCwd, readProcess, readText, realPath } from './process';
import { SocketHolders } from './socketHolders';
import type { QemuProcess } from './types';

const acceptingConnections = '00010000';
const unconnected = '01';

const holders = new SocketHolders();

/**
 * The process that listens on a UNIX socket path, from the socket's inode in `/proc/net/unix` and
 * the holder of that inode in `/proc/PID/fd`. `undefined` when it cannot be told: another user's
 * process, another mount or network namespace, a path that two listen on (QEMU takes one over
 * without a word, and both stay in the table), no `/proc`.
 */
export async function findListener(
  socketPath: string,
  procRoot = defaultProcRoot,
): Promise<QemuProcess | undefined> {
  const real = await realPath(socketPath);
  const names = [path.basename(socketPath), path.basename(real)];
  const exact = new Map<string, string>();
  const relative = new Map<string, string>();
  for (const [link, file] of listeners(await readText(path.join(procRoot, 'net/unix')))) {
    if (!names.includes(path.basename(file))) continue;
    if (!path.isAbsolute(file)) relative.set(link, file);
    // Bound by another way to the same file, such as `/var/run` for `/run`.
    else if (file === socketPath || (await realPath(file)) === real) exact.set(link, file);
  }
  if (exact.size > 1) return undefined;
  const wanted = exact.size === 1 ? exact : relative;
  for (const [link, pid] of await holders.find([...wanted.keys()], procRoot)) {
    const file = wanted.get(link) ?? '';
    const cwd = await readCwd(pid, procRoot);
    if (path.isAbsolute(file) || (await realPath(path.resolve(cwd, file))) === real) {
      return readProcess(pid, procRoot);
    }
  }
  return undefined;
}

/** Sockets that listen: by their link in `/proc/PID/fd`, the path that they were bound to. */
function listeners(table: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of table.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path; the path may hold spaces.
    const [, flags, state, inode, file] =
      /^\S+ +\S+ +\S+ +(\S+) +\S+ +(\S+) +(\d+) (.+)$/.exec(line.trimStart()) ?? [];
    if (flags !== acceptingConnections || state !== unconnected) continue;
    if (inode !== undefined && file !== undefined) found.set(`socket:[${inode}]`, file);
  }
  return found;
}
