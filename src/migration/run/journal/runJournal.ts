import type { RunOutcome } from '../types';
import { printEntry, type JournalEntry } from './entries';
import type { OpenJournal } from './journalFolder';
import { JournalWriter, type JournalWriterOptions } from './journalWriter';
import type { Recorder } from './recorder';

/** The journal of one run, open for writing. */
export class RunJournal extends JournalWriter<JournalEntry> implements Recorder {
  constructor(
    run: string,
    opened: OpenJournal,
    options: Omit<JournalWriterOptions<JournalEntry>, 'print'>,
  ) {
    super(run, opened, { ...options, print: printEntry });
  }

  get run(): string {
    return this.id;
  }

  /**
   * Writes the outcome down and closes. A run whose end is not known stays open for another try.
   *
   * @returns the outcome, with a word about a journal that is not whole
   */
  async end(outcome: RunOutcome): Promise<RunOutcome> {
    const ended = outcome.kind !== 'unknown';
    await this.record(ended ? { kind: 'end', outcome } : { kind: 'unsettled', outcome });
    await this.close(ended);
    const remarks: string[] = [];
    if (!ended) {
      remarks.push(
        `This run stays open: "qemu-migration resume ${this.run}" looks again; with --forget it is called ended as it is.`,
      );
    }
    if (this.problem !== undefined) {
      const why = this.problem.replace(/\.$/, '');
      remarks.push(`The journal of this run (${this.run}) is incomplete: ${why}.`);
    }
    return remarks.length === 0
      ? outcome
      : { ...outcome, details: [...outcome.details, ...remarks] };
  }
}
