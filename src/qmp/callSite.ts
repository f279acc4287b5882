/**
 * Remembers where a call came from, so that an error made much later, out of a socket's event, can
 * carry the caller's stack. Taking it is cheap: the engine formats a stack only when it is read.
 */
export class CallSite {
  declare readonly stack: string;

  constructor() {
    Error.captureStackTrace(this, CallSite);
  }

  /** Gives `error` this place as its stack, and returns it. */
  mark<E extends Error>(error: E): E {
    const frames = this.stack.indexOf('\n    at ');
    error.stack = `${error.name}: ${error.message}${frames < 0 ? '' : this.stack.slice(frames)}`;
    return error;
  }
}
