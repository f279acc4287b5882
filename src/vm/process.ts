import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import type { QemuProcess } from './types';

/** Where the kernel's process files are; another folder in tests. */
export const defaultProcRoot = '/proc';

/** The directory that a process's relative paths start from; `/` when we may not know. */
export async function readCwd(pid: number, procRoot = defaultProcRoot): Promise<string> {
  return readlink(path.join(procRoot, String(pid), 'cwd')).catch(() => '/');
}

/** With all links followed; the path itself where that cannot be done. */
export async function realPath(file: string): Promise<string> {
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

/** A file of `/proc` as text; empty when it is gone or not ours to read. */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}
