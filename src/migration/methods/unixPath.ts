import { randomBytes } from 'node:crypto';
import { chown, mkdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { MachineHandle } from '../../vm/types';
import type { Announce, Channel } from './channel';

/**
 * A UNIX socket of its own in a new directory of mode 0700. The target listens there and removes
 * the socket itself; the directory is removed when the channel closes.
 *
 * When we are root and the QEMUs are not, the directory is given to their user: they have to enter.
 */
export async function openUnixPath(target: MachineHandle, announce: Announce): Promise<Channel> {
  const name = `${prefix}${randomBytes(9).toString('hex')}`;
  const directory = path.join(baseDirectory(), name);
  await announce({ transport: 'unix', directory });
  // Fails if it is there: nobody can have put anything in its place.
  await mkdir(directory, { mode: 0o700 });
  const close = (): Promise<void> => removeDirectory(directory);
  const owner = target.snapshot.process?.uid;
  if (owner !== undefined && owner !== process.getuid?.()) {
    try {
      await chown(directory, owner, -1);
    } catch (error) {
      await close();
      throw error;
    }
  }
  return { ...unixPathOf(directory), close };
}

const prefix = 'qemu-migration-';

/** The channel that {@link openUnixPath} announced, in the hands of another process. */
export function unixPathOf(directory: string): Channel {
  return {
    uri: `unix:${path.join(directory, 'migration.sock')}`,
    // What a journal names is removed only if it looks like ours.
    close: async () => {
      const ours = path.isAbsolute(directory) && path.basename(directory).startsWith(prefix);
      if (ours) await removeDirectory(directory);
    },
  };
}

async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true }).catch(() => undefined);
}

/** Short enough for a socket's 107 bytes, and seen by the QEMUs as well as by us. */
function baseDirectory(): string {
  const temporary = os.tmpdir();
  return Buffer.byteLength(temporary) > 60 ? '/tmp' : temporary;
}
