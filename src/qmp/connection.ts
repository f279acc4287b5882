import type net from 'node:net';
import { Emitter, type Event } from './emitter';
import type { CloseReason } from './errors';
import type { JsonObject, JsonValue } from './json';
import type { QmpSchema } from './schema';
import type { QmpTransport } from './transport';

/** QEMU's version as its greeting tells it (QAPI `VersionInfo`). */
export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  readonly package: string;
}

/** One asynchronous QMP event. */
export interface QmpEvent {
  readonly name: string;
  readonly data: JsonObject;
  /** Microseconds since the epoch by the host's wall clock; NaN if QEMU could not read it. */
  readonly timestampUs: number;
}

export interface ConnectOptions {
  signal?: AbortSignal;
  /** Milliseconds to wait for the greeting; default 2000. */
  greetingTimeoutMs?: number;
  /** Largest message accepted, in bytes; default 16 MiB. */
  maxMessageBytes?: number;
  /** Sees each message as text, without its line end. */
  onTraffic?: (direction: 'in' | 'out', text: string) => void;
}

export interface ExecuteOptions {
  /** Milliseconds to wait for the reply; default 30,000. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Send as `exec-oob`. */
  outOfBand?: boolean;
}

/**
 * For a helper process that writes this command itself, with descriptors attached: the connection's
 * outgoing queue is drained, then held, until release. Commands executed meanwhile wait in the
 * queue; replies and events are read on.
 */
export interface Reservation {
  /** To be inherited by the child; call `resume()` on it right after the spawn. */
  readonly socket: net.Socket;
  /** The exact bytes to send, id included, newline-terminated. */
  readonly message: Buffer;
  readonly reply: Promise<JsonValue>;
  /**
   * 'all': the reply will come. 'none': nothing was written; the reply rejects with `error` and the
   * connection goes on. 'unknown': maybe part of it; the connection is closed, since QEMU's parser
   * may be inside an open object. Idempotent.
   */
  release(sent: 'all' | 'none' | 'unknown', error?: Error): void;
}

export class QmpConnection {
  readonly path: string;
  readonly version: QmpVersion;
  /** Out-of-band execution was offered and negotiated. */
  readonly outOfBand: boolean;
  readonly onEvent: Event<QmpEvent>;
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseReason>;

  private constructor(path: string, version: QmpVersion) {
    this.path = path;
    this.version = version;
    this.outOfBand = false;
    this.onEvent = new Emitter<QmpEvent>().event;
    this.closed = Promise.reject(new Error('not yet'));
  }

  static connect(path: string, options: ConnectOptions = {}): Promise<QmpConnection> {
    return Promise.reject(new Error(`not yet: ${path} ${typeof options}`));
  }

  static open(
    transport: QmpTransport,
    path: string,
    options: ConnectOptions = {},
  ): Promise<QmpConnection> {
    return Promise.reject(new Error(`not yet: ${path} ${typeof options} ${typeof transport}`));
  }

  get closeReason(): CloseReason | undefined {
    return undefined;
  }

  execute(command: string, args?: JsonObject, options: ExecuteOptions = {}): Promise<JsonValue> {
    return Promise.reject(new Error(`not yet: ${command} ${typeof args} ${typeof options}`));
  }

  schema(): Promise<QmpSchema> {
    return Promise.reject(new Error('not yet'));
  }

  reserve(command: string, args: JsonObject, options: ExecuteOptions = {}): Promise<Reservation> {
    return Promise.reject(new Error(`not yet: ${command} ${typeof args} ${typeof options}`));
  }

  close(): void {
    throw new Error('not yet');
  }
}
