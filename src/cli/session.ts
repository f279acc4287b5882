import { resolve } from 'node:path';
import { helperFinder } from '../fdpass/finder';
import { locateHelper } from '../fdpass/locate';
import type { JournalFiles } from '../migration/run/journal/files';
import { Journals } from '../migration/run/journal/journals';
import { devicePermissions } from '../migration/settings/backendTransfer';
import { MachineRegistry, type MachineStore } from '../vm/registry';
import type { MachineHandle } from '../vm/types';
import { InterruptedError, UsageError } from './exitCodes';
import { Interrupts, type SignalSource } from './interrupts';
import type { Terminal } from './terminal';

/** Longest message that `--verbose` shows whole; QEMU's schema alone has 250,000 characters. */
const longestTraffic = 1000;

export interface SessionOptions {
  readonly cwd: string;
  readonly signals: SignalSource;
  readonly terminal: Terminal;
  /** Show the QMP traffic. */
  readonly verbose: boolean;
  /** Connect again when a connection is lost. */
  readonly autoReconnect: boolean;
  /** Where runs are written down. */
  readonly stateDirectory: string;
  readonly journalFiles?: JournalFiles | undefined;
  /** Where the helper is; it tells the process behind a socket that was renamed. */
  readonly helper: { readonly configuredPath?: string; readonly bundledDirectory: string };
}

/** The machines of one call of the program: nothing is remembered. */
export class Session {
  readonly registry: MachineRegistry;
  readonly terminal: Terminal;
  readonly journals: Journals;
  private readonly cwd: string;
  private readonly signals: SignalSource;

  constructor(options: SessionOptions) {
    const { terminal } = options;
    this.terminal = terminal;
    this.cwd = options.cwd;
    this.signals = options.signals;
    this.journals = new Journals({
      directory: options.stateDirectory,
      ...(options.journalFiles && { files: options.journalFiles }),
      program: 'qemu-migration on the command line',
      log: (line) => terminal.note(line),
    });
    this.registry = new MachineRegistry({
      devicePermissions,
      store: noStore,
      findHelper: helperFinder(() =>
        locateHelper({ ...options.helper, platform: process.platform, arch: process.arch }),
      ),
      autoReconnect: options.autoReconnect,
      ...(options.verbose
        ? {
            onTraffic: (_id, label, direction, text) => {
              const arrow = direction === 'out' ? '>' : '<';
              terminal.note(`${clock()} ${label} ${arrow} ${shorten(text)}`);
            },
          }
        : {}),
    });
  }

  /** The absolute path that `path`, as typed, means. */
  socketPath(path: string): string {
    if (path === '') throw new UsageError('The path of a QMP socket is empty.');
    return resolve(this.cwd, path);
  }

  /** The absolute path that was typed for an option. @throws {UsageError} */
  path(typed: string, option: string): string {
    if (typed === '') throw new UsageError(`${option}: the path is empty.`);
    return resolve(this.cwd, typed);
  }

  /** @throws {QmpConnectError} */
  connect(path: string): Promise<MachineHandle> {
    return this.registry.connect(this.socketPath(path));
  }

  /**
   * Does not let Ctrl+C end a change half-way: it is made, or put back, first. A second one leaves it
   * as it is then.
   *
   * @throws {InterruptedError}
   */
  async toItsEnd<Result>(change: () => Promise<Result>): Promise<Result> {
    let leave: (error: InterruptedError) => void = () => undefined;
    const left = new Promise<never>((_, reject) => (leave = reject));
    const interrupts = new Interrupts(this.signals, (count) => {
      if (count > 1) leave(new InterruptedError());
      else
        this.terminal.note('The change is made, or put back, first. Once more (Ctrl+C): leave it.');
    });
    try {
      return await Promise.race([change(), left]);
    } finally {
      interrupts.dispose();
    }
  }

  dispose(): void {
    this.registry.dispose();
  }
}

const noStore: MachineStore = {
  load: () => [],
  save: () => Promise.resolve(),
};

/** Time of day with milliseconds, for log lines. */
export function clock(now = new Date()): string {
  return now.toISOString().slice(11, 23);
}

function shorten(text: string): string {
  if (text.length <= longestTraffic) return text;
  return `${text.slice(0, longestTraffic)}… (${text.length} characters)`;
}
