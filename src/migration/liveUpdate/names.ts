import { chmod, chown, lstat, open, readFile, rename, rm } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { findListener } from '../../vm/listener';
import { isSameProcess, readProcess } from '../../vm/process';
import type { QemuProcess } from '../../vm/types';
import type { FileIdentity, JournalledPlan } from '../run/journal/updateEntries';

type ProcessKey = Pick<QemuProcess, 'pid' | 'startTicks'>;
export type NameMove = JournalledPlan['moves'][number];
export type PidFile = NonNullable<JournalledPlan['pidFile']>;

/** What is at a path; `undefined`: nothing. */
export async function fileAt(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export async function identityAt(path: string): Promise<FileIdentity | undefined> {
  const found = await fileAt(path).catch(() => undefined);
  return found && { dev: found.dev, ino: found.ino };
}

function isSame(found: Stats, { dev, ino }: FileIdentity): boolean {
  return found.dev === dev && found.ino === ino;
}

/**
 * Gives a path of the new QEMU its old name, once the old QEMU is gone; does nothing where that was
 * done before. Whatever is somebody else's, at either name, is left alone.
 *
 * @returns `undefined` when it is done, else why not, as a sentence
 */
export async function moveName(move: NameMove, target: ProcessKey): Promise<string | undefined> {
  const { what, from, to, old } = move;
  const stays = (why: string): string => `${what} stays at ${from}: ${why}`;
  try {
    const [here, there] = await Promise.all([fileAt(from), fileAt(to)]);
    if (here === undefined) {
      return there !== undefined && (await isMoved(move, there, target))
        ? undefined
        : `${what} is not at ${from} any more, and ${to} does not lead to the new QEMU.`;
    }
    if (here.isSocket()) {
      const owner = await findListener(from);
      if (owner === undefined || !isSameProcess(owner, target)) {
        return stays(`that it is the new QEMU's (pid ${target.pid}) is not proven.`);
      }
    }
    if (there !== undefined) {
      const listener = there.isSocket() ? await findListener(to) : undefined;
      if (listener !== undefined) {
        return stays(`at ${to} another process listens (pid ${listener.pid}).`);
      }
      if (old === undefined || !isSame(there, old)) {
        return stays(`somebody has made another ${to} meanwhile.`);
      }
      // A socket that nobody listens at is of no use; what a file holds is.
      if (!there.isSocket()) await rename(to, await unusedName(to));
    }
    await rename(from, to);
    return undefined;
  } catch (error) {
    return stays(textOf(error));
  }
}

/** A socket keeps the name that it was bound to in the kernel's table, wherever it is moved. */
async function isMoved(
  { from, old }: NameMove,
  there: Stats,
  target: ProcessKey,
): Promise<boolean> {
  if (!there.isSocket()) return old === undefined || !isSame(there, old);
  const owner = await findListener(from);
  return owner !== undefined && isSameProcess(owner, target);
}

async function unusedName(path: string): Promise<string> {
  for (let count = 1; ; count += 1) {
    const name = `${path}.old${count === 1 ? '' : `-${count}`}`;
    if ((await fileAt(name)) === undefined) return name;
  }
}

/** The file as it is now, to be written anew when QEMU has removed it. */
export async function readPidFile(path: string): Promise<PidFile | undefined> {
  const found = await fileAt(path).catch(() => undefined);
  if (found?.isFile() !== true) return undefined;
  return { path, mode: found.mode & 0o7777, uid: found.uid, gid: found.gid };
}

/**
 * Writes the new QEMU's process id, with the mode and owner that the file had, whole or not at all.
 *
 * @returns `undefined` when it is done, else why not, as a sentence
 */
export async function writePidFile(
  { path, mode, uid, gid }: PidFile,
  target: ProcessKey,
  source: ProcessKey | undefined,
): Promise<string | undefined> {
  const draft = `${path}.${target.pid}.new`;
  try {
    const found = await fileAt(path);
    if (found?.isFile() === false) return `${path} was not written: it is no file any more.`;
    const named = Number((await readFile(path, 'utf8').catch(() => '')).trim());
    const isStranger = named > 0 && named !== target.pid && named !== source?.pid;
    if (isStranger && (await readProcess(named)) !== undefined) {
      return `${path} was not written: it names another process that runs (pid ${named}).`;
    }
    await rm(draft, { force: true });
    const file = await open(draft, 'wx', mode);
    try {
      await file.writeFile(`${target.pid}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    const made = await lstat(draft);
    if (made.uid !== uid || made.gid !== gid) await chown(draft, uid, gid);
    await chmod(draft, mode);
    await rename(draft, path);
    return undefined;
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    return `${path} was not written, the new QEMU's pid is ${target.pid}: ${textOf(error)}`;
  }
}

/**
 * Removes what a target of ours that is gone has left at its own paths.
 *
 * @returns what could not be removed, as sentences
 */
export async function removeOwnPaths(paths: readonly string[]): Promise<readonly string[]> {
  const left: string[] = [];
  for (const path of new Set(paths)) {
    try {
      const found = await fileAt(path);
      if (found === undefined) continue;
      const listener = found.isSocket() ? await findListener(path) : undefined;
      if (listener === undefined) await rm(path);
      else left.push(`${path} was not removed: a process listens there (pid ${listener.pid}).`);
    } catch (error) {
      left.push(`${path} was not removed: ${textOf(error)}`);
    }
  }
  return left;
}

export function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
