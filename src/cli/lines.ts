import { readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { Readable } from 'node:stream';

/** Where a person types while a migration goes on. */
export interface LineSource {
  readonly isTTY: boolean;
  /** The stream itself; opened only when it is read. */
  open(): Readable;
}

/** Hears that the terminal was given back to us, or taken. */
export interface ContinueSignal {
  on(signal: 'SIGCONT', listener: () => void): unknown;
  off(signal: 'SIGCONT', listener: () => void): unknown;
}

/**
 * Lines as they are typed; the end of the input means nothing. A terminal is read only while this
 * program is in its foreground: the kernel would stop one that reads it from the background, and with
 * it the watch over a migration.
 */
export class Lines {
  private readonly reader: Interface;
  private readonly input: Readable;
  private readonly onContinue: (() => void) | undefined;

  constructor(source: LineSource, onLine: (line: string) => void) {
    this.input = source.open();
    this.input.on('error', ignore);
    this.reader = createInterface({ input: this.input, terminal: false, crlfDelay: Infinity });
    this.reader.on('line', onLine);
    if (!source.isTTY) return;
    this.onContinue = () => {
      if (isForeground()) this.reader.resume();
      else this.reader.pause();
    };
    process.on('SIGCONT', this.onContinue);
    this.onContinue();
  }

  dispose(): void {
    if (this.onContinue !== undefined) process.off('SIGCONT', this.onContinue);
    this.reader.close();
    this.input.pause();
    this.input.off('error', ignore);
  }
}

function ignore(): void {
  // Nothing more can be typed then; the migration goes on.
}

/** Whether this process may read its terminal; yes where `/proc` does not tell. */
export function isForeground(stat = readStat()): boolean {
  // The name in parentheses may itself hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [, , group, , , foreground] = fields;
  return foreground === undefined || Number(foreground) < 0 || group === foreground;
}

function readStat(): string {
  try {
    return readFileSync('/proc/self/stat', 'utf8');
  } catch {
    return '';
  }
}
