import type { Writable } from 'node:stream';
import { cut, printable } from './text';

/** A stream of the process, with what a terminal knows about itself. */
export interface OutputStream extends Writable {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Milliseconds between two lines of progress where no terminal can rewrite one. */
const plainProgressIntervalMs = 3000;

/**
 * The program's two streams. Results go to stdout; progress, notes and logs to stderr, where the one
 * line of progress is rewritten if that is a terminal. A reader that leaves (EPIPE) ends the output,
 * never the work.
 */
export class Terminal {
  private readonly stdout: OutputStream;
  private readonly stderr: OutputStream;
  private readonly gone = new Set<OutputStream>();
  private shown = '';
  private lastPlain = '';
  private lastPlainAt = -Infinity;

  constructor(stdout: OutputStream, stderr: OutputStream) {
    this.stdout = stdout;
    this.stderr = stderr;
    for (const stream of [stdout, stderr]) {
      stream.on('error', () => this.gone.add(stream));
    }
  }

  /** A line of the result. */
  result(text: string): void {
    this.withoutProgress(() => this.write(this.stdout, `${printable(text)}\n`));
  }

  /** JSON needs no cleaning: it escapes control characters itself. */
  document(json: string): void {
    this.withoutProgress(() => this.write(this.stdout, `${json}\n`));
  }

  /** A line for the person watching, beside the result. */
  note(text: string): void {
    this.withoutProgress(() => this.write(this.stderr, `${printable(text)}\n`));
  }

  /**
   * Shows how it goes: on a terminal always the newest, else a line every few seconds.
   *
   * @param atOnce something that must not be missed, such as who has the guest
   */
  progress(text: string, now = Date.now(), atOnce = false): void {
    if (this.stderr.isTTY === true) {
      this.shown = cut(printable(text).replaceAll('\n', ' '), this.columns - 1);
      this.write(this.stderr, `\r${this.shown}\u001b[K`);
      return;
    }
    const isEarly = now - this.lastPlainAt < plainProgressIntervalMs;
    if (text === this.lastPlain || (isEarly && !atOnce)) return;
    this.lastPlain = text;
    this.lastPlainAt = now;
    this.note(text);
  }

  /** Takes the progress line away. */
  endProgress(): void {
    if (this.shown === '') return;
    this.shown = '';
    this.write(this.stderr, '\r\u001b[K');
  }

  /** Resolves when everything written has left this process, or cannot any more. */
  async flush(): Promise<void> {
    for (const stream of [this.stdout, this.stderr]) {
      if (this.gone.has(stream) || stream.writableLength === 0) continue;
      await new Promise<void>((resolve) => {
        stream.once('error', () => resolve());
        stream.write('', () => resolve());
      });
    }
  }

  /** A pseudo-terminal that nobody sized says 0. */
  private get columns(): number {
    const { columns = 0 } = this.stderr;
    return columns > 0 ? columns : 80;
  }

  private withoutProgress(write: () => void): void {
    const { shown } = this;
    this.endProgress();
    write();
    if (shown === '') return;
    this.shown = shown;
    this.write(this.stderr, shown);
  }

  private write(stream: OutputStream, text: string): void {
    if (!this.gone.has(stream)) stream.write(text);
  }
}
