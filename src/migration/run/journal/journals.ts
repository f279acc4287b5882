import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { identifyMachine, mayDrive, ourselves } from './processes';
import type { MachineSnapshot } from '../../../vm/types';
import type { RunOutcome } from '../types';
import {
  BadEntryError,
  parseEntry,
  peekDriver,
  printEntry,
  type Driver,
  type JournalEntry,
  type MachineIdentity,
  type StampedEntry,
} from './entries';
import {
  JournalUnavailableError,
  MachineDrivenError,
  NoSuchRunError,
  UnfinishedRunError,
} from './errors';
import { realFiles, type JournalFiles } from './files';
import { MachineLocks, type Lockable, type MachineLock } from './locks';
import { RunJournal } from './runJournal';
import { stateOf, type Beginning, type JournalState } from './state';

const suffix = '.jsonl';
const draftSuffix = '.new';
/** How many journals of ended runs are kept. */
const keptEnded = 100;

export interface JournalsOptions {
  /** See `stateDirectory`. */
  readonly directory: string;
  /** Who we are, for a person in another window or terminal. */
  readonly program: string;
  readonly files?: JournalFiles;
  readonly log?: (line: string) => void;
}

/** A journal as it was read. */
export interface ListedRun {
  readonly id: string;
  readonly path: string;
  readonly state: JournalState;
  /** Who carries the run out now; `undefined` when it has ended or its driver is gone. */
  readonly drivenBy: Driver | undefined;
}

/** A journal that cannot be understood, and where it is now. */
export interface DamagedJournal {
  readonly path: string;
  readonly reason: string;
}

/** A journal as it is written. */
export interface JournalText {
  readonly path: string;
  /** The oldest first. */
  readonly entries: readonly StampedEntry[];
}

export interface JournalList {
  /** The newest first. */
  readonly runs: readonly ListedRun[];
  readonly damaged: readonly DamagedJournal[];
}

/** Both machines are ours; to be begun or released. */
export interface Claim {
  /** @throws {JournalUnavailableError} then nothing is claimed any more */
  begin(
    beginning: Omit<Beginning, 'kind' | 'run' | 'driver' | 'source' | 'target'>,
  ): Promise<RunJournal>;
  release(): Promise<void>;
}

/** All journals and locks of this user on this host. */
export class Journals {
  readonly directory: string;
  private readonly runsDirectory: string;
  private readonly files: JournalFiles;
  private readonly program: string;
  private readonly locks: MachineLocks;
  private readonly log: (line: string) => void;

  constructor(options: JournalsOptions) {
    this.directory = options.directory;
    this.runsDirectory = path.join(options.directory, 'runs');
    this.files = options.files ?? realFiles;
    this.program = options.program;
    this.log = options.log ?? (() => undefined);
    this.locks = new MachineLocks(path.join(options.directory, 'locks'), this.files);
  }

  /**
   * Takes both machines for one run.
   *
   * @param besides what the run needs for itself as well
   * @throws {MachineDrivenError} another run has one of them
   * @throws {UnfinishedRunError} a run of one of them was left in the middle
   * @throws {JournalUnavailableError}
   */
  async claim(
    source: MachineSnapshot,
    target: MachineSnapshot,
    besides?: Lockable,
  ): Promise<Claim> {
    const machines = {
      source: await identifyMachine(source),
      target: await identifyMachine(target),
    };
    const driver = await ourselves(this.program);
    const wanted = [machines.source, machines.target, ...(besides === undefined ? [] : [besides])];
    const locks = await this.lockAll(wanted, driver);
    const release = (): Promise<void> => releaseAll(locks);
    try {
      await this.failIfUnfinished([machines.source, machines.target]);
    } catch (error) {
      await release();
      throw error;
    }
    return {
      release,
      begin: async (beginning) => {
        const run = newRunId();
        const entry = { kind: 'begin', run, driver, ...machines, ...beginning } as const;
        try {
          return await this.create(run, entry, release);
        } catch (error) {
          await release();
          throw new JournalUnavailableError(this.runsDirectory, error);
        }
      },
    };
  }

  /** Who has the machine in a run now, as its lock says. */
  async driverOf(machine: MachineSnapshot): Promise<Driver | undefined> {
    return this.locks.holder(await identifyMachine(machine));
  }

