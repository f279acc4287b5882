import { randomInt } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, rm, type FileHandle } from 'node:fs/promises';
import { FdPassHelper } from '../../fdpass/helper';
import type { HelperLocation } from '../../fdpass/locate';
import type { JsonObject } from '../../qmp/json';
import type { MachineHandle } from '../../vm/types';
import { HelperMissingError } from './descriptorPair';
import type { Announce } from './channel';
import type { ChannelWhat } from '../run/journal/entries';

export type FileChannel = Extract<ChannelWhat, { transport: 'file' }>;

/** The file of a saved guest cannot be made or opened. */
export class StateFileError extends Error {
  override readonly name = 'StateFileError';
  readonly path: string;

  constructor(path: string, reason: string, cause: unknown) {
    super(reason, { cause });
    this.path = path;
  }
}

/** Tells one file of this host from all others: `device:inode`. */
export function fileIdentity({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`;
}

export interface StateFileWishes {
  /** Absolute. */
  readonly path: string;
  /** Of the helper, when the open file is to be handed over instead of its path. */
  readonly helper?: HelperLocation | undefined;
  readonly signal: AbortSignal;
  readonly announce: Announce;
}

/**
 * Makes the file that a guest is saved to: new, mode 0600, for QEMU's user when we are root and it is
 * not. A file that is there already is never touched. Then nothing but this file can be written by
 * `migrate`, which would overwrite whatever it finds.
 *
 * @throws {StateFileError} then nothing is left behind
 * @throws {HelperMissingError}
 * @throws {FdPassError} then the file is removed, and the announced descriptor set is to be removed
 */
export async function createStateFile(
  machine: MachineHandle,
  { path, helper, signal, announce }: StateFileWishes,
): Promise<FileChannel> {
  const fdset = helper === undefined ? undefined : newFdset();
  const announced: FileChannel = { transport: 'file', path, ...(fdset !== undefined && { fdset }) };
  await announce(announced);
  // For writing alone: QEMU takes from a set only what has exactly the mode that it wants.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await openFile(path, flags, 'made');
  let channel = announced;
  try {
    channel = { ...announced, made: fileIdentity(await handle.stat({ bigint: true })) };
    // From now on whoever takes the run up may remove it.
    await announce(channel);
    const uid = machine.snapshot.process?.uid;
    if (helper !== undefined && fdset !== undefined) {
      await handOver(machine, helper, fdset, handle, signal);
    } else if (uid !== undefined && uid !== process.getuid?.()) await handle.chown(uid, -1);
    return channel;
  } catch (error) {
    await removeStateFile(channel).catch(() => undefined);
    throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Makes a saved guest ready to be read by QEMU.
 *
 * @throws {StateFileError}
 * @throws {HelperMissingError}
 * @throws {FdPassError} then the announced descriptor set is to be removed
 */
export async function openStateFile(
  machine: MachineHandle,
  { path, helper, signal, announce }: StateFileWishes,
): Promise<FileChannel> {
  if (helper === undefined) {
    const channel = { transport: 'file', path } as const;
    await announce(channel);
    return channel;
  }
  const fdset = newFdset();
  const channel = { transport: 'file', path, fdset } as const;
  await announce(channel);
  const handle = await openFile(path, constants.O_RDONLY, 'opened');
  try {
    await handOver(machine, helper, fdset, handle, signal);
    return channel;
  } finally {
    await handle.close();
  }
}

/** The arguments by which `migrate` and `migrate-incoming` are told of the file. */
export function channelsOf({ path, fdset }: FileChannel): JsonObject {
  const filename = fdset === undefined ? path : `/dev/fdset/${fdset}`;
  // Not as a URI, in which a part of the path may be taken for an offset.
  const addr = { transport: 'file', filename, offset: 0 };
  return { channels: [{ 'channel-type': 'main', addr }] };
}

/** Removes the file if it is the very one that a run made. @returns whether it is gone now */
export async function removeStateFile({ path, made }: FileChannel): Promise<boolean> {
  const there = await lstat(path, { bigint: true }).catch(() => undefined);
  if (there === undefined) return true;
  if (made === undefined || fileIdentity(there) !== made) return false;
  await rm(path);
  return true;
}

/** All bytes are on the disk when it resolves; QEMU does not promise it. @returns the file's size */
export async function syncStateFile(path: string): Promise<number> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

async function openFile(path: string, flags: number, what: 'made' | 'opened'): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StateFileError(path, `The file ${path} could not be ${what}: ${why}`, error);
  }
}

/** One that nobody else has chosen: QEMU adds to a set that is there. */
function newFdset(): number {
  return randomInt(1_000_000, 2 ** 31);
}

async function handOver(
  machine: MachineHandle,
  helper: HelperLocation,
  fdsetId: number,
  { fd }: FileHandle,
  signal: AbortSignal,
): Promise<void> {
  if (helper.kind === 'missing') throw new HelperMissingError(helper);
  const what = { command: 'add-fd', fdsetId, opaque: 'qemu-migration' } as const;
  await new FdPassHelper(helper.path).sendDescriptor(machine.connection(), what, fd, { signal });
}
