import type net from 'node:net';
import * as z from 'zod/mini';
import { digits, readEnd } from './lines';
import { runHelper } from './process';

/** What the kernel says of the other end of a connected UNIX socket (`SO_PEERCRED`). */
export interface PeerCredentials {
  /** Of the process that called `listen`; 0 when it is in a PID namespace that we do not see. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Of that very process; `undefined` when it has ended. */
  readonly startTicks: bigint | undefined;
  /** The kernel keeps hold of the process, not only of its pid (`SO_PEERPIDFD`, Linux 6.5). */
  readonly exact: boolean;
  /** The other end's socket, as `/proc/PID/fd` names it: whoever has it is who answers. */
  readonly socketLink: string | undefined;
}

const count = z.int().check(z.gte(0));
const report = z.object({
  ok: z.literal(true),
  verb: z.literal('peer'),
  peers: z.tuple([
    z.object({
      pid: count,
      uid: count,
      gid: count,
      exact: z.boolean(),
      startTicks: z.nullable(digits),
      socketInode: z.nullable(digits),
    }),
  ]),
});

/** @throws {FdPassError} */
export async function askPeer(
  path: string,
  socket: net.Socket,
  signal: AbortSignal,
): Promise<PeerCredentials> {
  const end = await runHelper(path, ['peer', '--from', '3'], [socket], signal);
  const [{ startTicks, socketInode, ...peer }] = readEnd(end, report).peers;
  return {
    ...peer,
    startTicks: startTicks === null ? undefined : BigInt(startTicks),
    socketLink: socketInode === null ? undefined : `socket:[${socketInode}]`,
  };
}