  /** Every journal that is there; damaged ones without a living driver are set aside. */
  async list(): Promise<JournalList> {
    const runs: ListedRun[] = [];
    const damaged: DamagedJournal[] = [];
    const names = await this.files.list(this.runsDirectory);
    for (const name of [...names].sort().reverse()) {
      const file = path.join(this.runsDirectory, name);
      if (!name.endsWith(suffix)) continue;
      const text = await this.files.read(file);
      if (text === undefined) continue;
      try {
        runs.push(await this.listed(name.slice(0, -suffix.length), file, text));
      } catch (error) {
        if (!(error instanceof BadEntryError)) throw error;
        damaged.push(await this.setAside(file, text, error.message));
      }
    }
    return { runs, damaged };
  }

  /**
   * Takes a run over whose driver is gone.
   *
   * @throws {NoSuchRunError}
   * @throws {MachineDrivenError}
   */
  async reopen(id: string): Promise<{ journal: RunJournal; state: JournalState }> {
    const found = await this.find(id);
    const { source, target } = found.state.begin;
    if (found.drivenBy !== undefined) throw new MachineDrivenError(source.label, found.drivenBy);
    const driver = await ourselves(this.program);
    const locks = await this.lockAll([source, target], driver);
    try {
      // Somebody may have finished it before we had the locks.
      const text = (await this.files.read(found.path)) ?? '';
      const { state } = await this.listed(found.id, found.path, text);
      if (state.ended) throw new NoSuchRunError(id, 'ended');
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      const journal = await this.openExisting(found, whole, text.slice(whole.length), locks);
      await journal.record({ kind: 'driver', driver });
      return { journal, state };
    } catch (error) {
      await releaseAll(locks);
      throw error;
    }
  }

  /** Calls a run ended that nobody can find out about; nothing is sent. */
  async forget(id: string, outcome: (state: JournalState) => RunOutcome): Promise<RunOutcome> {
    const { journal, state } = await this.reopen(id);
    return journal.end(outcome(state));
  }

  /**
   * What was written down of a run, for a person to read; `undefined` when its journal is not there, or
   * cannot be understood. Changes nothing.
   */
  async read(id: string): Promise<JournalText | undefined> {
    const file = path.join(this.runsDirectory, `${id}${suffix}`);
    const text = await this.files.read(file);
    if (text === undefined) return undefined;
    try {
      return { path: file, entries: text.split('\n').slice(0, -1).map(parseEntry) };
    } catch (error) {
      if (error instanceof BadEntryError) return undefined;
      throw error;
    }
  }

  /** @throws {NoSuchRunError} */
  async find(id: string): Promise<ListedRun> {
    const { runs } = await this.list();
    const found = runs.filter((run) => run.id === id || run.id.endsWith(id));
    const [first, second] = found;
    if (id === '' || first === undefined) throw new NoSuchRunError(id, 'missing');
    if (second !== undefined && first.id !== id) throw new NoSuchRunError(id, 'ambiguous');
    if (first.state.ended) throw new NoSuchRunError(id, 'ended');
    return first;
  }

  private async failIfUnfinished(machines: readonly MachineIdentity[]): Promise<void> {
    const { runs, damaged } = await this.list().catch((error: unknown) => {
      throw new JournalUnavailableError(this.runsDirectory, error);
    });
    for (const { path: file, reason } of damaged) this.log(`damaged journal ${file}: ${reason}`);
    for (const { id, state } of runs) {
      const { source, target } = state.begin;
      const ours = machines.some(({ key }) => key === source.key || key === target.key);
      if (ours && !state.ended) throw new UnfinishedRunError(id, source.label, target.label);
    }
  }

  private async lockAll(
    machines: readonly Lockable[],
    driver: Driver,
  ): Promise<readonly MachineLock[]> {
    const taken: MachineLock[] = [];
    try {
      // One machine may be both sides, and has one lock.
      const distinct = new Map(machines.map((machine) => [machine.key, machine]));
      for (const machine of distinct.values()) taken.push(await this.locks.take(machine, driver));
      return taken;
    } catch (error) {
      await releaseAll(taken);
      if (error instanceof Error && 'code' in error) {
        throw new JournalUnavailableError(path.join(this.directory, 'locks'), error);
      }
      throw error;
    }
  }

