import type { Memento } from 'vscode';

/**
 * A memento that is written to one value after the other. VS Code answers each write with the whole
 * state as it was then: a value that was written meanwhile, under whatever key, can be lost by it.
 */
export class OrderlyMemento implements Memento {
  private readonly state: Memento;
  private writing: Promise<void> = Promise.resolve();

  constructor(state: Memento) {
    this.state = state;
  }

  keys(): readonly string[] {
    return this.state.keys();
  }

  get: Memento['get'] = (key: string, fallback?: unknown) => this.state.get(key, fallback) as never;

  /** A value that waits for its turn is not read yet. */
  update(key: string, value: unknown): Promise<void> {
    const done = this.writing.then(() => this.state.update(key, value));
    // Whoever wrote is told; the next one writes all the same.
    this.writing = done.catch(() => undefined);
    return done;
  }
}
