import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { identifyMachine, isSameIdentity, ourselves } from './processes';
import type { MachineSnapshot } from '../../../vm/types';
import type { RunOutcome } from '../types';
import {
  parseEntry,
  printEntry,
  type Driver,
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
import {
  JournalFolder,
  type DamagedJournal,
  type JournalBasics,
  type ListedJournal,
  type OpenJournal,
} from './journalFolder';
import { MachineLocks, type Lockable, type MachineLock } from './locks';
import { RunJournal } from './runJournal';
import { stateOf, type Beginning, type JournalState } from './state';
import {
  parseUpdateEntry,
  printUpdateEntry,
  type JournalledUpdateEnd,
  type StampedUpdateEntry,
} from './updateEntries';
import { UpdateJournal } from './updateJournal';
import { updateStateOf, type UpdateBeginning, type UpdateState } from './updateState';

export type { DamagedJournal } from './journalFolder';

export interface JournalsOptions {
  /** See `stateDirectory`. */
  readonly directory: string;
  /** Who we are, for a person in another window or terminal. */
  readonly program: string;
  readonly files?: JournalFiles;
  readonly log?: (line: string) => void;
}

/** The journal of a run as it was read. */
export type ListedRun = ListedJournal<JournalState>;
/** The journal of a live update as it was read. */
export type ListedUpdate = ListedJournal<UpdateState>;

/** Keys of machines (see `MachineIdentity.key`) that the caller has claimed already. */
export type Holding = ReadonlySet<string>;

const none: Holding = new Set();

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

/** A machine that is ours for a live update. */
export interface UpdateClaim {
  /** For the run of the update, and for all else that claims machines meanwhile. */
  readonly holding: Holding;
  /** @throws {JournalUnavailableError} then nothing is claimed any more */
  begin(
    beginning: Omit<UpdateBeginning, 'kind' | 'update' | 'driver' | 'machine'>,
  ): Promise<UpdateJournal>;
  /** Takes the new QEMU as well. @throws {MachineDrivenError} */
  add(target: Lockable): Promise<void>;
  /** Not needed after `begin`: the end of the journal releases too. */
  release(): Promise<void>;
}

/** All journals and locks of this user on this host. */
export class Journals {
  readonly directory: string;
  private readonly runs: JournalFolder<StampedEntry, JournalState>;
  private readonly updates: JournalFolder<StampedUpdateEntry, UpdateState>;
  private readonly files: JournalFiles;
  private readonly program: string;
  private readonly locks: MachineLocks;
  private readonly log: (line: string) => void;

  constructor(options: JournalsOptions) {
    this.directory = options.directory;
    this.files = options.files ?? realFiles;
    this.program = options.program;
    this.log = options.log ?? (() => undefined);
    const folder = (name: string): string => path.join(options.directory, name);
    this.runs = new JournalFolder(folder('runs'), this.files, runForm, this.log);
    this.updates = new JournalFolder(folder('updates'), this.files, updateForm, this.log);
    this.locks = new MachineLocks(path.join(options.directory, 'locks'), this.files);
  }

  /**
   * Takes both machines for one run.
   *
   * @param besides what the run needs for itself as well
   * @param holding what the caller has claimed already: not taken here, and not released
   * @throws {MachineDrivenError} another run has one of them
   * @throws {UnfinishedRunError} a run of one of them was left in the middle
   * @throws {JournalUnavailableError}
   */
  async claim(
    source: MachineSnapshot,
    target: MachineSnapshot,
    besides?: Lockable,
    holding: Holding = none,
  ): Promise<Claim> {
    const machines = {
      source: await identifyMachine(source),
      target: await identifyMachine(target),
    };
    const driver = await ourselves(this.program);
    const wanted = [machines.source, machines.target, ...(besides === undefined ? [] : [besides])];
    const locks = await this.lockAll(wanted, driver, holding);
    const release = (): Promise<void> => releaseAll(locks);
    try {
      await this.failIfUnfinished([machines.source, machines.target], holding);
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
          const opened = await this.runs.create(run, { at: Date.now(), ...entry });
          return this.journalOf(run, opened, release);
        } catch (error) {
          await release();
          throw new JournalUnavailableError(this.runs.directory, error);
        }
      },
    };
  }

  /**
   * Takes a machine for a live update.
   *
   * @throws {MachineDrivenError} a run or another update has it
   * @throws {UnfinishedRunError} a run or an update of it was left in the middle
   * @throws {JournalUnavailableError}
   */
  async claimUpdate(source: MachineSnapshot): Promise<UpdateClaim> {
    const machine = await identifyMachine(source);
    const driver = await ourselves(this.program);
    const claim = await this.hold([machine], driver);
    try {
      await this.failIfUnfinished([machine], none);
    } catch (error) {
      await claim.release();
      throw error;
    }
    return {
      ...claim,
      begin: async (beginning) => {
        const update = newUpdateId();
        const entry = { kind: 'begin', update, driver, machine, ...beginning } as const;
        try {
          const opened = await this.updates.create(update, { at: Date.now(), ...entry });
          return this.updateJournalOf(update, opened, claim.release);
        } catch (error) {
          await claim.release();
          throw new JournalUnavailableError(this.updates.directory, error);
        }
      },
    };
  }

  /** Who has the machine in a run now, as its lock says. */
  async driverOf(machine: MachineSnapshot): Promise<Driver | undefined> {
    return this.locks.holder(await identifyMachine(machine));
  }

  /** The journal of every run that is there; damaged ones without a living driver are set aside. */
  async list(): Promise<JournalList> {
    const { found, damaged } = await this.runs.list();
    return { runs: found, damaged };
  }

  /** The same of live updates, the newest first. */
  async listUpdates(): Promise<{
    readonly updates: readonly ListedUpdate[];
    readonly damaged: readonly DamagedJournal[];
  }> {
    const { found, damaged } = await this.updates.list();
    return { updates: found, damaged };
  }

  /**
   * Takes a run over whose driver is gone.
   *
   * @param besidesOf what the run needs for itself beside its machines, as it was begun with
   * @throws {NoSuchRunError}
   * @throws {MachineDrivenError}
   */
  async reopen(
    id: string,
    holding: Holding = none,
    besidesOf: (begin: JournalState['begin']) => Promise<Lockable | undefined> = nothingBesides,
  ): Promise<{ journal: RunJournal; state: JournalState }> {
    const found = await this.find(id);
    const { source, target } = found.state.begin;
    if (found.drivenBy !== undefined) throw new MachineDrivenError(source.label, found.drivenBy);
    const driver = await ourselves(this.program);
    const besides = await besidesOf(found.state.begin);
    const wanted = [source, target, ...(besides === undefined ? [] : [besides])];
    const locks = await this.lockAll(wanted, driver, holding);
    const release = (): Promise<void> => releaseAll(locks);
    try {
      const { state, opened } = await this.openAgain(this.runs, found);
      const journal = this.journalOf(found.id, opened, release);
      await journal.record({ kind: 'driver', driver });
      return { journal, state };
    } catch (error) {
      await release();
      throw error;
    }
  }

  /**
   * Takes a live update over whose driver is gone, with both of its machines.
   *
   * @throws {NoSuchRunError}
   * @throws {MachineDrivenError}
   */
  async reopenUpdate(id: string): Promise<{
    readonly journal: UpdateJournal;
    readonly state: UpdateState;
    readonly holding: Holding;
    readonly add: UpdateClaim['add'];
  }> {
    const found = await this.findUpdate(id);
    const { machine } = found.state.begin;
    if (found.drivenBy !== undefined) throw new MachineDrivenError(machine.label, found.drivenBy);
    const driver = await ourselves(this.program);
    const claim = await this.hold([machine], driver);
    try {
      const { state, opened } = await this.openAgain(this.updates, found);
      const journal = this.updateJournalOf(found.id, opened, claim.release);
      await journal.record({ kind: 'driver', driver });
      return { journal, state, holding: claim.holding, add: claim.add };
    } catch (error) {
      await claim.release();
      throw error;
    }
  }

  /** Calls a run ended that nobody can find out about; nothing is sent. */
  async forget(id: string, outcome: (state: JournalState) => RunOutcome): Promise<RunOutcome> {
    const { journal, state } = await this.reopen(id);
    return journal.end(outcome(state));
  }

  /** The same of a live update; its run is left as it is. */
  async forgetUpdate(
    id: string,
    outcome: (state: UpdateState) => JournalledUpdateEnd,
  ): Promise<JournalledUpdateEnd> {
    const { journal, state } = await this.reopenUpdate(id);
    const end = outcome(state);
    await journal.end(end, true);
    return end;
  }

  /**
   * What was written down of a run, for a person to read; `undefined` when its journal is not there, or
   * cannot be understood. Changes nothing.
   */
  read(id: string): Promise<JournalText | undefined> {
    return this.runs.entries(id);
  }

  /** @throws {NoSuchRunError} */
  async find(id: string): Promise<ListedRun> {
    const { runs } = await this.list();
    return pick(runs, id);
  }

  /** @throws {NoSuchRunError} */
  async findUpdate(id: string): Promise<ListedUpdate> {
    const { updates } = await this.listUpdates();
    return pick(updates, id);
  }

  private async failIfUnfinished(
    machines: readonly MachineIdentity[],
    holding: Holding,
  ): Promise<void> {
    const { runs, damaged } = await this.list().catch((error: unknown) => {
      throw new JournalUnavailableError(this.runs.directory, error);
    });
    const { updates } = await this.listUpdates().catch((error: unknown) => {
      throw new JournalUnavailableError(this.updates.directory, error);
    });
    for (const { id, state } of updates) {
      const { machine } = state.begin;
      // The run of an update, or one that is taken up with it.
      if (state.ended || holding.has(machine.key)) continue;
      const ours = machines.some(({ key, process }) => {
        const isTarget =
          process !== undefined &&
          state.target !== undefined &&
          isSameIdentity(process, state.target);
        return key === machine.key || isTarget;
      });
      if (ours) throw new UnfinishedRunError(id, machine.label, 'its new QEMU');
    }
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
    holding: Holding = none,
  ): Promise<readonly MachineLock[]> {
    const taken: MachineLock[] = [];
    try {
      // One machine may be both sides, and has one lock.
      const distinct = new Map(machines.map((machine) => [machine.key, machine]));
      for (const machine of distinct.values()) {
        if (!holding.has(machine.key)) taken.push(await this.locks.take(machine, driver));
      }
      return taken;
    } catch (error) {
      await releaseAll(taken);
      if (error instanceof Error && 'code' in error) {
        throw new JournalUnavailableError(path.join(this.directory, 'locks'), error);
      }
      throw error;
    }
  }

  /** Locks that can be added to, for a live update. */
  private async hold(
    machines: readonly Lockable[],
    driver: Driver,
  ): Promise<Omit<UpdateClaim, 'begin'>> {
    const locks = [...(await this.lockAll(machines, driver))];
    const holding = new Set(machines.map(({ key }) => key));
    return {
      holding,
      add: async (target) => {
        if (holding.has(target.key)) return;
        locks.push(...(await this.lockAll([target], driver)));
        holding.add(target.key);
      },
      release: () => releaseAll(locks),
    };
  }

  /** Somebody may have finished it before we had the locks. @throws {NoSuchRunError} */
  private async openAgain<Entry extends { readonly kind: string }, State extends JournalBasics>(
    folder: JournalFolder<Entry, State>,
    found: ListedJournal<State>,
  ): Promise<{ readonly state: State; readonly opened: OpenJournal }> {
    const { listed, whole, cut } = await folder.readAgain(found);
    if (listed.state.ended) throw new NoSuchRunError(found.id, 'ended');
    return { state: listed.state, opened: await folder.open(found.path, whole, cut) };
  }

  private journalOf(run: string, opened: OpenJournal, release: () => Promise<void>): RunJournal {
    return new RunJournal(run, opened, {
      log: this.log,
      afterEnd: async (ended) => {
        await release();
        if (ended) await this.runs.prune();
      },
    });
  }

  private updateJournalOf(
    update: string,
    opened: OpenJournal,
    release: () => Promise<void>,
  ): UpdateJournal {
    return new UpdateJournal(update, opened, {
      log: this.log,
      afterEnd: async (ended) => {
        await release();
        if (ended) await this.updates.prune();
      },
    });
  }
}

const runForm = { parse: parseEntry, print: printEntry, stateOf };
const updateForm = {
  parse: parseUpdateEntry,
  print: printUpdateEntry,
  stateOf: updateStateOf,
};

/** The one that is meant by an id or by its end. @throws {NoSuchRunError} */
function pick<State extends JournalBasics>(
  all: readonly ListedJournal<State>[],
  id: string,
): ListedJournal<State> {
  const found = all.filter((one) => one.id === id || one.id.endsWith(id));
  const [first, second] = found;
  if (id === '' || first === undefined) throw new NoSuchRunError(id, 'missing');
  if (second !== undefined && first.id !== id) throw new NoSuchRunError(id, 'ambiguous');
  if (first.state.ended) throw new NoSuchRunError(id, 'ended');
  return first;
}

const nothingBesides = (): Promise<undefined> => Promise.resolve(undefined);

async function releaseAll(locks: readonly MachineLock[]): Promise<void> {
  for (const lock of locks) await lock.release().catch(() => undefined);
}

/** Sorts by time; the end alone tells it apart from the others of a day. */
function newRunId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  return `${time}-${randomBytes(3).toString('hex')}`;
}

/** Told from a run's name by its first letter. */
function newUpdateId(): string {
  return `u${newRunId()}`;
}
