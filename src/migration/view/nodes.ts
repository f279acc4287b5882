import type { MachineId } from '../../vm/types';

/** One row of a tree, ready to be shown: everything decided, nothing bound to a widget. */
export interface ViewNode {
  /** Stable over state and time, such as `vm:/run/a.qmp/cap/xbzrle`. */
  readonly id: string;
  readonly kind: NodeKind;
  readonly machineId: MachineId;
  /** Name of the parameter, capability or device that the row is about. */
  readonly subject?: string;
  readonly label: string;
  readonly description?: string;
  readonly tooltip?: Tooltip;
  readonly icon?: NodeIcon;
  readonly expansion: 'leaf' | 'collapsed' | 'expanded';
  /** For `contextValue`, joined by `;`: the kind first, then states such as `ready`, `boolean`, `editable`. */
  readonly tags: readonly string[];
  /** For rows with a checkbox: what QEMU says. */
  readonly checked?: boolean;
  /** What a screen reader says; never depends on colour or icon. */
  readonly spoken: string;
  /** What "Copy Value" copies. */
  readonly copyText?: string;
  /** A command that the row's click runs: opens or edits, never migrates. */
  readonly click?: NodeClick;
  readonly children: readonly ViewNode[];
}

export type NodeKind =
  | 'machine'
  | 'status'
  | 'backend-transfer'
  | 'device'
  | 'parameters'
  | 'parameter-group'
  | 'parameter'
  | 'capabilities'
  | 'capability'
  | 'migration'
  | 'migration-detail'
  | 'loading'
  | 'failure';

export type NodeClick = 'edit-parameter' | 'connect' | 'retry';

export interface NodeIcon {
  /** A codicon's name. */
  readonly codicon: string;
  /** A theme colour's id. */
  readonly color?: string;
}

/** Markdown by parts; user and QEMU text is in `fields` and is escaped by whoever renders. */
export interface Tooltip {
  readonly title: string;
  /** Our own Markdown. */
  readonly body?: string;
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly warnings?: readonly string[];
}

/** The same row as before, for whoever compares two trees? Children are not looked at. */
function sameRow(a: ViewNode, b: ViewNode): boolean {
  const bare = (node: ViewNode): string =>
    JSON.stringify({ ...node, children: node.children.map((child) => child.id) });
  return bare(a) === bare(b);
}

/**
 * The smallest set of nodes whose redrawing turns `before` into `after`: changed rows, and where
 * a row's list of children changed, the row itself. Nodes of `after`.
 */
export function changedNodes(before: ViewNode, after: ViewNode): readonly ViewNode[] {
  if (!sameRow(before, after)) return [after];
  return after.children.flatMap((child, index) => {
    const old = before.children[index];
    return old === undefined ? [child] : changedNodes(old, child);
  });
}
