import { QmpError } from './errors';

/** Enough to see who asked; each frame costs every command about 0.2 microseconds. */
const maxFrames = 6;

/**
 * For an async function that caught `error` after an `await`: gives it the stack of those who wait for
 * that function, which the engine knows by itself. Costs nothing until something fails, so that this
 * is for what happens often, and {@link CallSite} for the rest.
 */
export function withCallers(error: unknown): unknown {
  if (error instanceof QmpError) Error.captureStackTrace(error, withCallers);
  return error;
}

/**
 * Remembers where a call came from, so that an error made much later, out of a socket's event, can
 * carry the caller's stack. Costs about 5 microseconds: the frames are walked, if not formatted.
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
