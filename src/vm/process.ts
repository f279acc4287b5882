import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import type { QemuProcess } from './types';

/** Where the kernel's process files are; another folder in tests. */
const defaultProcRoot = '/proc';

const acceptingConnections = '00010000';
const unconnected = '01';

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
  if (wanted.size === 0) return undefined;
  for (const pid of await listPids(procRoot)) {
    const file = await heldSocket(procRoot, pid, wanted);
    if (file === undefined) continue;
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

/** The bound path of that one of `sockets` which the process holds. */
async function heldSocket(
  procRoot: string,
  pid: number,
  sockets: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  const directory = path.join(procRoot, String(pid), 'fd');
  try {
    for (const fd of await readdir(directory)) {
      const file = sockets.get(await readLinkOfFd(path.join(directory, fd)));
      if (file !== undefined) return file;
    }
  } catch {
    // Another user's process, or one that ended meanwhile.
  }
  return undefined;
}

/** Empty for a descriptor that was closed meanwhile: the others still count. */
async function readLinkOfFd(file: string): Promise<string> {
  return readlink(file).catch(() => '');
}

/** The directory that a process's relative paths start from; `/` when we may not know. */
export async function readCwd(pid: number, procRoot = defaultProcRoot): Promise<string> {
  return readlink(path.join(procRoot, String(pid), 'cwd')).catch(() => '/');
}

/** With all links followed; the path itself where that cannot be done. */
async function realPath(file: string): Promise<string> {
  return realpath(file).catch(() => file);
}

/** All process ids below `procRoot`, unordered; empty where there is no such folder. */
export async function listPids(procRoot = defaultProcRoot): Promise<number[]> {
  try {
    const names = await readdir(procRoot);
    return names.filter((name) => /^\d+$/.test(name)).map(Number);
  } catch {
    return [];
  }
}

/** What `/proc` tells of a process; `undefined` when it is gone (or a zombie). */
export async function readProcess(
  pid: number,
  procRoot = defaultProcRoot,
): Promise<QemuProcess | undefined> {
  const directory = path.join(procRoot, String(pid));
  const startTicks = await readStartTicks(directory);
  if (startTicks === undefined) return undefined;
  const [cmdline, executable, root, owner] = await Promise.all([
    readText(path.join(directory, 'cmdline')),
    readlink(path.join(directory, 'exe')).catch(() => undefined),
    readlink(path.join(directory, 'root')).catch(() => undefined),
    stat(directory).catch(() => undefined),
  ]);
  if (owner === undefined) return undefined;
  return {
    pid,
    startTicks,
    uid: owner.uid,
    executable,
    root,
    args: cmdline.split('\0').slice(0, -1),
  };
}

/** Whether that very process (not another one with a reused pid) still exists and is no zombie. */
export async function isAlive(
  process: Pick<QemuProcess, 'pid' | 'startTicks'>,
  procRoot = defaultProcRoot,
): Promise<boolean> {
  const directory = path.join(procRoot, String(process.pid));
  return (await readStartTicks(directory)) === process.startTicks;
}

/** Whether both are one process, and not two that had the same pid one after the other. */
export function isSameProcess(
  a: Pick<QemuProcess, 'pid' | 'startTicks'>,
  b: Pick<QemuProcess, 'pid' | 'startTicks'>,
): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks;
}

async function readStartTicks(directory: string): Promise<bigint | undefined> {
  const text = await readText(path.join(directory, 'stat'));
  // The name in parentheses may itself hold spaces and parentheses; what follows the last one may not.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const startTime = fields[19];
  if (startTime === undefined || state === 'Z' || state === 'X') return undefined;
  return BigInt(startTime);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}
