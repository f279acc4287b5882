import type { CallSite } from './callSite';
import {
  QmpAbortedError,
  QmpClosedError,
  QmpCommandError,
  QmpError,
  QmpTimeoutError,
  type CloseReason,
} from './errors';
import type { JsonValue } from './json';

/** A command that waits for its reply. Settles once, and lets go of the signal when it does. */
export class PendingCommand {
  readonly command: string;
  private readonly site: CallSite | undefined;
  private readonly resolve: (value: JsonValue) => void;
  private readonly reject: (error: Error) => void;
  /** When it times out, by `performance.now()`; the connection looks at it. */
  deadline = Infinity;
  timeoutMs = Infinity;
  private signal: AbortSignal | undefined;
  private onAbort: (() => void) | undefined;

  constructor(
    command: string,
    site: CallSite | undefined,
    resolve: (value: JsonValue) => void,
    reject: (error: Error) => void,
  ) {
    this.command = command;
    this.site = site;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** Calls `onAbort` when `signal` fires, unless settled before. */
  watch(signal: AbortSignal, onAbort: () => void): void {
    this.signal = signal;
    this.onAbort = onAbort;
    signal.addEventListener('abort', onAbort, { once: true });
  }

  succeed(value: JsonValue): void {
    this.forget();
    this.resolve(value);
  }

  /** QEMU's own refusal. */
  refuse(errorClass: string, desc: string): void {
    this.fail(new QmpCommandError(this.command, errorClass, desc));
  }

  timeOut(): void {
    this.fail(new QmpTimeoutError(this.command, this.timeoutMs));
  }

  abort(cause: unknown): void {
    this.fail(new QmpAbortedError(this.command, { cause }));
  }

  close(reason: CloseReason, cause?: Error): void {
    this.fail(new QmpClosedError(this.command, reason, cause === undefined ? {} : { cause }));
  }

  /** It never got as far as the wire. */
  notSent(cause: unknown): void {
    this.fail(new QmpError(`${this.command}: not sent`, { cause }));
  }

  /** Rejects with somebody else's error as it is. */
  rejectWith(error: Error): void {
    this.forget();
    this.reject(error);
  }

  private fail(error: QmpError): void {
    this.forget();
    this.reject(this.site === undefined ? error : this.site.mark(error));
  }

  private forget(): void {
    if (this.onAbort !== undefined) this.signal?.removeEventListener('abort', this.onAbort);
  }
}
