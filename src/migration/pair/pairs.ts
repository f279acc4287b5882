import { Emitter, type Event } from '../../qmp/emitter';
import type { MachineId, MachineSnapshot } from '../../vm/types';

/** A source and the target that it is going to move to. A machine is in one pair at most. */
export interface Pair {
  readonly source: MachineId;
  readonly target: MachineId;
}

/** Where pairs outlive us; `save` may reject, then they are kept in memory. */
export interface PairStore {
  load(): readonly Pair[];
  save(pairs: readonly Pair[]): Promise<void>;
}

export type PairRole = 'source' | 'target';

/** The pairs could not be written; they are kept in memory until the window closes. */
export class PairsNotSavedError extends Error {
  override readonly name = 'PairsNotSavedError';

  constructor(cause: unknown) {
    super('The pairs of machines could not be saved', { cause });
  }
}

/** The remembered pairs. */
export class Pairs {
  private readonly changes = new Emitter<readonly MachineId[]>();
  private readonly problems = new Emitter<Error>();
  private readonly store: PairStore;
  private current: readonly Pair[];
  private saving: Promise<void> = Promise.resolve();

  /** Fires with the machines whose pair came, went or changed. */
  readonly onDidChange: Event<readonly MachineId[]> = this.changes.event;
  /** Pairs that could not be saved: a {@link PairsNotSavedError}. */
  readonly onProblem: Event<Error> = this.problems.event;

  constructor(store: PairStore) {
    this.store = store;
    // The store may have been written by hand, or by another version.
    this.current = store.load().reduce<readonly Pair[]>((pairs, { source, target }) => {
      const taken = pairs.some((pair) => isIn(pair, source) || isIn(pair, target));
      return source === target || taken ? pairs : [...pairs, { source, target }];
    }, []);
  }

  /** In the order in which they were made. */
  get all(): readonly Pair[] {
    return this.current;
  }

  /** The pair that a machine is in, and as what. */
  of(id: MachineId): { readonly pair: Pair; readonly role: PairRole } | undefined {
    const pair = this.current.find((known) => isIn(known, id));
    return pair && { pair, role: pair.source === id ? 'source' : 'target' };
  }

  /**
   * Makes a pair; ends other pairs of the two.
   *
   * @returns when it was saved, or could not be (see {@link onProblem})
   * @throws {RangeError} for a machine with itself
   */
  async set(source: MachineId, target: MachineId): Promise<void> {
    if (source === target) throw new RangeError('A machine cannot be paired with itself.');
    const known = this.of(source)?.pair;
    if (known?.source === source && known.target === target) return;
    const ended = this.current.filter((pair) => isIn(pair, source) || isIn(pair, target));
    const others = this.current.filter((pair) => !ended.includes(pair));
    await this.replace([...others, { source, target }], [...ended, { source, target }]);
  }

  /** Ends the pair that this machine is in, if any. Returns as {@link set} does. */
  async remove(id: MachineId): Promise<void> {
    const ended = this.of(id)?.pair;
    if (ended === undefined) return;
    await this.replace(
      this.current.filter((pair) => pair !== ended),
      [ended],
    );
  }

  dispose(): void {
    this.changes.dispose();
    this.problems.dispose();
  }

  private replace(pairs: readonly Pair[], touched: readonly Pair[]): Promise<void> {
    this.current = pairs;
    this.changes.fire([...new Set(touched.flatMap(({ source, target }) => [source, target]))]);
    // One after the other: what is saved last is what counts last.
    this.saving = this.saving
      .then(() => this.store.save(pairs))
      .catch((error: unknown) => {
        this.problems.fire(new PairsNotSavedError(error));
      });
    return this.saving;
  }
}

function isIn({ source, target }: Pair, id: MachineId): boolean {
  return source === id || target === id;
}

/**
 * The machine that most likely is the other side of `machine`: it has the same UUID, else the same
 * name, and one of the two waits for a migration while the other has a guest. `undefined` when none
 * is, or more than one could be. Pure.
 *
 * @param others those that may be taken; `machine` itself among them does not matter
 */
export function suggestPartner(
  machine: MachineSnapshot,
  others: readonly MachineSnapshot[],
): MachineId | undefined {
  const partner = onlyPartner(machine, others);
  if (partner === undefined) return undefined;
  // Two sources of one name would both get the one target.
  return onlyPartner(partner, [...others, machine])?.id === machine.id ? partner.id : undefined;
}

function onlyPartner(
  machine: MachineSnapshot,
  others: readonly MachineSnapshot[],
): MachineSnapshot | undefined {
  const side = sideOf(machine);
  if (side === undefined) return undefined;
  const byId = new Map(others.map((other) => [other.id, other]));
  byId.delete(machine.id);
  const opposite = [...byId.values()].filter((other) => {
    const theirs = sideOf(other);
    return theirs !== undefined && theirs !== side;
  });
  const mine = machine.facts;
  const sameUuid = opposite.filter(({ facts }) => isSame(facts?.uuid, mine?.uuid));
  const sameName = opposite.filter(
    ({ facts }) =>
      isSame(facts?.name, mine?.name) &&
      // Two machines may share a name; not the UUID that they both have.
      (facts?.uuid === undefined || mine?.uuid === undefined),
  );
  const [first, ...more] = sameUuid.length > 0 ? sameUuid : sameName;
  return more.length === 0 ? first : undefined;
}

function isSame(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && a === b;
}

/** As what a machine could take part; `undefined` for one that is not there or gave its guest away. */
function sideOf({ state, facts }: MachineSnapshot): PairRole | undefined {
  if (state.kind !== 'ready' || facts === undefined) return undefined;
  const { status } = facts.runState;
  if (status === 'inmigrate') return 'target';
  return status === 'postmigrate' ? undefined : 'source';
}
