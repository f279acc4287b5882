import { type Command, Option } from 'commander';
import { join, resolve } from 'node:path';
import type { OpenUpdateDesk } from '../../migration/liveUpdate/desk';
import type { JournalFiles } from '../../migration/run/journal/files';
import type { LineSource } from '../lines';
import type { SignalSource } from '../interrupts';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import type { OutputStream } from '../terminal';

/** What the program needs of the process around it. */
export interface Surroundings {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** What is typed while a migration goes on; absent: nothing. */
  readonly stdin?: LineSource;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where the bundle lies, the helper in `bin` beside it. */
  readonly bundleDirectory: string;
  readonly signals: SignalSource;
  /** How journals reach the disk; another way in tests. */
  readonly journalFiles?: JournalFiles;
  /** How live updates are made; another way in tests. */
  readonly openUpdateDesk?: OpenUpdateDesk;
}

export interface CommonOptions {
  readonly json?: true;
  readonly verbose?: true;
  /** Of commands that have it. */
  readonly helper?: string;
}

/** Opens a session, does the work, prints what came of it. */
export type Perform = (
  options: CommonOptions,
  work: (session: Session) => Promise<CommandResult>,
  /** For what is changed: after a lost connection it has to be seen to, and put back. */
  autoReconnect?: boolean,
) => Promise<void>;

/** What a group of commands is built with. */
export interface Kit {
  readonly around: Surroundings;
  readonly perform: Perform;
  /** What stood behind `--exec-command --`. */
  readonly execCommand: readonly string[] | undefined;
  /** A command with the options that all have. */
  readonly command: (name: string, summary: string, after: string) => Command;
}

export function allowExec(): Option {
  return new Option('--allow-exec', 'allow setting a command that QEMU will execute');
}

export function helperPlace(
  flag: string | undefined,
  around: Surroundings,
): { configuredPath?: string; bundledDirectory: string } {
  const bundledDirectory = join(around.bundleDirectory, 'bin');
  const named = flag ?? around.env['QEMU_MIGRATION_HELPER'];
  if (named === undefined || named === '') return { bundledDirectory };
  return { configuredPath: resolve(around.cwd, named), bundledDirectory };
}
