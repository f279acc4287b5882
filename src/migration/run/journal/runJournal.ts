import type { RunOutcome } from '../types';
import { printEntry, type JournalEntry } from './entries';
import type { JournalFile } from './files';
import type { Recorder } from './recorder';

/** How long a disk may take before the run goes on without it. */
const patienceMs = 2000;

/** The journal of one run, open for writing. */
export class RunJournal implements Recorder {
  readonly run: string;
  private readonly file: JournalFile;
  private readonly afterEnd: (ended: boolean) => Promise<void>;
  private readonly log: (line: string) => void;
  /** Bytes that are whole entries. */
  private length: number;
  private tail: Promise<void> = Promise.resolve();
  private failure: string | undefined;
  private hasGap = false;
  private isStuck = false;

  constructor(
    run: string,
    file: JournalFile,
    length: number,
    options: {
      readonly log: (line: string) => void;
      /** Told when nothing more is written. */
      readonly afterEnd: (ended: boolean) => Promise<void>;
    },
  ) {
    this.run = run;
    this.file = file;
    this.length = length;
    this.log = options.log;
    this.afterEnd = options.afterEnd;
  }

  /** Why entries are missing, if they are. */
  get problem(): string | undefined {
    return this.failure;
  }

  async record(entry: JournalEntry): Promise<void> {
    const written = this.enqueue(entry, true);
    // One long wait is enough: what follows must not be late for a disk that hangs.
    if (this.isStuck) return;
    const done = await Promise.race([written.then(() => true), pause().then(() => false)]);
    if (done) return;
    this.isStuck = true;
    this.fail(new Error('the disk does not answer'));
    void written.then(() => {
      this.isStuck = false;
    });
  }

  jot(entry: JournalEntry): void {
    void this.enqueue(entry, false);
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
    if (this.failure !== undefined) {
      const why = this.failure.replace(/\.$/, '');
      remarks.push(`The journal of this run (${this.run}) is incomplete: ${why}.`);
    }
    return remarks.length === 0
      ? outcome
      : { ...outcome, details: [...outcome.details, ...remarks] };
  }

  /** Stops writing; what is not ended stays open. */
  async close(ended: boolean): Promise<void> {
    await Promise.race([this.tail, pause()]);
    // A disk that does not answer must not hold up the outcome.
    await Promise.race([this.file.close().catch(() => undefined), pause()]);
    await this.afterEnd(ended).catch((error: unknown) => {
      this.log(`journal ${this.run}: ${String(error)}`);
    });
  }

  private enqueue(entry: JournalEntry, sync: boolean): Promise<void> {
    const at = Date.now();
    this.tail = this.tail.then(async () => {
      try {
        await this.tellGap(at);
        await this.append(printEntry({ at, ...entry }));
        if (sync) await this.file.sync();
      } catch (error) {
        this.fail(error);
        this.hasGap = true;
      }
    });
    return this.tail;
  }

  /** After a failure, once there is room again. */
  private async tellGap(at: number): Promise<void> {
    if (!this.hasGap) return;
    // A part of an entry would make the whole file unreadable.
    await this.file.truncate(this.length);
    await this.append(printEntry({ at, kind: 'gap', why: this.failure ?? '' }));
    this.hasGap = false;
  }

  private async append(line: string): Promise<void> {
    const text = `${line}\n`;
    try {
      await this.file.write(text);
    } catch (error) {
      await this.file.truncate(this.length).catch(() => undefined);
      throw error;
    }
    this.length += Buffer.byteLength(text);
  }

  private fail(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.failure === undefined) this.log(`journal ${this.run}: ${text}`);
    this.failure ??= text;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, patienceMs).unref();
  });
}
