import type { QmpConnection, Reservation } from '../qmp/connection';
import { QmpClosedError, QmpCommandError } from '../qmp/errors';
import type { JsonObject, JsonValue } from '../qmp/json';
import { FdPassError } from './errors';
import { likeArguments, type ProcessId } from './lines';
import { askPeer, type PeerCredentials } from './peer';
import { runHelper } from './process';
import { inGlobalOrder, takeTurns } from './turns';
import { judge, type Sent } from './verdict';

export { FdPassError, permissionAdvice, type FdPassReason } from './errors';
export type { PeerCredentials } from './peer';
export type { ProcessId } from './lines';

export interface FdPassOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds for all of it, waiting and QEMU's answers included; default 5000. */
  readonly timeoutMs?: number;
}

/** A name that a QEMU is to know a descriptor by, on that connection's monitor. */
export interface NamedDescriptor {
  readonly connection: QmpConnection;
  readonly fdname: string;
}

export type DescriptorCommand =
  | { readonly command: 'getfd'; readonly fdname: string }
  | { readonly command: 'add-fd'; readonly fdsetId?: number; readonly opaque?: string };

export interface TapRequest {
  readonly ifname: string;
  /** One for each queue. */
  readonly fdnames: readonly string[];
  readonly multiQueue?: boolean;
  readonly vnetHdr?: boolean;
}

/** What another process has open. */
export interface RemoteDescriptor {
  readonly process: ProcessId;
  readonly fd: number;
  /** The TAP that it has to be a queue of. */
  readonly ifname: string;
}

/** One command, with one descriptor, on one connection. */
interface Delivery {
  readonly connection: QmpConnection;
  readonly command: string;
  readonly args: JsonObject;
}

/** A delivery whose wire is ours. */
interface Prepared extends Delivery {
  readonly reservation: Reservation;
}

const defaultTimeoutMs = 5000;
/** For taking names back after a failure. */
const cleanUpMs = 1000;

/**
 * Hands descriptors to QEMUs through the helper program. Each method either did all of it, or
 * rejects with {@link FdPassError} and takes back what it can.
 */
export class FdPassHelper {
  /** Absolute. */
  readonly path: string;

  /** `path` is absolute, of a helper that was looked at before; see `locateHelper`. */
  constructor(path: string) {
    this.path = path;
  }

  /** Makes a `socketpair` and gives each QEMU one end of it. */
  async pair(a: NamedDescriptor, b: NamedDescriptor, options: FdPassOptions = {}): Promise<void> {
    if (a.connection === b.connection) {
      throw new FdPassError('sameConnection', 'a pair needs two connections');
    }
    const bounds = new Bounds(options);
    const deliveries = [a, b].map(({ connection, fdname }) => getfd(connection, fdname));
    await this.deliver(deliveries, ['pair'], [], bounds);
  }

  /** Gives QEMU a duplicate of our descriptor `fd`; resolves with QEMU's answer. */
  async sendDescriptor(
    connection: QmpConnection,
    what: DescriptorCommand,
    fd: number,
    options: FdPassOptions = {},
  ): Promise<JsonValue> {
    const delivery =
      what.command === 'getfd' ? getfd(connection, what.fdname) : addFd(connection, what);
    const [reply = null] = await this.deliver([delivery], ['send'], [fd], new Bounds(options));
    return reply;
  }

  /** Opens queues of a TAP interface (made if it is not there) and gives them to QEMU, in order. */
  async openTap(
    connection: QmpConnection,
    { ifname, fdnames, multiQueue = fdnames.length > 1, vnetHdr = false }: TapRequest,
    options: FdPassOptions = {},
  ): Promise<void> {
    const bounds = new Bounds(options);
    const flags = [...(multiQueue ? ['--multi-queue'] : []), ...(vnetHdr ? ['--vnet-hdr'] : [])];
    const given: string[] = [];
    try {
      // One run each: the next descriptor may go only when QEMU has taken the last.
      for (const fdname of fdnames) {
        await this.deliver([getfd(connection, fdname)], ['tap', ifname, ...flags], [], bounds);
        given.push(fdname);
      }
    } catch (error) {
      await Promise.all(given.map((fdname) => closeName(connection, fdname)));
      throw error;
    }
  }

