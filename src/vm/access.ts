import { constants, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { defaultProcRoot, readText } from './process';

/** Who a process is to the file system. */
export interface Credentials {
  readonly uid: number;
  /** Its own group and all others that it is in. */
  readonly gids: ReadonlySet<number>;
}

/** `undefined` when the process is gone, or not ours to look at. */
export async function readCredentials(
  pid: number,
  procRoot = defaultProcRoot,
): Promise<Credentials | undefined> {
  const status = await readText(path.join(procRoot, String(pid), 'status'));
  const numbers = (name: string): number[] =>
    (new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '')
      .split(/\s+/)
      .filter((each) => each !== '')
      .map(Number);
  // Real, effective, saved, and the one that counts for files.
  const uid = numbers('Uid')[3];
  const gid = numbers('Gid')[3];
  if (uid === undefined || gid === undefined) return undefined;
  return { uid, gids: new Set([gid, ...numbers('Groups')]) };
}

/**
 * Whether that user may do it, by the bits of the mode alone; lists of access rights and what a
 * security module forbids are not looked at.
 *
 * @param wanted of `R_OK`, `W_OK`, `X_OK`
 */
export function mayAccess(
  file: Pick<Stats, 'mode' | 'uid' | 'gid' | 'isDirectory'>,
  who: Credentials,
  wanted: number,
): boolean {
  if (who.uid === 0) {
    return (wanted & constants.X_OK) === 0 || file.isDirectory() || (file.mode & 0o111) !== 0;
  }
  const shift = file.uid === who.uid ? 6 : who.gids.has(file.gid) ? 3 : 0;
  return ((file.mode >> shift) & wanted) === wanted;
}

/** The same for a path, with the folders on the way to it; `undefined` where we cannot look. */
export async function mayAccessPath(
  file: string,
  who: Credentials,
  wanted: number,
): Promise<boolean | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!mayAccess(found, who, wanted)) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const above = await stat(folder).catch(() => undefined);
    if (above === undefined) return undefined;
    if (!mayAccess(above, who, constants.X_OK)) return false;
    if (folder === path.dirname(folder)) return true;
  }
}
