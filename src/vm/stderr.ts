import { constants, type Stats } from 'node:fs';
import { open, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { defaultProcRoot, isAlive } from './process';
import type { QemuProcess } from './types';

/** As much of the end of a log as is read, in bytes. */
const tailBytes = 64 * 1024;
const tailLines = 20;
/** As much of one line as is kept, in characters. */
const lineCharacters = 500;

/** What a QEMU wrote on its standard error since we began to watch it. */
export interface StderrTail {
  /** The last lines, oldest first, printable; empty when there are none, or they cannot be read. */
  lines(): Promise<readonly string[]>;
}

/** Of a QEMU that we started ourselves: there its end is known as well. */
export interface OwnStderr extends StderrTail {
  /** How it ended; `undefined` while it lives. */
  end(): Promise<{ readonly exitCode?: number; readonly signal?: string } | undefined>;
}

/**
 * Watches the standard error of a QEMU that somebody else started, if it goes into a regular file
 * that we may read: libvirt and most scripts do so. Opens nothing until lines are asked for.
 *
 * @returns `undefined` when it is a terminal, a pipe, or not ours to read; never rejects
 */
export async function watchStderr(
  process: Pick<QemuProcess, 'pid' | 'startTicks'>,
  procRoot = defaultProcRoot,
): Promise<StderrTail | undefined> {
  const link = path.join(procRoot, String(process.pid), 'fd', '2');
  try {
    const [file, begun] = await Promise.all([readlink(link), stat(link)]);
    if (!begun.isFile() || !(await isAlive(process, procRoot))) return undefined;
    // The link goes when the process does; what is at the path has to be the very same file.
    const there = await stat(file);
    if (!isSameFile(begun, there)) return undefined;
    return { lines: () => readSince(file, begun) };
  } catch {
    return undefined;
  }
}

/** The end of a log that was empty when `begun` was looked at. */
export function ownLog(file: string, begun: Stats): StderrTail {
  return { lines: () => readSince(file, begun) };
}

/** What was added to the file since; nothing when it was replaced, emptied or closed to us. */
async function readSince(file: string, begun: Stats): Promise<readonly string[]> {
  try {
    // Whatever may be at the path by now: never wait for a pipe, never follow a link.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
    const handle = await open(file, flags);
    try {
      const now = await handle.stat();
      if (!now.isFile() || !isSameFile(begun, now) || now.size <= begun.size) return [];
      const from = Math.max(begun.size, now.size - tailBytes);
      const buffer = Buffer.alloc(now.size - from);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
      const text = buffer.toString('utf8', 0, bytesRead);
      // The first line of a cut is a torso.
      return lastLines(from > begun.size ? text.slice(text.indexOf('\n') + 1) : text);
    } finally {
      await handle.close();
    }
  } catch {
    return [];
  }
}

/** The last lines of a text, without what would do something to a terminal or a text field. */
export function lastLines(text: string): readonly string[] {
  return text
    .split(/\r\n|[\n\r]/)
    .map(printable)
    .filter((line) => line !== '')
    .slice(-tailLines);
}

function printable(line: string): string {
  return (
    line
      // Colours and cursor movements as a whole, then whatever else is no character to look at.
      .replace(
        /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g,
        '',
      )
      .replace(/\t/g, ' ')
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
      .slice(0, lineCharacters)
      .trim()
  );
}

function isSameFile(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}
