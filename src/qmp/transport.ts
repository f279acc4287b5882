import type net from 'node:net';
import type { Event } from './emitter';

/** A two-way stream of bytes to a QMP server. */
export interface QmpTransport {
  /** Sends bytes (a string goes as UTF-8), in order, without waiting. */
  send(bytes: string | Buffer): void;
  /** Resolves when the kernel has taken everything sent so far; never rejects. */
  drain(): Promise<void>;
  /** Ends the stream at once; unsent bytes are lost. `onEnd` fires all the same. */
  close(): void;
  /** Bytes as they come. Nothing is read before the first listener. */
  readonly onData: Event<Buffer>;
  /** The stream ended, once; with the error that ended it, if any. */
  readonly onEnd: Event<Error | undefined>;
  /** The real socket, where there is one. */
  readonly socket?: net.Socket;
}

/** Connects to a UNIX stream socket. Rejects with `QmpConnectError`. */
export function connectUnixSocket(
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<QmpTransport> {
  return Promise.reject(new Error(`not yet: ${path} ${typeof options.signal}`));
}
