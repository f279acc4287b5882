import type { JournalEntry } from './entries';

/** Where a run writes down what it does. Nothing here ever rejects or waits for long. */
export interface Recorder {
  /** Resolves when the entry is on disk, or when that turned out to be impossible. */
  record(entry: JournalEntry): Promise<void>;
  /** Written soon, without waiting. */
  jot(entry: JournalEntry): void;
}

/** Keeps nothing. */
export const noRecorder: Recorder = {
  record: () => Promise.resolve(),
  jot: () => undefined,
};
