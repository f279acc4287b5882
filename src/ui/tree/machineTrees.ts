import type { UpdateDesk } from '../../migration/liveUpdate/desk';
import type { Pairs } from '../../migration/pair/pairs';
import { offersOf } from '../../migration/view/offers';
import type { Runs } from '../../migration/run/runs';
import type { OtherDriver, PairView } from '../../migration/view/context';
import {
  countSettings,
  filterTree,
  isFiltering,
  noFilter,
  type TreeFilter,
} from '../../migration/view/filter';
import { buildMachineNode } from '../../migration/view/machineTree';
import { changedNodes, type ViewNode } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { NodeHandle } from './nodeHandle';
import { RowRegister } from './rowRegister';

export interface TreeSources {
  readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  readonly runs: Pick<Runs, 'last'>;
  readonly pairs: Pick<Pairs, 'of'>;
  readonly updates?: Pick<UpdateDesk, 'last'>;
  readonly drivers?: { of(id: MachineId): OtherDriver | undefined };
}

/** What is to be drawn again: everything, or these rows with what is below them. */
export type Redraw = 'everything' | readonly NodeHandle[];

/**
 * The trees of all machines: built once of what a machine says, filtered as often as somebody types.
 * Knows nothing of VS Code.
 */
export class MachineTrees {
  readonly rows = new RowRegister();
  private readonly sources: TreeSources;
  private built = new Map<MachineId, ViewNode>();
  private shown = new Map<MachineId, ViewNode>();
  private filter: TreeFilter = noFilter;
  /** Machines whose tree was built anew since the last filtering. */
  private readonly rebuilt = new Set<MachineId>();

  constructor(sources: TreeSources) {
    this.sources = sources;
  }

  /** The top rows, in their order. */
  get roots(): readonly ViewNode[] {
    return [...this.shown.values()];
  }

  /** The top row of a machine. */
  root(id: MachineId): ViewNode | undefined {
    return this.shown.get(id);
  }

  /** Whether the rows shown are only those that match a filter. */
  get filtered(): boolean {
    return isFiltering(this.filter);
  }

  /** How many settings are shown, on all machines. */
  get settingCount(): number {
    return this.roots.reduce((sum, root) => sum + countSettings(root), 0);
  }

  /** The machine on the other side of the pair that this one is in. */
  partner(id: MachineId): MachineId | undefined {
    return this.pairOf(id)?.otherId;
  }

  /** Brings the rows up to date. @param stale machines that may have changed */
  update(stale: ReadonlySet<MachineId>, filter: TreeFilter): Redraw {
    this.build(stale);
    const refiltered = filter !== this.filter;
    this.filter = filter;
    const before = this.shown;
    const after = new Map<MachineId, ViewNode>();
    for (const [id, node] of this.built) {
      const old = before.get(id);
      const same = !refiltered && old !== undefined && !this.rebuilt.has(id);
      after.set(id, same ? old : filterTree(node, filter));
    }
    this.rebuilt.clear();
    this.shown = after;
    return this.enter(before, after);
  }

  private build(stale: ReadonlySet<MachineId>): void {
    const { machines } = this.sources.registry;
    const listed = new Set(machines.map(({ id }) => id));
    const cameOrWent = new Set([
      ...[...listed].filter((id) => !this.built.has(id)),
      ...[...this.built.keys()].filter((id) => !listed.has(id)),
    ]);
    const after = new Map<MachineId, ViewNode>();
    for (const machine of machines) {
      const { id } = machine;
      const pair = this.pairOf(id);
      // What it says of its partner changes with the partner.
      const touched = [id, ...(pair === undefined ? [] : [pair.otherId])].some(
        (each) => stale.has(each) || cameOrWent.has(each),
      );
      const old = this.built.get(id);
      after.set(id, old === undefined || touched ? this.buildOne(machine, pair) : old);
    }
    this.built = after;
  }

  private buildOne({ id, snapshot }: MachineHandle, pair: PairView | undefined): ViewNode {
    this.rebuilt.add(id);
    const { runs, registry, drivers, updates } = this.sources;
    const run = runs.last(id);
    const offers = run && offersOf(run, registry);
    return buildMachineNode(snapshot, {
      ...{ run, pair, offers },
      driver: drivers?.of(id),
      update: updates?.last(id),
    });
  }

  private pairOf(id: MachineId): PairView | undefined {
    const found = this.sources.pairs.of(id);
    if (found === undefined) return undefined;
    const { pair, role } = found;
    const otherId = role === 'source' ? pair.target : pair.source;
    return { role, otherId, other: this.sources.registry.get(otherId)?.snapshot };
  }

  private enter(
    before: ReadonlyMap<MachineId, ViewNode>,
    after: ReadonlyMap<MachineId, ViewNode>,
  ): Redraw {
    for (const [id, old] of before) {
      if (!after.has(id)) this.rows.replace(old, undefined);
    }
    const changed: ViewNode[] = [];
    for (const [id, node] of after) {
      const old = before.get(id);
      if (old !== undefined) changed.push(...changedNodes(old, node));
      this.rows.replace(old, node);
    }
    if (!sameTopRows(before, after)) return 'everything';
    return changed.flatMap(({ id }) => this.rows.handle(id) ?? []);
  }
}

/** A row that VS Code does not know by its id cannot be drawn again alone. */
function sameTopRows(
  before: ReadonlyMap<MachineId, ViewNode>,
  after: ReadonlyMap<MachineId, ViewNode>,
): boolean {
  const ids = (trees: ReadonlyMap<MachineId, ViewNode>): string =>
    [...trees.values()].map(({ id }) => id).join('\n');
  return ids(before) === ids(after);
}
