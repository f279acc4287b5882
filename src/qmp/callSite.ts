/** Enough to see who asked; each frame costs every command about 0.2 microseconds. */
const maxFrames = 6;

/**
 * Remembers where a call came from, so that an error made much later, out of a socket's event, can
 * carry the caller's stack. Taking it is cheap: the engine formats a stack only when it is read.
 */
export class CallSite {
  declare readonly stack: string;

  constructor() {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = maxFrames;
    Error.captureStackTrace(this, CallSite);
    Error.stackTraceLimit = stackTraceLimit;
  }

  /** Gives `error` this place as its stack, and returns it. */
  mark<E extends Error>(error: E): E {
    const frames = this.stack.indexOf('\n    at ');
    error.stack = `${error.name}: ${error.message}${frames < 0 ? '' : this.stack.slice(frames)}`;
    return error;
  }
}
