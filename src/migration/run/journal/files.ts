import { link, mkdir, open, readdir, readFile, rename, rm, stat, chmod } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

/** An open journal. */
export interface JournalFile {
  /** Appends. */
  write(text: string): Promise<void>;
  /** Resolves when all that was written is on disk. */
  sync(): Promise<void>;
  /** Cuts the file to its first `bytes`. */
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** What journals and locks do on disk; another one in tests, for disks that are full or slow. */
export interface JournalFiles {
  /** Makes the directory, for its owner alone, and those above it. */
  makeDirectory(directory: string): Promise<void>;
  /** Opens for appending; a new file must not be there yet. Mode 0600. */
  open(file: string, which: 'new' | 'existing'): Promise<JournalFile>;
  /** Makes what was created or renamed in the directory last. */
  syncDirectory(directory: string): Promise<void>;
  /** Names in it; empty when it is not there. */
  list(directory: string): Promise<readonly string[]>;
  /** `undefined` when it is not there. */
  read(file: string): Promise<string | undefined>;
  /** Another name for the file; rejects with EEXIST when that name is taken. */
  link(file: string, name: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(file: string): Promise<void>;
}

/** Where runs are remembered: one place for all windows and terminals of a user on this host. */
export function stateDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const own = env['QEMU_MIGRATION_STATE'];
  if (own !== undefined && path.isAbsolute(own)) return own;
  const xdg = env['XDG_STATE_HOME'];
  // Relative ones are to be ignored, says the XDG Base Directory Specification.
  const base =
    xdg !== undefined && path.isAbsolute(xdg)
      ? xdg
      : path.join(env['HOME'] ?? os.homedir(), '.local/state');
  return path.join(base, 'qemu-migration');
}

export const realFiles: JournalFiles = {
  makeDirectory: async (directory) => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = await stat(directory);
    const ours = process.getuid?.();
    if (ours !== undefined && uid !== ours) {
      throw new Error(`${directory} belongs to another user (${uid}).`);
    }
    if ((mode & 0o077) !== 0) await chmod(directory, 0o700);
  },
  open: async (file, which) => {
    const handle = await open(file, which === 'new' ? 'ax' : 'a', 0o600);
    return {
      write: async (text) => {
        await handle.appendFile(text);
      },
      sync: () => handle.sync(),
      truncate: (bytes) => handle.truncate(bytes),
      close: () => handle.close(),
    };
  },
  syncDirectory: async (directory) => {
    const handle = await open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  list: async (directory) => {
    try {
      return await readdir(directory);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  },
  read: async (file) => {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  },
  link: (file, name) => link(file, name),
  rename: (from, to) => rename(from, to),
  remove: (file) => rm(file, { force: true }),
};

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
