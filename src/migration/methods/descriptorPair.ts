import { randomBytes } from 'node:crypto';
import { FdPassHelper } from '../../fdpass/helper';
import type { HelperLocation } from '../../fdpass/locate';
import { untilReady } from '../../vm/ready';
import type { MachineHandle } from '../../vm/types';
import type { Announce, Channel } from './channel';

/** The helper that hands over descriptors is not there. */
export class HelperMissingError extends Error {
  override readonly name = 'HelperMissingError';
  readonly location: Extract<HelperLocation, { kind: 'missing' }>;

  constructor(location: Extract<HelperLocation, { kind: 'missing' }>) {
    super(location.sentence);
    this.location = location;
  }
}

/**
 * One end each of a `socketpair`, handed to both QEMUs with `getfd`: nothing on the file system.
 * A socketpair, never a pipe: over a pipe the return path fails and both guests run.
 *
 * @throws {HelperMissingError}
 * @throws {FdPassError} then neither side keeps a descriptor
 */
export async function openDescriptorPair(
  source: MachineHandle,
  target: MachineHandle,
  location: HelperLocation,
  signal: AbortSignal,
  announce: Announce,
): Promise<Channel> {
  if (location.kind === 'missing') throw new HelperMissingError(location);
  const fdname = `qemu-migration-${randomBytes(6).toString('hex')}`;
  await announce({ transport: 'fd', name: fdname });
  const helper = new FdPassHelper(location.path);
  await helper.pair(
    { connection: source.connection(), fdname },
    { connection: target.connection(), fdname },
    { signal },
  );
  return descriptorPairOf(fdname, source, target);
}

/** The channel that {@link openDescriptorPair} announced, in the hands of another process. */
export function descriptorPairOf(
  fdname: string,
  source: MachineHandle,
  target: MachineHandle,
): Channel {
  return {
    uri: `fd:${fdname}`,
    close: async () => {
      await Promise.all([source, target].map((machine) => closeFd(machine, fdname)));
    },
  };
}

/**
 * A name that `migrate` used is gone already, and a QEMU that is gone needs nothing. Names outlive the
 * connection: one that was just lost is waited for.
 */
async function closeFd(machine: MachineHandle, fdname: string): Promise<void> {
  if (!(await untilReady(machine))) return;
  try {
    await machine.connection().execute('closefd', { fdname }, { timeoutMs: 2000 });
  } catch {
    // Used up, or the QEMU is gone.
  }
}