  /**
   * Gives QEMU a duplicate of a TAP queue that another process has open. Both then read from the
   * same queue: see `TapGuard` for what the other process must be kept from.
   */
  async adoptDescriptor(
    connection: QmpConnection,
    fdname: string,
    { process, fd, ifname }: RemoteDescriptor,
    options: FdPassOptions = {},
  ): Promise<void> {
    const verb = ['adopt', ...likeArguments(process), '--from', `${fd}:${ifname}`];
    await this.deliver([getfd(connection, fdname)], verb, [], new Bounds(options));
  }

  /**
   * Whom the kernel names as the other end of a connection: the process that called `listen`. Of
   * QEMUs that libvirt starts that is libvirt.
   */
  async peer(connection: QmpConnection, options: FdPassOptions = {}): Promise<PeerCredentials> {
    const bounds = new Bounds(options);
    const { socket, closeReason } = connection;
    if (socket === undefined || closeReason !== undefined) {
      throw new FdPassError('connectionClosed', 'there is no connection to look at');
    }
    return askPeer(this.path, socket, bounds.signal).catch((error: unknown) => {
      throw bounds.explain(error);
    });
  }

  /** Has the helper send these at once. `inherited` is the descriptor to send of each, if it is ours. */
  private async deliver(
    deliveries: readonly Delivery[],
    verb: readonly string[],
    inherited: readonly number[],
    bounds: Bounds,
  ): Promise<JsonValue[]> {
    const connections = deliveries.map(({ connection }) => connection);
    const endTurns = await takeTurns(connections, bounds.signal).catch((error: unknown) => {
      throw bounds.explain(error);
    });
    try {
      const prepared = await prepare(deliveries, bounds);
      const sent = await this.send(prepared, verb, inherited, bounds);
      return await collect(prepared, sent, bounds);
    } finally {
      endTurns();
    }
  }

  /** Runs the helper and gives the wires back. Throws nothing: what went wrong is in the replies. */
  private async send(
    prepared: readonly Prepared[],
    verb: readonly string[],
    inherited: readonly number[],
    bounds: Bounds,
  ): Promise<readonly Sent[]> {
    const messages = prepared.map(({ reservation }) => reservation.message);
    const couples = messages.flatMap((message, index) => [
      ...['--to', String(3 + index), message.toString()],
      ...(inherited[index] === undefined ? [] : ['--fd', String(3 + messages.length + index)]),
    ]);
    const timeout = ['--timeout-ms', String(bounds.helperTimeoutMs())];
    const end = await runHelper(
      this.path,
      [...verb, ...timeout, ...couples],
      [...prepared.map(({ reservation }) => reservation.socket), ...inherited],
      bounds.signal,
    );
    const verdict = judge(
      end,
      messages.map((message) => message.length),
    );
    const error = verdict.error === undefined ? undefined : bounds.explain(verdict.error);
    bounds.failure = error;
    prepared.forEach(({ reservation }, index) => {
      reservation.release(verdict.sent[index] ?? 'unknown', error);
    });
    return verdict.sent;
  }
}

/** Reserves all wires, in the global order; none of them if one cannot be had. */
async function prepare(deliveries: readonly Delivery[], bounds: Bounds): Promise<Prepared[]> {
  const prepared = new Map<Delivery, Prepared>();
  try {
    for (const delivery of inGlobalOrder(deliveries)) {
      const { connection, command, args } = delivery;
      const options = { signal: bounds.signal, timeoutMs: Infinity };
      const reservation = await connection.reserve(command, args, options);
      prepared.set(delivery, { ...delivery, reservation });
    }
  } catch (error) {
    const explained = bounds.explain(error);
    for (const { reservation } of prepared.values()) reservation.release('none', explained);
    throw explained;
  }
  return deliveries.flatMap((delivery) => prepared.get(delivery) ?? []);
}

