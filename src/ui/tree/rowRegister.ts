import type { ViewNode } from '../../migration/view/nodes';
import { NodeHandle } from './nodeHandle';

interface Entry {
  readonly node: ViewNode;
  readonly parent: NodeHandle | undefined;
  readonly handle: NodeHandle;
}

/** All rows that are shown, by id; the same row keeps its handle as long as it is there. */
export class RowRegister {
  private readonly entries = new Map<string, Entry>();

  get size(): number {
    return this.entries.size;
  }

  node(id: string): ViewNode | undefined {
    return this.entries.get(id)?.node;
  }

  handle(id: string): NodeHandle | undefined {
    return this.entries.get(id)?.handle;
  }

  parent(id: string): NodeHandle | undefined {
    return this.entries.get(id)?.parent;
  }

  /** Takes one tree of rows for another; `undefined` for none. */
  replace(before: ViewNode | undefined, after: ViewNode | undefined): void {
    this.take(before, after, undefined);
  }

  private take(
    before: ViewNode | undefined,
    after: ViewNode | undefined,
    parent: NodeHandle | undefined,
  ): void {
    // Most of a tree is the same after a change: nothing below is looked at then.
    if (before === after) return;
    if (before !== undefined && before.id !== after?.id) {
      this.forget(before);
      this.take(undefined, after, parent);
      return;
    }
    if (after === undefined) return;
    const handle = this.handle(after.id) ?? new NodeHandle(after);
    this.entries.set(after.id, { node: after, parent, handle });
    const gone = new Map(before?.children.map((child) => [child.id, child]));
    for (const child of after.children) {
      this.take(gone.get(child.id), child, handle);
      gone.delete(child.id);
    }
    for (const child of gone.values()) this.forget(child);
  }

  private forget(node: ViewNode): void {
    this.entries.delete(node.id);
    for (const child of node.children) this.forget(child);
  }
}
