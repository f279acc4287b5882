/** Something that can be undone; the same shape as `vscode.Disposable`. */
export interface Disposable {
  dispose(): void;
}

/** A stream one can listen to; the same shape as `vscode.Event`. */
export type Event<T> = (listener: (value: T) => void) => Disposable;

/**
 * The sending end of an {@link Event}.
 *
 * A listener that throws stops neither the other listeners nor whoever fires: its error goes to
 * `onListenerError`, by default a Node process warning.
 */
export class Emitter<T> {
  readonly event: Event<T>;
  // Copied on change, so that a listener may come or go while the event is being fired.
  private listeners: readonly ((value: T) => void)[] = [];
  private readonly onListenerError: (error: unknown) => void;

  constructor(onListenerError: (error: unknown) => void = warn) {
    this.onListenerError = onListenerError;
    this.event = (listener) => {
      // A wrapper of its own for each call, so that the same function may listen twice.
      const entry = (value: T): void => listener(value);
      this.listeners = [...this.listeners, entry];
      return {
        dispose: () => {
          this.listeners = this.listeners.filter((other) => other !== entry);
        },
      };
    };
  }

  /** Calls each listener with `value`, in the order in which they came. */
  fire(value: T): void {
    for (const listener of this.listeners) {
      try {
        listener(value);
      } catch (error) {
        this.onListenerError(error);
      }
    }
  }

  /** Forgets all listeners. */
  dispose(): void {
    this.listeners = [];
  }
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
