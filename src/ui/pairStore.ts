import type { LogOutputChannel, Memento } from 'vscode';
import * as z from 'zod/mini';
import type { Pair, PairStore } from '../migration/pair/pairs';
import { StateKey } from './ids';

const currentVersion = 1;

const versioned = z.object({ version: z.int() });
const shape = z.object({
  version: z.literal(currentVersion),
  pairs: z.array(z.object({ source: z.string(), target: z.string() })),
});

/** Keeps the pairs in `globalState`; a state that cannot be read is set aside. */
export class MementoPairStore implements PairStore {
  private readonly state: Memento;
  private readonly log: Pick<LogOutputChannel, 'warn'>;

  constructor(state: Memento, log: Pick<LogOutputChannel, 'warn'>) {
    this.state = state;
    this.log = log;
  }

  load(): readonly Pair[] {
    const stored = this.state.get<unknown>(StateKey.pairs);
    if (stored === undefined) return [];
    const parsed = shape.safeParse(stored);
    if (parsed.success) return parsed.data.pairs;
    const { data } = versioned.safeParse(stored);
    this.log.warn(
      data !== undefined && data.version > currentVersion
        ? `The list of pairs was written by a newer version of this extension (${data.version}).`
        : `The list of pairs could not be read: ${z.prettifyError(parsed.error)}`,
      `It is kept under "${StateKey.damagedPairs}".`,
    );
    this.setAside(stored);
    return [];
  }

  async save(list: readonly Pair[]): Promise<void> {
    const pairs = list.map(({ source, target }) => ({ source, target }));
    await this.state.update(StateKey.pairs, { version: currentVersion, pairs });
  }

  private setAside(stored: unknown): void {
    this.state.update(StateKey.damagedPairs, stored).then(undefined, (error: unknown) => {
      this.log.warn('The unreadable list of pairs could not be kept:', error);
    });
  }
}
