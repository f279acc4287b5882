import type { OpenJournal } from './journalFolder';
import { JournalWriter, type JournalWriterOptions } from './journalWriter';
import { printUpdateEntry, type JournalledUpdateEnd, type UpdateEntry } from './updateEntries';

/** The journal of one live update, open for writing. */
export class UpdateJournal extends JournalWriter<UpdateEntry> {
  constructor(
    update: string,
    opened: OpenJournal,
    options: Omit<JournalWriterOptions<UpdateEntry>, 'print'>,
  ) {
    super(update, opened, { ...options, print: printUpdateEntry });
  }

  /**
   * Writes the outcome down and closes.
   *
   * @param settled false: something is still to be done, and the update stays open for another try
   */
  async end(outcome: JournalledUpdateEnd, settled: boolean): Promise<void> {
    await this.record(settled ? { kind: 'end', outcome } : { kind: 'unsettled', outcome });
    await this.close(settled);
  }
}
