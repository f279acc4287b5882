import type { Disposable } from '../qmp/emitter';

/** A part of the extension that registers itself; the composition root lists them. */
export interface Contribution {
  register(): Disposable;
}
