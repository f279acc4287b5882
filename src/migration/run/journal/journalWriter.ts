import type { JournalFile } from './files';

/** How long a disk may take before what is journalled goes on without it. */
const patienceMs = 2000;

/** Entries before this one could not be written. */
export interface GapEntry {
  readonly kind: 'gap';
  readonly why: string;
}

export interface JournalWriterOptions<Entry> {
  /** One line, without its line feed. */
  readonly print: (entry: (Entry | GapEntry) & { readonly at: number }) => string;
  readonly log: (line: string) => void;
  /** Told when nothing more is written. */
  readonly afterEnd: (ended: boolean) => Promise<void>;
}

/**
 * One journal, open for writing. What fails is kept and told at the end; nothing here ever rejects or
 * waits for long, for the VM comes before its journal.
 */
export class JournalWriter<Entry extends { readonly kind: string }> {
  readonly id: string;
  private readonly file: JournalFile;
  private readonly options: JournalWriterOptions<Entry>;
  /** Bytes that are whole entries. */
  private length: number;
  private tail: Promise<void> = Promise.resolve();
  private failure: string | undefined;
  private hasGap = false;
  private isStuck = false;

  constructor(
    id: string,
    { file, length }: { readonly file: JournalFile; readonly length: number },
    options: JournalWriterOptions<Entry>,
  ) {
    this.id = id;
    this.file = file;
    this.length = length;
    this.options = options;
  }

  /** Why entries are missing, if they are. */
  get problem(): string | undefined {
    return this.failure;
  }

  /** Resolves when the entry is on disk, or when that turned out to be impossible. */
  async record(entry: Entry): Promise<void> {
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

  /** Written soon, without waiting. */
  jot(entry: Entry): void {
    void this.enqueue(entry, false);
  }

  /** Stops writing; what is not ended stays open. */
  async close(ended: boolean): Promise<void> {
    await Promise.race([this.tail, pause()]);
    // A disk that does not answer must not hold up the outcome.
    await Promise.race([this.file.close().catch(() => undefined), pause()]);
    await this.options.afterEnd(ended).catch((error: unknown) => {
      this.options.log(`journal ${this.id}: ${String(error)}`);
    });
  }

  private enqueue(entry: Entry, sync: boolean): Promise<void> {
    const at = Date.now();
    this.tail = this.tail.then(async () => {
      try {
        await this.tellGap(at);
        await this.append({ at, ...entry });
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
    await this.append({ at, kind: 'gap', why: this.failure ?? '' });
    this.hasGap = false;
  }

  private async append(entry: (Entry | GapEntry) & { readonly at: number }): Promise<void> {
    const text = `${this.options.print(entry)}\n`;
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
    if (this.failure === undefined) this.options.log(`journal ${this.id}: ${text}`);
    this.failure ??= text;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, patienceMs).unref();
  });
}
