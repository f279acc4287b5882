/** Why a QMP connection ended, or why it never came to be. */
export type CloseReason =
  /** QEMU announced its end with SHUTDOWN; `guest` and `reason` are that event's own. */
  | { readonly kind: 'qemu-quit'; readonly guest: boolean; readonly reason: string }
  /** The other side closed without a word: killed, crashed, or the monitor was removed. */
  | { readonly kind: 'peer-closed' }
  | { readonly kind: 'closed-by-us' }
  | { readonly kind: 'protocol-error'; readonly error: QmpProtocolError }
  /** Connected, but nobody greeted: another client holds this monitor, or nothing answers. */
  | { readonly kind: 'greeting-timeout'; readonly timeoutMs: number }
  | { readonly kind: 'not-a-socket' }
  | { readonly kind: 'no-permission' }
  | { readonly kind: 'no-such-file' }
  /** The socket file is there, but nobody listens any more. */
  | { readonly kind: 'connection-refused' }
  /** A UNIX socket path has room for 107 bytes. */
  | { readonly kind: 'path-too-long'; readonly bytes: number }
  | { readonly kind: 'io-error'; readonly code: string; readonly message: string };

/** What was wrong with the bytes that came in. */
export type ProtocolProblem =
  'garbage' | 'too-large' | 'bad-json' | 'bad-utf8' | 'not-qmp' | 'unexpected';

/** Any failure of this room. (Names stand on the prototypes, so that a stack's first line has them.) */
export class QmpError extends Error {
  static {
    this.prototype.name = 'QmpError';
  }
}

/** The peer said something that is not QMP. `excerpt` is its beginning, made printable. */
export class QmpProtocolError extends QmpError {
  static {
    this.prototype.name = 'QmpProtocolError';
  }
  readonly problem: ProtocolProblem;
  readonly excerpt: string;

  constructor(problem: ProtocolProblem, message: string, excerpt: string, options?: ErrorOptions) {
    super(excerpt === '' ? message : `${message}: ${excerpt}`, options);
    this.problem = problem;
    this.excerpt = excerpt;
  }
}

/** No connection could be made to `path`. */
export class QmpConnectError extends QmpError {
  static {
    this.prototype.name = 'QmpConnectError';
  }
  readonly path: string;
  readonly closeReason: CloseReason;

  constructor(path: string, closeReason: CloseReason, options?: ErrorOptions) {
    super(`Cannot connect to ${path}: ${describeCloseReason(closeReason)}`, options);
    this.path = path;
    this.closeReason = closeReason;
  }
}

/**
 * QEMU refused or failed a command. `errorClass` and `desc` are QEMU's own; `desc` is for showing,
 * never for branching on (QMP reference, "Errors").
 */
export class QmpCommandError extends QmpError {
  static {
    this.prototype.name = 'QmpCommandError';
  }
  readonly command: string;
  readonly errorClass: string;
  readonly desc: string;

  constructor(command: string, errorClass: string, desc: string, options?: ErrorOptions) {
    super(`${command}: ${desc}`, options);
    this.command = command;
    this.errorClass = errorClass;
    this.desc = desc;
  }
}

/** No reply within `timeoutMs` milliseconds. QEMU may still carry the command out. */
export class QmpTimeoutError extends QmpError {
  static {
    this.prototype.name = 'QmpTimeoutError';
  }
  readonly command: string;
  readonly timeoutMs: number;

  constructor(command: string, timeoutMs: number, options?: ErrorOptions) {
    super(`${command}: no reply within ${timeoutMs} ms`, options);
    this.command = command;
    this.timeoutMs = timeoutMs;
  }
}

/** The caller's `AbortSignal` fired. If the command was on its way, QEMU may still carry it out. */
export class QmpAbortedError extends QmpError {
  static {
    this.prototype.name = 'QmpAbortedError';
  }
  readonly command: string;

  constructor(command: string, options?: ErrorOptions) {
    super(`${command}: aborted`, options);
    this.command = command;
  }
}

/** The connection ended before the reply came. QEMU may have carried the command out or not. */
export class QmpClosedError extends QmpError {
  static {
    this.prototype.name = 'QmpClosedError';
  }
  readonly command: string;
  readonly closeReason: CloseReason;

  constructor(command: string, closeReason: CloseReason, options?: ErrorOptions) {
    super(`${command}: ${describeCloseReason(closeReason)}`, options);
    this.command = command;
    this.closeReason = closeReason;
  }
}

/** A short English sentence for logs and `Error.message`; what a person reads is worded elsewhere. */
function describeCloseReason(reason: CloseReason): string {
  switch (reason.kind) {
    case 'qemu-quit':
      return `QEMU quit (${reason.reason})`;
    case 'peer-closed':
      return 'the other side closed the connection';
    case 'closed-by-us':
      return 'we closed the connection';
    case 'protocol-error':
      return reason.error.message;
    case 'greeting-timeout':
      return `no QMP greeting within ${reason.timeoutMs} ms; another client may hold this monitor`;
    case 'not-a-socket':
      return 'not a socket';
    case 'no-permission':
      return 'no permission';
    case 'no-such-file':
      return 'no such file';
    case 'connection-refused':
      return 'nobody listens on this socket (left behind by a QEMU that is gone?)';
    case 'path-too-long':
      return `the path has ${reason.bytes} bytes, a UNIX socket has room for 107`;
    case 'io-error':
      return `${reason.code}: ${reason.message}`;
  }
}
