import type { Memento } from 'vscode';
import { StateKey } from './ids';

/** The file that a guest was saved to, or restored from, last. */
export class LastFile {
  private readonly state: Pick<Memento, 'get' | 'update'>;

  constructor(state: Pick<Memento, 'get' | 'update'>) {
    this.state = state;
  }

  /** An absolute path; `undefined`: none yet. */
  get(): string | undefined {
    const file = this.state.get<unknown>(StateKey.lastFile);
    return typeof file === 'string' && file.startsWith('/') ? file : undefined;
  }

  /** Never rejects: what is not remembered costs a few keystrokes. */
  async remember(file: string): Promise<void> {
    await Promise.resolve(this.state.update(StateKey.lastFile, file)).catch(() => undefined);
  }
}
