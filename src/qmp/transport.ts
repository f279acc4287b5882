import { statSync } from 'node:fs';
import net from 'node:net';
import { CallSite } from './callSite';
import type { Disposable, Event } from './emitter';
import { QmpConnectError, type CloseReason } from './errors';

/** A two-way stream of bytes to a QMP server. */
export interface QmpTransport {
  /** Sends bytes (a string goes as UTF-8), in order, without waiting. */
  send(bytes: string | Buffer): void;
  /** Resolves when the kernel has taken everything sent so far, or the stream ended; never rejects. */
  drain(): Promise<void>;
  /** Ends the stream at once; unsent bytes are lost. `onEnd` may still fire. */
  close(): void;
  /** Bytes as they come. Nothing is read before the first listener. */
  readonly onData: Event<Buffer>;
  /** The stream ended; with the error that ended it, if any. */
  readonly onEnd: Event<Error | undefined>;
  /** The real socket, where there is one. */
  readonly socket?: net.Socket;
}

/** Room for a path in `sockaddr_un`, without the closing NUL. */
const maxPathBytes = 107;

/** A transport over a connected stream socket. */
class SocketTransport implements QmpTransport {
  readonly socket: net.Socket;
  readonly onEnd: Event<Error | undefined>;
  private unsent = '';

  constructor(socket: net.Socket) {
    this.socket = socket;
    let failure: Error | undefined;
    // Always listened to: without a listener an error would end the process.
    socket.on('error', (error) => (failure = error));
    this.onEnd = (listener) => {
      const onClose = (): void => listener(failure);
      socket.on('close', onClose);
      return { dispose: () => socket.off('close', onClose) };
    };
  }

  // Straight from the socket, so that `socket.resume()` is all that gets a paused one going again.
  readonly onData = (listener: (chunk: Buffer) => void): Disposable => {
    this.socket.on('data', listener);
    return { dispose: () => this.socket.off('data', listener) };
  };

  /**
   * Text of one turn goes out in one write, right after the code that is running now: a write for
   * each of many commands in flight would cost more than the commands.
   */
  send(bytes: string | Buffer): void {
    if (typeof bytes !== 'string') {
      this.flush();
      this.socket.write(bytes);
      return;
    }
    if (this.unsent === '') process.nextTick(this.flush);
    this.unsent += bytes;
  }

  drain(): Promise<void> {
    this.flush();
    return new Promise((resolve) => {
      if (this.socket.destroyed || this.socket.writableLength === 0) resolve();
      // Not 'drain', which comes only after a write that met a full buffer.
      else this.socket.write('', () => resolve());
    });
  }

  close(): void {
    // So that a command followed at once by a close has the same chance as one in a write of its own.
    this.flush();
    this.socket.destroy();
  }

  private readonly flush = (): void => {
    if (this.unsent === '') return;
    const text = this.unsent;
    this.unsent = '';
    if (!this.socket.destroyed) this.socket.write(text);
  };
}

/**
 * Connects to a UNIX stream socket. Rejects with `QmpConnectError`, on abort with reason
 * `closed-by-us` and the signal's reason as cause.
 */
export function connectUnixSocket(
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<QmpTransport> {
  const site = new CallSite();
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const fail = (reason: CloseReason, cause?: unknown): void =>
      reject(site.mark(new QmpConnectError(path, reason, cause === undefined ? {} : { cause })));

    // Node cuts a longer path short without a word and would connect to some other file.
    const bytes = Buffer.byteLength(path);
    if (bytes > maxPathBytes) {
      fail({ kind: 'path-too-long', bytes });
      return;
    }
    if (signal?.aborted === true) {
      fail({ kind: 'closed-by-us' }, signal.reason);
      return;
    }
    const socket = net.connect({ path });
    const onAbort = (): void => {
      socket.destroy();
      fail({ kind: 'closed-by-us' }, signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const transport = new SocketTransport(socket);
    socket.once('connect', () => {
      signal?.removeEventListener('abort', onAbort);
      resolve(transport);
    });
    // Harmless once connected: a promise settles only once.
    socket.once('error', (error) => {
      signal?.removeEventListener('abort', onAbort);
      fail(closeReasonOfConnectError(path, error), error);
    });
  });
}

/** What a failed `connect(2)` to `path` means. */
export function closeReasonOfConnectError(path: string, error: Error): CloseReason {
  const code = errorCode(error);
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return { kind: 'no-such-file' };
    case 'EACCES':
    case 'EPERM':
      return { kind: 'no-permission' };
    case 'ENOTSOCK':
      return { kind: 'not-a-socket' };
    case 'ECONNREFUSED':
      // Linux says this for a file that is no socket, too.
      return isSocketFile(path) ? { kind: 'connection-refused' } : { kind: 'not-a-socket' };
    default:
      return { kind: 'io-error', code, message: error.message };
  }
}

/** The system's name of an error, such as `EPIPE`; empty if it has none. */
export function errorCode(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function isSocketFile(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}