  private async create(
    run: string,
    entry: JournalEntry,
    release: () => Promise<void>,
  ): Promise<RunJournal> {
    await this.files.makeDirectory(this.directory);
    await this.files.makeDirectory(this.runsDirectory);
    const place = path.join(this.runsDirectory, `${run}${suffix}`);
    // Under another name until it is whole, or somebody who lists runs would take it for a damaged one.
    const draft = path.join(this.runsDirectory, `${run}${draftSuffix}`);
    const file = await this.files.open(draft, 'new');
    try {
      const text = `${printEntry({ at: Date.now(), ...entry })}\n`;
      await file.write(text);
      await file.sync();
      await this.files.rename(draft, place);
      await this.files.syncDirectory(this.runsDirectory);
      return this.journalOf(run, file, Buffer.byteLength(text), release);
    } catch (error) {
      await file.close().catch(() => undefined);
      // Of a run that never was.
      for (const name of [draft, place]) await this.files.remove(name).catch(() => undefined);
      throw error;
    }
  }

  private async openExisting(
    { id, path: place }: ListedRun,
    whole: string,
    rest: string,
    locks: readonly MachineLock[],
  ): Promise<RunJournal> {
    const length = Buffer.byteLength(whole);
    if (rest !== '') await this.keepCutLine(place, rest);
    const file = await this.files.open(place, 'existing');
    if (rest !== '') await file.truncate(length);
    return this.journalOf(id, file, length, () => releaseAll(locks));
  }

  /** What a host that went down in the middle of a line has left of it. */
  private async keepCutLine(place: string, rest: string): Promise<void> {
    this.log(`${place} ends in the middle of a line: ${rest}`);
    const file = await this.files
      .open(`${place}.${Date.now()}.damaged`, 'new')
      .catch(() => undefined);
    await file?.write(rest).catch(() => undefined);
    await file?.close().catch(() => undefined);
  }

  private journalOf(
    run: string,
    file: Awaited<ReturnType<JournalFiles['open']>>,
    length: number,
    release: () => Promise<void>,
  ): RunJournal {
    return new RunJournal(run, file, length, {
      log: this.log,
      afterEnd: async (ended) => {
        await release();
        if (ended) await this.prune();
      },
    });
  }

  /** @throws {BadEntryError} */
  private async listed(id: string, file: string, text: string): Promise<ListedRun> {
    const state = readJournal(text);
    const running = !state.ended && !state.left && (await mayDrive(state.driver));
    return { id, path: file, state, drivenBy: running ? state.driver : undefined };
  }

  private async setAside(file: string, text: string, reason: string): Promise<DamagedJournal> {
    const driver = peekDriver(text.split('\n', 1)[0] ?? '');
    // Another version of this program may be at it right now.
    if (driver !== undefined && (await mayDrive(driver))) return { path: file, reason };
    const aside = `${file}.damaged`;
    try {
      await this.files.rename(file, aside);
    } catch {
      return { path: file, reason };
    }
    return { path: aside, reason };
  }

  private async prune(): Promise<void> {
    const { runs } = await this.list();
    const ended = runs.filter(({ state }) => state.ended);
    for (const { path: file } of ended.slice(keptEnded)) await this.files.remove(file);
    for (const name of await this.files.list(this.runsDirectory)) {
      if (!name.endsWith(draftSuffix)) continue;
      const draft = path.join(this.runsDirectory, name);
      const driver = peekDriver((await this.files.read(draft)) ?? '');
      if (driver !== undefined && !(await mayDrive(driver))) await this.files.remove(draft);
    }
  }
}

/**
 * The state that a journal's text proves. A last line without its end was never relied upon: what it
 * announces was not done.
 *
 * @throws {BadEntryError}
 */
export function readJournal(text: string): JournalState {
  const lines = text.split('\n');
  lines.pop();
  const entries: StampedEntry[] = lines.map(parseEntry);
  const state = stateOf(entries);
  if (state === undefined) throw new BadEntryError('it has no beginning');
  return state;
}

async function releaseAll(locks: readonly MachineLock[]): Promise<void> {
  for (const lock of locks) await lock.release().catch(() => undefined);
}

/** Sorts by time; the end alone tells it apart from the others of a day. */
function newRunId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  return `${time}-${randomBytes(3).toString('hex')}`;
}
