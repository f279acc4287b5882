import { chown, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { MachineHandle } from '../../vm/types';
import type { Channel } from './channel';

/**
 * A UNIX socket of its own in a new directory of mode 0700. The target listens there and removes
 * the socket itself; the directory is removed when the channel closes.
 *
 * When we are root and the QEMUs are not, the directory is given to their user: they have to enter.
 */
export async function openUnixPath(target: MachineHandle): Promise<Channel> {
  const directory = await mkdtemp(path.join(baseDirectory(), 'qemu-migration-'));
  const close = async (): Promise<void> => {
    await rm(directory, { recursive: true, force: true }).catch(() => undefined);
  };
  const owner = target.snapshot.process?.uid;
  if (owner !== undefined && owner !== process.getuid?.()) {
    try {
      await chown(directory, owner, -1);
    } catch (error) {
      await close();
      throw error;
    }
  }
  return { uri: `unix:${path.join(directory, 'migration.sock')}`, close };
}

/** Short enough for a socket's 107 bytes, and seen by the QEMUs as well as by us. */
function baseDirectory(): string {
  const temporary = os.tmpdir();
  return Buffer.byteLength(temporary) > 60 ? '/tmp' : temporary;
}
