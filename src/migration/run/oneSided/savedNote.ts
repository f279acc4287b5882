import { randomBytes } from 'node:crypto';
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod/mini';
import { parseJson, type JsonValue } from '../../../qmp/json';
import type { ProcessIdentity } from '../journal/entries';
import { hasCode } from '../journal/files';
import { printJson } from '../journal/printJson';
import { fileIdentity } from '../../methods/stateFile';

/** Raised when an older program would do the wrong thing with a note. */
const noteVersion = 1;
/** A note has some hundred bytes; what is larger is none. */
const mostBytes = 64 * 1024;

/** A QEMU that had the guest, or was given it. */
export interface Holder {
  readonly socket: string;
  readonly label: string;
  /** Absent where `/proc` did not tell. */
  readonly process?: ProcessIdentity | undefined;
}

/** What lies beside a saved guest, for whoever restores it. */
export interface SavedNote {
  /**
   * `saving`: the file is not whole, or nobody saw its end. `stale`: the guest was continued after
   * it was saved, so that the file is not the guest any more.
   */
  readonly state: 'saving' | 'complete' | 'stale';
  /** Name of the run in the journals, if it had one. */
  readonly run?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly savedAt: number;
  /** Bytes of the complete file. */
  readonly bytes?: number | undefined;
  /** `device:inode` of the file; another one after it was copied. */
  readonly identity: string;
  readonly method: 'save' | 'cpr-reboot';
  readonly machineType?: string | undefined;
  readonly memoryBytes?: number | undefined;
  readonly uuid?: string | undefined;
  /** The guest ran when the save began, and runs when it is restored. */
  readonly guestRan: boolean;
  readonly qemuVersion: string;
  /** Those of `formatCapabilities` that were on, and must be on to restore. */
  readonly capabilities: readonly string[];
  /** With `multifd` alone. */
  readonly multifdChannels?: number | undefined;
  readonly source: Holder;
  /** Those that it was restored into, or was about to be. */
  readonly restores: readonly (Holder & { readonly at: number })[];
}

/** Capabilities that change the form of the file: they must be the same at both ends. */
export const formatCapabilities = ['mapped-ram', 'multifd', 'x-ignore-shared'] as const;

export type NoteReading =
  | { readonly kind: 'none' }
  | { readonly kind: 'damaged'; readonly reason: string }
  /** It tells of another file than the one that lies there. */
  | { readonly kind: 'foreign'; readonly reason: string }
  | { readonly kind: 'read'; readonly note: SavedNote };

/** Where the note of a saved guest lies. */
export function notePathOf(file: string): string {
  return `${file}.qemu-migration.json`;
}

/** The same for a file that is reached by a symbolic link. */
async function noteOf(file: string): Promise<string> {
  return notePathOf(await realpath(file).catch(() => file));
}

const integer = z.pipe(
  z.union([z.int(), z.bigint()]),
  z.transform((value: number | bigint) => BigInt(value)),
);
const holder = z.object({
  socket: z.string(),
  label: z.string(),
  process: z.optional(z.object({ pid: z.int(), startTicks: integer, boot: z.string() })),
});

const shape = z.object({
  state: z.enum(['saving', 'complete', 'stale']),
  run: z.optional(z.string()),
  savedAt: z.number(),
  bytes: z.optional(z.number()),
  identity: z.string(),
  method: z.enum(['save', 'cpr-reboot']),
  machineType: z.optional(z.string()),
  memoryBytes: z.optional(z.number()),
  uuid: z.optional(z.string()),
  guestRan: z.boolean(),
  qemuVersion: z.string(),
  capabilities: z.array(z.enum(formatCapabilities)),
  multifdChannels: z.optional(z.int()),
  source: holder,
  restores: z.array(z.extend(holder, { at: z.number() })),
});

/** The note as text; for {@link parseNote}. */
export function printNote(note: SavedNote): string {
  return `${printJson({ v: noteVersion, ...note })}\n`;
}

/** Reads a note's text; `damaged` for all that is none, and for those of later versions. */
export function parseNote(text: string): Extract<NoteReading, { kind: 'read' | 'damaged' }> {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch {
    return { kind: 'damaged', reason: 'it is not JSON' };
  }
  const version = z.object({ v: z.unknown() }).safeParse(value).data?.v;
  const read = shape.safeParse(value);
  if (version === noteVersion && read.success) return { kind: 'read', note: read.data };
  const reason =
    version === noteVersion || version === undefined
      ? 'it has an unknown form'
      : `it was written by another version (${JSON.stringify(version)})`;
  return { kind: 'damaged', reason };
}

/** The note beside a file, compared with the file. Never rejects. */
export async function readNote(file: string): Promise<NoteReading> {
  try {
    const place = await noteOf(file);
    const { size } = await stat(place);
    if (size > mostBytes) return { kind: 'damaged', reason: `it has ${size} bytes` };
    const read = parseNote(await readFile(place, 'utf8'));
    if (read.kind === 'damaged') return read;
    const { note } = read;
    const there = await stat(file, { bigint: true }).catch(() => undefined);
    const isSame = there !== undefined && fileIdentity(there) === note.identity;
    const hasSize = note.bytes !== undefined && there?.size === BigInt(note.bytes);
    if (there === undefined || hasSize || (isSame && note.bytes === undefined)) return read;
    const reason =
      note.bytes === undefined
        ? 'the file is another one'
        : `the file has ${there.size} bytes, and the note tells of ${note.bytes}`;
    return { kind: 'foreign', reason };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return { kind: 'none' };
    return { kind: 'damaged', reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Puts the note beside the file, whole or not at all, mode 0600, and on disk when it resolves. */
export async function writeNote(file: string, note: SavedNote): Promise<void> {
  const place = await noteOf(file);
  const draft = `${place}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(printNote(note));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, place);
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncDirectoryOf(place);
}

/** Makes what was created, renamed or removed in the file's directory last. */
export async function syncDirectoryOf(file: string): Promise<void> {
  const handle = await open(path.dirname(file), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
