import { type Disposable, EventEmitter, TreeItem, type TreeDataProvider } from 'vscode';
import type { UpdateDesk } from '../../migration/liveUpdate/desk';
import type { Pairs } from '../../migration/pair/pairs';
import type { Runs } from '../../migration/run/runs';
import { noFilter, sameFilter, type TreeFilter } from '../../migration/view/filter';
import type { ViewNode } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId } from '../../vm/types';
import type { OtherDrivers } from '../otherDrivers';
import { MachineTrees } from './machineTrees';
import type { NodeHandle } from './nodeHandle';
import { toMarkdown, toTreeItem } from './toTreeItem';

/** Changes that follow each other within this time are drawn together. */
const mergeMs = 100;

/**
 * VS Code waits for 200 ms of silence before it draws; a steady stream of changes that are closer to
 * each other would never be drawn.
 */
const quietMs = 250;

/** Shows the view models of all machines and redraws only rows that changed. */
export class MachinesProvider implements TreeDataProvider<NodeHandle>, Disposable {
  private readonly trees: MachineTrees;
  private readonly stale = new Set<MachineId>();
  private wantedFilter: TreeFilter = noFilter;
  /**
   * Rows that the user opened or closed in the whole tree: VS Code forgets it with a row that goes
   * away, be it for a filter or for a lost connection.
   */
  private readonly opened = new Map<MachineId, Map<string, boolean>>();
  /** Tooltips that VS Code has, as text: it asks once for each row. */
  private readonly hovered = new Map<string, string>();
  private timer: NodeJS.Timeout | undefined;
  private firedAt = 0;
  private readonly treeChanges = new EventEmitter<NodeHandle[] | undefined>();
  private readonly filterChanges = new EventEmitter<TreeFilter>();
  private readonly drawings = new EventEmitter<void>();
  private readonly subscriptions: readonly { dispose(): void }[];

  readonly onDidChangeTreeData = this.treeChanges.event;
  /** Fires when another filter is set, before the rows follow. */
  readonly onDidChangeFilter = this.filterChanges.event;
  /** Fires when rows may have changed, in any way. */
  readonly onDidUpdate = this.drawings.event;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get' | 'onDidChange'>,
    runs: Pick<Runs, 'last' | 'onDidChange'>,
    pairs: Pick<Pairs, 'of' | 'onDidChange'>,
    drivers: Pick<OtherDrivers, 'of' | 'onDidChange'>,
    updates: Pick<UpdateDesk, 'last' | 'onDidChange'>,
  ) {
    this.trees = new MachineTrees({ registry, runs, pairs, drivers, updates });
    this.subscriptions = [
      registry.onDidChange((change) =>
        this.markStale(change.kind === 'machine' ? [change.change.id] : []),
      ),
      runs.onDidChange(({ request }) => this.markStale([request.source, request.target])),
      pairs.onDidChange((ids) => this.markStale(ids)),
      drivers.onDidChange((ids) => this.markStale(ids)),
      updates.onDidChange(({ machine }) => this.markStale([machine])),
      this.treeChanges,
      this.filterChanges,
      this.drawings,
    ];
    this.trees.update(new Set(), noFilter);
  }

  getTreeItem(handle: NodeHandle): TreeItem {
    const { nodeId } = handle;
    const node = this.trees.rows.node(nodeId);
    // Asked for a row that went away meanwhile: the change that took it is on its way.
    if (node === undefined) return new TreeItem('');
    this.hovered.delete(nodeId);
    return toTreeItem(node, handle, this.opened.get(handle.machineId)?.get(nodeId));
  }

  /** VS Code asks for the tooltip when it is to be shown. */
  resolveTreeItem(item: TreeItem, handle: NodeHandle): TreeItem {
    const tooltip = this.trees.rows.node(handle.nodeId)?.tooltip;
    if (tooltip === undefined) return item;
    this.hovered.set(handle.nodeId, JSON.stringify(tooltip));
    item.tooltip = toMarkdown(tooltip);
    return item;
  }

  getChildren(handle?: NodeHandle): NodeHandle[] {
    const { rows, roots } = this.trees;
    const nodes = handle === undefined ? roots : (rows.node(handle.nodeId)?.children ?? []);
    return nodes.flatMap(({ id }) => rows.handle(id) ?? []);
  }

  getParent(handle: NodeHandle): NodeHandle | undefined {
    return this.trees.rows.parent(handle.nodeId);
  }

  /** The row with this id as it is shown now. */
  node(nodeId: string): ViewNode | undefined {
    return this.trees.rows.node(nodeId);
  }

  /** What VS Code knows the row with this id by. */
  handle(nodeId: string): NodeHandle | undefined {
    return this.trees.rows.handle(nodeId);
  }

  /** The top row of a machine. */
  rootOf(id: MachineId): NodeHandle | undefined {
    const root = this.trees.root(id);
    return root && this.trees.rows.handle(root.id);
  }

  /** What is shown of the settings. */
  get filter(): TreeFilter {
    return this.wantedFilter;
  }

  /** Shows only settings that match; drawn soon, together with what else changes. */
  setFilter(filter: TreeFilter): void {
    if (sameFilter(filter, this.wantedFilter)) return;
    this.wantedFilter = filter;
    this.filterChanges.fire(filter);
    this.markStale([]);
  }

  /** How many settings are shown, on all machines. */
  get settingCount(): number {
    return this.trees.settingCount;
  }

  /** Remembers that a row was opened or closed. In a filtered tree VS Code's own memory is enough. */
  setOpen({ machineId, nodeId }: NodeHandle, open: boolean): void {
    if (this.trees.filtered) return;
    const rows = this.opened.get(machineId) ?? new Map<string, boolean>();
    this.opened.set(machineId, rows.set(nodeId, open));
  }

  /** Draws one row again as it is: a checkbox that QEMU refused flips back. */
  redraw(handle: NodeHandle): void {
    const known = this.trees.rows.handle(handle.nodeId);
    if (known !== undefined) this.treeChanges.fire([known]);
  }

  /** Draws what is pending now. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const changed = this.trees.update(this.stale, this.wantedFilter);
    this.stale.clear();
    for (const id of this.opened.keys()) {
      if (this.trees.root(id) === undefined) this.opened.delete(id);
    }
    this.drawings.fire();
    const rows = changed === 'everything' ? changed : [...changed, ...this.outdatedTooltips()];
    if (rows.length === 0) return;
    this.firedAt = Date.now();
    this.treeChanges.fire(rows === 'everything' ? undefined : rows);
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private markStale(ids: readonly MachineId[]): void {
    for (const id of ids) this.stale.add(id);
    const wait = Math.max(mergeMs, this.firedAt + quietMs - Date.now());
    this.timer ??= setTimeout(() => this.flush(), wait);
  }

  /** Rows whose tooltip VS Code has, and has an old one of. */
  private outdatedTooltips(): NodeHandle[] {
    const outdated: NodeHandle[] = [];
    for (const [id, shown] of this.hovered) {
      const handle = this.trees.rows.handle(id);
      if (handle === undefined) this.hovered.delete(id);
      else if (JSON.stringify(this.trees.rows.node(id)?.tooltip) !== shown) outdated.push(handle);
    }
    return outdated;
  }
}
