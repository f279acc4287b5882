import { type Disposable, EventEmitter, TreeItem, type TreeDataProvider } from 'vscode';
import type { Runs } from '../../migration/run/runs';
import { buildMachineNode } from '../../migration/view/machineTree';
import { changedNodes, type ViewNode } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId } from '../../vm/types';
import { NodeHandle } from './nodeHandle';
import { toTreeItem } from './toTreeItem';

/** Changes that follow each other within this time are drawn together. */
const mergeMs = 100;

/**
 * VS Code waits for 200 ms of silence before it draws; a steady stream of changes that are closer to
 * each other would never be drawn.
 */
const quietMs = 250;

interface Entry {
  readonly node: ViewNode;
  readonly parent: NodeHandle | undefined;
  readonly handle: NodeHandle;
}

/** Shows the view models of all machines and redraws only rows that changed. */
export class MachinesProvider implements TreeDataProvider<NodeHandle>, Disposable {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get' | 'onDidChange'>;
  private readonly runs: Pick<Runs, 'last' | 'onDidChange'>;
  private readonly entries = new Map<string, Entry>();
  /** The rows as last drawn, in their order. */
  private roots = new Map<MachineId, ViewNode>();
  private readonly stale = new Set<MachineId>();
  private timer: NodeJS.Timeout | undefined;
  private firedAt = 0;
  private readonly treeChanges = new EventEmitter<NodeHandle[] | undefined>();
  private readonly subscriptions: readonly { dispose(): void }[];

  readonly onDidChangeTreeData = this.treeChanges.event;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get' | 'onDidChange'>,
    runs: Pick<Runs, 'last' | 'onDidChange'>,
  ) {
    this.registry = registry;
    this.runs = runs;
    this.subscriptions = [
      registry.onDidChange((change) =>
        this.markStale(change.kind === 'machine' ? [change.change.id] : []),
      ),
      runs.onDidChange(({ request }) => this.markStale([request.source, request.target])),
      this.treeChanges,
    ];
    this.update();
  }

  getTreeItem(handle: NodeHandle): TreeItem {
    const entry = this.entries.get(handle.nodeId);
    // Asked for a row that went away meanwhile: the change that took it is on its way.
    return entry === undefined ? new TreeItem('') : toTreeItem(entry.node, handle);
  }

  getChildren(handle?: NodeHandle): NodeHandle[] {
    const nodes =
      handle === undefined
        ? [...this.roots.values()]
        : (this.entries.get(handle.nodeId)?.node.children ?? []);
    return nodes.flatMap(({ id }) => this.entries.get(id)?.handle ?? []);
  }

  getParent(handle: NodeHandle): NodeHandle | undefined {
    return this.entries.get(handle.nodeId)?.parent;
  }

  /** The row with this id as it is shown now. */
  node(nodeId: string): ViewNode | undefined {
    return this.entries.get(nodeId)?.node;
  }

  /** The top row of a machine. */
  rootOf(id: MachineId): NodeHandle | undefined {
    const root = this.roots.get(id);
    return root && this.entries.get(root.id)?.handle;
  }

  /** Draws one row again as it is: a checkbox that QEMU refused flips back. */
  redraw(handle: NodeHandle): void {
    const entry = this.entries.get(handle.nodeId);
    if (entry !== undefined) this.treeChanges.fire([entry.handle]);
  }

  /** Draws what is pending now. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const changed = this.update();
    if (changed !== 'list' && changed.length === 0) return;
    this.firedAt = Date.now();
    this.treeChanges.fire(changed === 'list' ? undefined : [...changed]);
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

  /** Brings rows and register up to date; says what has to be drawn again. */
  private update(): 'list' | readonly NodeHandle[] {
    const before = this.roots;
    const after = new Map<MachineId, ViewNode>();
    const changed: ViewNode[] = [];
    for (const { id, snapshot } of this.registry.machines) {
      const old = before.get(id);
      const node =
        old === undefined || this.stale.has(id)
          ? buildMachineNode(snapshot, this.runs.last(id))
          : old;
      after.set(id, node);
      if (node === old) continue;
      if (old !== undefined) changed.push(...changedNodes(old, node));
      this.reindex(old, node);
    }
    for (const [id, old] of before) {
      if (!after.has(id)) this.reindex(old, undefined);
    }
    this.stale.clear();
    this.roots = after;
    const sameList = [...before.keys()].join('\n') === [...after.keys()].join('\n');
    if (!sameList) return 'list';
    return changed.flatMap(({ id }) => this.entries.get(id)?.handle ?? []);
  }

  private reindex(before: ViewNode | undefined, after: ViewNode | undefined): void {
    const gone = new Map<string, NodeHandle>();
    const forget = (node: ViewNode): void => {
      const handle = this.entries.get(node.id)?.handle;
      if (handle !== undefined) gone.set(node.id, handle);
      this.entries.delete(node.id);
      node.children.forEach(forget);
    };
    const enter = (node: ViewNode, parent: NodeHandle | undefined): void => {
      const handle = gone.get(node.id) ?? new NodeHandle(node);
      this.entries.set(node.id, { node, parent, handle });
      for (const child of node.children) enter(child, handle);
    };
    if (before !== undefined) forget(before);
    if (after !== undefined) enter(after, undefined);
  }
}