/** Waits for all answers. Unless all are good, takes back the names that were given. */
async function collect(
  prepared: readonly Prepared[],
  sent: readonly Sent[],
  bounds: Bounds,
): Promise<JsonValue[]> {
  const settled = await Promise.allSettled(prepared.map(({ reservation }) => reservation.reply));
  const failed = settled.find((result) => result.status === 'rejected');
  if (failed === undefined && bounds.failure === undefined) {
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }
  await Promise.all(
    prepared.map(async ({ connection, command, args }, index) => {
      const result = settled[index];
      const refused = result?.status === 'rejected' && result.reason instanceof QmpCommandError;
      const { fdname } = args;
      if (command !== 'getfd' || sent[index] !== 'all' || refused) return;
      if (typeof fdname === 'string') await closeName(connection, fdname);
    }),
  );
  throw bounds.failure ?? bounds.explain(failed?.reason);
}

/** Names outlive the connection that brought them: what is not used must be closed. */
async function closeName(connection: QmpConnection, fdname: string): Promise<void> {
  try {
    await connection.execute('closefd', { fdname }, { timeoutMs: cleanUpMs });
  } catch {
    // QEMU is gone and the name with it, or it stands still and will read this when it goes on.
  }
}

function getfd(connection: QmpConnection, fdname: string): Delivery {
  return { connection, command: 'getfd', args: { fdname } };
}

function addFd(
  connection: QmpConnection,
  { fdsetId, opaque }: Extract<DescriptorCommand, { command: 'add-fd' }>,
): Delivery {
  const args = {
    ...(fdsetId === undefined ? {} : { 'fdset-id': fdsetId }),
    ...(opaque === undefined ? {} : { opaque }),
  };
  return { connection, command: 'add-fd', args };
}

/** The caller's signal and the deadline, as one signal, and what an error means in their light. */
class Bounds {
  readonly signal: AbortSignal;
  /** What the helper failed of. */
  failure: FdPassError | undefined;
  private readonly callerSignal: AbortSignal | undefined;
  private readonly timeoutMs: number;
  private readonly deadline: number;

  constructor({ signal, timeoutMs = defaultTimeoutMs }: FdPassOptions) {
    this.callerSignal = signal;
    this.timeoutMs = timeoutMs;
    this.deadline = performance.now() + timeoutMs;
    const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
    this.signal = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  }

  /** What is left, less a moment, so that the helper tells of a full socket before we stop it. */
  helperTimeoutMs(): number {
    const left = Math.floor(this.deadline - performance.now()) - 50;
    return Math.min(600_000, Math.max(1, left));
  }

  explain(error: unknown): FdPassError {
    if (error instanceof FdPassError) {
      // Being stopped by us is no reason of its own.
      const stopped = error.reason === 'interrupted' || error.reason === 'crashed';
      return (stopped && this.overrun(error, error)) || error;
    }
    const message = error instanceof Error ? error.message : String(error);
    const details = { cause: error };
    if (error instanceof QmpCommandError) return new FdPassError('refused', message, details);
    if (error instanceof QmpClosedError) {
      return new FdPassError('connectionClosed', message, details);
    }
    return this.overrun(error) ?? new FdPassError('badDestination', message, details);
  }

  /** The error for a caller that gave up, or a deadline that is over; undefined if neither is so. */
  private overrun(cause: unknown, end?: FdPassError): FdPassError | undefined {
    const { exitCode, signal, stderr } = end ?? {};
    const details = { cause, exitCode, signal, stderr };
    if (this.callerSignal?.aborted === true) {
      return new FdPassError('aborted', 'the caller gave up', details);
    }
    if (!this.signal.aborted) return undefined;
    return new FdPassError('timeout', `not done within ${this.timeoutMs} ms`, details);
  }
}
