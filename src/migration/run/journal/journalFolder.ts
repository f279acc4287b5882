import path from 'node:path';
import { BadEntryError, peekDriver, type Driver } from './entries';
import type { JournalFile, JournalFiles } from './files';
import { mayDrive } from './processes';

const suffix = '.jsonl';
const draftSuffix = '.new';
/** How many journals of what has ended are kept. */
const keptEnded = 100;

/** What a folder has to know of the journals in it. */
export interface JournalForm<Entry, State> {
  /** @throws {BadEntryError} */
  readonly parse: (line: string) => Entry;
  /** One line, without its line feed. */
  readonly print: (entry: Entry) => string;
  /** `undefined` when they do not begin with a beginning. */
  readonly stateOf: (entries: readonly Entry[]) => State | undefined;
}

/** What every kind of journal proves. */
export interface JournalBasics {
  /** Who carried it on last. */
  readonly driver: Driver;
  /** The last driver stopped watching, and told so. */
  readonly left: boolean;
  readonly ended: boolean;
}

/** A journal as it was read. */
export interface ListedJournal<State> {
  readonly id: string;
  readonly path: string;
  readonly state: State;
  /** Who carries it out now; `undefined` when it has ended or its driver is gone. */
  readonly drivenBy: Driver | undefined;
}

/** A journal that cannot be understood, and where it is now. */
export interface DamagedJournal {
  readonly path: string;
  readonly reason: string;
}

/** An open file, and how many bytes of it are whole entries. */
export interface OpenJournal {
  readonly file: JournalFile;
  readonly length: number;
}

/** All journals of one kind: one file of JSON lines each. */
export class JournalFolder<Entry extends { readonly kind: string }, State extends JournalBasics> {
  readonly directory: string;
  private readonly files: JournalFiles;
  private readonly form: JournalForm<Entry, State>;
  private readonly log: (line: string) => void;

  constructor(
    directory: string,
    files: JournalFiles,
    form: JournalForm<Entry, State>,
    log: (line: string) => void,
  ) {
    this.directory = directory;
    this.files = files;
    this.form = form;
    this.log = log;
  }

  /** Every journal that is there, the newest first; damaged ones without a living driver are set aside. */
  async list(): Promise<{
    readonly found: readonly ListedJournal<State>[];
    readonly damaged: readonly DamagedJournal[];
  }> {
    const found: ListedJournal<State>[] = [];
    const damaged: DamagedJournal[] = [];
    const names = await this.files.list(this.directory);
    for (const name of [...names].sort().reverse()) {
      const file = path.join(this.directory, name);
      if (!name.endsWith(suffix)) continue;
      const text = await this.files.read(file);
      if (text === undefined) continue;
      try {
        found.push(await this.listed(name.slice(0, -suffix.length), file, text));
      } catch (error) {
        if (!(error instanceof BadEntryError)) throw error;
        damaged.push(await this.setAside(file, text, error.message));
      }
    }
    return { found, damaged };
  }

  /** Reads one anew, as far as its entries are whole; `cut` is what is left of a last line. */
  async readAgain({ id, path: file }: ListedJournal<State>): Promise<{
    readonly listed: ListedJournal<State>;
    readonly whole: string;
    readonly cut: string;
  }> {
    const text = (await this.files.read(file)) ?? '';
    const listed = await this.listed(id, file, text);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return { listed, whole, cut: text.slice(whole.length) };
  }

  /** The entries of one; `undefined` when it is not there or cannot be understood. */
  async entries(
    id: string,
  ): Promise<{ readonly path: string; readonly entries: readonly Entry[] } | undefined> {
    const file = path.join(this.directory, `${id}${suffix}`);
    const text = await this.files.read(file);
    if (text === undefined) return undefined;
    try {
      return { path: file, entries: text.split('\n').slice(0, -1).map(this.form.parse) };
    } catch (error) {
      if (error instanceof BadEntryError) return undefined;
      throw error;
    }
  }

  /** Makes a journal with its first entry, whole and on disk, or nothing. */
  async create(id: string, first: Entry): Promise<OpenJournal> {
    await this.files.makeDirectory(path.dirname(this.directory));
    await this.files.makeDirectory(this.directory);
    const place = path.join(this.directory, `${id}${suffix}`);
    // Under another name until it is whole, or somebody who lists them would take it for a damaged one.
    const draft = path.join(this.directory, `${id}${draftSuffix}`);
    const file = await this.files.open(draft, 'new');
    try {
      const text = `${this.form.print(first)}\n`;
      await file.write(text);
      await file.sync();
      await this.files.rename(draft, place);
      await this.files.syncDirectory(this.directory);
      return { file, length: Buffer.byteLength(text) };
    } catch (error) {
      await file.close().catch(() => undefined);
      // Of something that never was.
      for (const name of [draft, place]) await this.files.remove(name).catch(() => undefined);
      throw error;
    }
  }

  /** Opens one to go on writing; a torn last line is kept in a file of its own. */
  async open(place: string, whole: string, cut: string): Promise<OpenJournal> {
    const length = Buffer.byteLength(whole);
    if (cut !== '') await this.keepCutLine(place, cut);
    const file = await this.files.open(place, 'existing');
    if (cut !== '') await file.truncate(length);
    return { file, length };
  }

  /** Removes the oldest of those that have ended, and what was never begun. */
  async prune(): Promise<void> {
    const { found } = await this.list();
    const ended = found.filter(({ state }) => state.ended);
    for (const { path: file } of ended.slice(keptEnded)) await this.files.remove(file);
    for (const name of await this.files.list(this.directory)) {
      if (!name.endsWith(draftSuffix)) continue;
      const draft = path.join(this.directory, name);
      const driver = peekDriver((await this.files.read(draft)) ?? '');
      if (driver !== undefined && !(await mayDrive(driver))) await this.files.remove(draft);
    }
  }

  /**
   * The state that a journal's text proves. A last line without its end was never relied upon: what it
   * announces was not done.
   *
   * @throws {BadEntryError}
   */
  read(text: string): State {
    const lines = text.split('\n');
    lines.pop();
    const state = this.form.stateOf(lines.map(this.form.parse));
    if (state === undefined) throw new BadEntryError('it has no beginning');
    return state;
  }

  /** @throws {BadEntryError} */
  private async listed(id: string, file: string, text: string): Promise<ListedJournal<State>> {
    const state = this.read(text);
    const running = !state.ended && !state.left && (await mayDrive(state.driver));
    return { id, path: file, state, drivenBy: running ? state.driver : undefined };
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
}
