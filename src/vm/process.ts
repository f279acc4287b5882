import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import type { QemuProcess } from './types';

/** Where the kernel's process files are; another folder in tests. */
const defaultProcRoot = '/proc';

const acceptingConnections = '00010000';
const unconnected = '01';

/**
 * The process that listens on a UNIX socket path, from the socket's inode in `/proc/net/unix` and
 * the holder of that inode in `/proc/PID/fd`. `undefined` when it cannot be told: another user's
 * process, another mount or network namespace, no `/proc`.
 */
export async function findListener(
  socketPath: string,
  procRoot = defaultProcRoot,
): Promise<QemuProcess | undefined> {
  const inodes = listenerInodes(await readText(path.join(procRoot, 'net/unix')), socketPath);
  if (inodes.size === 0) return undefined;
  for (const pid of await listPids(procRoot)) {
    if (await holdsSocket(procRoot, pid, inodes)) return readProcess(pid, procRoot);
  }
  return undefined;
}

function listenerInodes(table: string, socketPath: string): ReadonlySet<string> {
  const inodes = new Set<string>();
  for (const line of table.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, , , flags, , state, inode, ...rest] = line.trim().split(/ +/);
    if (flags !== acceptingConnections || state !== unconnected || inode === undefined) continue;
    if (rest.join(' ') === socketPath) inodes.add(`socket:[${inode}]`);
  }
  return inodes;
}

async function holdsSocket(
  procRoot: string,
  pid: number,
  inodes: ReadonlySet<string>,
): Promise<boolean> {
  const directory = path.join(procRoot, String(pid), 'fd');
  try {
    for (const fd of await readdir(directory)) {
      if (inodes.has(await readlink(path.join(directory, fd)))) return true;
    }
  } catch {
    // Another user's process, or one that ended meanwhile.
  }
  return false;
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
