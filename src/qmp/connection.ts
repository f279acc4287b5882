import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CallSite, withCallers } from './callSite';
import type { Event } from './emitter';
import { QmpConnectError, QmpProtocolError, QmpTimeoutError, type CloseReason } from './errors';
import type { JsonObject, JsonValue } from './json';
import type { QmpEvent, QmpGreeting, QmpVersion } from './messages';
import type { ConnectOptions, ExecuteOptions } from './options';
import { reserve, type Reservation } from './reservation';
import { QmpSchema } from './schema';
import { connectUnixSocket, type QmpTransport } from './transport';
import { Turns } from './turns';
import { Wire } from './wire';

export type { QmpEvent, QmpVersion } from './messages';
export type { ConnectOptions, ExecuteOptions } from './options';
export type { Reservation } from './reservation';

const defaultGreetingTimeoutMs = 2000;
const defaultOptions: ExecuteOptions = {};

/**
 * One negotiated connection to a QMP monitor. It lives once: when it has ended, make another.
 *
 * A monitor serves one client at a time, so a connection keeps all others out.
 */
export class QmpConnection {
  readonly path: string;
  readonly version: QmpVersion;
  /** Out-of-band execution was offered and negotiated. */
  readonly outOfBand: boolean;
  /** Fires for each event, in the order of the wire. */
  readonly onEvent: Event<QmpEvent>;
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseReason>;

  private readonly wire: Wire;
  private readonly turns = new Turns();
  private schemaRead: Promise<QmpSchema> | undefined;

  private constructor(wire: Wire, path: string, greeting: QmpGreeting) {
    this.wire = wire;
    this.path = path;
    this.version = greeting.version;
    this.outOfBand = offersOob(greeting);
    this.onEvent = wire.events.event;
    this.closed = wire.closed;
  }

  /** Connects to a monitor's UNIX socket and negotiates. Rejects with `QmpConnectError`. */
  static async connect(path: string, options: ConnectOptions = {}): Promise<QmpConnection> {
    const transport = await connectWithPatience(path, options);
    return QmpConnection.open(transport, path, options);
  }

  /**
   * Waits for the greeting on `transport` and negotiates. `path` is for error messages. Rejects with
   * `QmpConnectError`; the transport is closed then.
   */
  static async open(
    transport: QmpTransport,
    path: string,
    options: ConnectOptions = {},
  ): Promise<QmpConnection> {
    const wire = new Wire(transport, options);
    return new QmpConnection(wire, path, await negotiate(wire, path, options));
  }

  /** Why the connection ended; undefined while it is open. */
  get closeReason(): CloseReason | undefined {
    return this.wire.closeReason;
  }

  /**
   * Runs one command and resolves with its `return` value. Any number may be in flight.
   *
   * Rejects with `QmpCommandError` (QEMU refused), `QmpTimeoutError`, `QmpAbortedError`,
   * `QmpClosedError`, or a plain `QmpError` for arguments that cannot be sent as JSON.
   */
  async execute(
    command: string,
    args?: JsonObject,
    options: ExecuteOptions = defaultOptions,
  ): Promise<JsonValue> {
    try {
      return await this.wire.execute(command, args, options, undefined);
    } catch (error) {
      throw withCallers(error);
    }
  }

  /** What this QEMU offers (`query-qmp-schema`), asked for once and then remembered. */
  schema(): Promise<QmpSchema> {
    if (this.schemaRead === undefined) {
      const read = this.execute('query-qmp-schema').then((reply) => QmpSchema.parse(reply));
      this.schemaRead = read;
      // A failure is not worth remembering: the next caller may ask again.
      read.catch(() => (this.schemaRead = undefined));
    }
    return this.schemaRead;
  }

  /**
   * Reserves the wire for one command that another process writes; see {@link Reservation}. A second
   * call waits for the first one's release. The command's time-out starts at release. Rejects as
   * {@link execute} does, and with `QmpError` over a transport without a socket.
   */
  reserve(
    command: string,
    args: JsonObject,
    options: ExecuteOptions = defaultOptions,
  ): Promise<Reservation> {
    return reserve(this.wire, this.turns, command, args, options, new CallSite());
  }

  /**
   * The connected socket itself, for a child process that only looks at it; whoever hands it over
   * calls `resume()` on it right after the spawn. `undefined` over a transport without one.
   */
  get socket(): net.Socket | undefined {
    return this.wire.transport.socket;
  }

  /** Ends the connection at once. Commands in flight fail; QEMU may still carry them out. */
  close(): void {
    this.wire.finish({ kind: 'closed-by-us' });
  }
}

/** Exchanges greeting and `qmp_capabilities`. Ends the wire if that fails. */
async function negotiate(wire: Wire, path: string, options: ConnectOptions): Promise<QmpGreeting> {
  const timeoutMs = options.greetingTimeoutMs ?? defaultGreetingTimeoutMs;
  const { signal } = options;
  const onAbort = (): void => wire.finish({ kind: 'closed-by-us' });
  const onTimeout = (): void => wire.finish({ kind: 'greeting-timeout', timeoutMs });
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const timer = setTimeout(onTimeout, timeoutMs);
  let cause: unknown;
  try {
    const greeting = await Promise.race([wire.greeting, wire.closed.then(() => undefined)]);
    clearTimeout(timer);
    if (greeting !== undefined) {
      const args = offersOob(greeting) ? { enable: ['oob'] } : undefined;
      await wire.execute('qmp_capabilities', args, { timeoutMs }, new CallSite());
      return greeting;
    }
  } catch (error) {
    cause = error;
    if (error instanceof QmpTimeoutError) onTimeout();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
  throw connectError(wire, path, signal?.aborted === true ? signal.reason : cause);
}

function connectError(wire: Wire, path: string, cause: unknown): QmpConnectError {
  // Only a refused qmp_capabilities leaves the wire open.
  const refusal = cause instanceof Error ? cause.message : '';
  const error = new QmpProtocolError('unexpected', 'Refused the negotiation', refusal, { cause });
  wire.finish({ kind: 'protocol-error', error });
  const reason = wire.closeReason ?? { kind: 'closed-by-us' };
  const deeper = cause ?? (reason.kind === 'protocol-error' ? reason.error : undefined);
  return new QmpConnectError(path, reason, deeper === undefined ? {} : { cause: deeper });
}

function offersOob(greeting: QmpGreeting): boolean {
  return greeting.capabilities.includes('oob');
}

/** Milliseconds between attempts while the monitor's queue of waiting clients is full. */
const retryMs = 50;

/**
 * Connects; while the socket's backlog is full, tries again. Linux then answers EAGAIN at once, and
 * it means the same as a greeting that does not come: other clients hold this monitor.
 */
async function connectWithPatience(path: string, options: ConnectOptions): Promise<QmpTransport> {
  const timeoutMs = options.greetingTimeoutMs ?? defaultGreetingTimeoutMs;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await connectUnixSocket(path, options);
    } catch (error) {
      const reason = error instanceof QmpConnectError ? error.closeReason : undefined;
      if (reason?.kind !== 'io-error' || reason.code !== 'EAGAIN') throw error;
      if (performance.now() + retryMs > deadline) {
        throw new QmpConnectError(path, { kind: 'greeting-timeout', timeoutMs }, { cause: error });
      }
    }
    await sleep(retryMs);
  }
}
