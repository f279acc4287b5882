/** Why descriptors were not handed over. The first group is the helper's own (native/fdpass/README.md). */
export type FdPassReason =
  | 'badDestination'
  | 'badDescriptor'
  | 'pairFailed'
  | 'tapFailed'
  | 'timeout'
  | 'peerClosed'
  | 'sendFailed'
  | 'interrupted'
  | 'reportFailed'
  | 'setupFailed'
  /** The process has ended; another one may have its pid. */
  | 'processGone'
  /** The kernel does not let us have what is another process's; `permissionAdvice` says what helps. */
  | 'notPermitted'
  | 'fetchFailed'
  /** The descriptor is no queue of the TAP that was named. */
  | 'notThatTap'
  /** The surroundings of the process cannot be had. */
  | 'unlike'
  | 'execFailed'
  | 'tapControlFailed'
  | 'usage'
  /** The helper is of an earlier version, which cannot do this. */
  | 'helperTooOld'
  /** The helper could not be started. */
  | 'spawnFailed'
  /** A signal that we did not send ended it. */
  | 'crashed'
  /** It ended without a verdict that can be believed. */
  | 'badOutput'
  | 'aborted'
  /** QEMU got the command and refused it; the cause is its `QmpCommandError`. */
  | 'refused'
  | 'connectionClosed'
  /** A pair needs two connections. */
  | 'sameConnection';

export interface FdPassErrorDetails {
  readonly exitCode?: number | undefined;
  readonly signal?: NodeJS.Signals | undefined;
  /** The system's name of the error, such as `EPIPE`, if the helper told one. */
  readonly errno?: string | undefined;
  readonly stderr?: string | undefined;
  readonly cause?: unknown;
}

/** What a person can do about `notPermitted`. */
export const permissionAdvice =
  'Descriptors and surroundings of a process may be taken by its own user where ' +
  'kernel.yama.ptrace_scope is 0, and by whoever has CAP_SYS_PTRACE, such as root; joining its ' +
  'namespaces and becoming its user needs root.';

/** Descriptors were not handed over; names that QEMU had already got are closed again. */
export class FdPassError extends Error {
  override readonly name = 'FdPassError';
  readonly reason: FdPassReason;
  /** The message without the reason's name, which is for the log. */
  readonly description: string;
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly errno: string | undefined;
  readonly stderr: string;

  constructor(reason: FdPassReason, message: string, details: FdPassErrorDetails = {}) {
    super(`${reason}: ${message}`, details.cause === undefined ? {} : { cause: details.cause });
    this.reason = reason;
    this.description = message;
    this.exitCode = details.exitCode;
    this.signal = details.signal;
    this.errno = details.errno;
    this.stderr = details.stderr ?? '';
  }
}
