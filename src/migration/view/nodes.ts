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
  /** Not part of the row itself: it is asked for when it is to be shown, and may change alone. */
  readonly tooltip?: Tooltip;
  /** What the filter searches besides label and description, such as the catalogue's summary. */
  readonly keywords?: string;
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
  | 'pair'
  | 'difference'
  | 'backend-transfer'
  | 'device'
  | 'parameters'
  | 'parameter-group'
  | 'parameter'
  | 'capabilities'
  | 'capability'
  | 'migration'
  | 'migration-detail'
  /** Who may run the guest. */
  | 'lamp'
  /** Whether a migration comes to an end. */
  | 'verdict'
  | 'remedy'
  /** A cancel without effect. */
  | 'hanging'
  /** The last live update, or the one under way. */
  | 'live-update'
  /** Another program that drives a migration. */
  | 'driver'
  | 'loading'
  | 'failure'
  /** In a filtered tree: nothing on this machine matches. */
  | 'no-match';

export type NodeClick = 'edit-parameter' | 'connect' | 'retry' | 'apply-remedy';

export interface NodeIcon {
  /** A codicon's name. */
  readonly codicon: string;
  /** A theme colour's id. */
  readonly color?: string;
}

/** Markdown by parts; all but `body` may hold text of the user or of QEMU, and is escaped by whoever renders. */
export interface Tooltip {
  readonly title: string;
  /** Our own Markdown. */
  readonly body?: string;
  /** A paragraph that may hold text of the user or of QEMU. */
  readonly note?: string;
  /** Our own Markdown, right above the steps. */
  readonly stepsTitle?: string;
  /** To be done one after the other. */
  readonly steps?: readonly string[];
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly warnings?: readonly string[];
}

/** What of a row is drawn and is one value; the compiler asks for each new member. */
const drawnMembers = {
  id: true,
  kind: true,
  machineId: true,
  subject: true,
  label: true,
  description: true,
  expansion: true,
  checked: true,
  spoken: true,
  copyText: true,
  click: true,
} as const satisfies Record<
  keyof Omit<ViewNode, 'tooltip' | 'keywords' | 'icon' | 'tags' | 'children'>,
  true
>;
const drawnNames = Object.keys(drawnMembers) as readonly (keyof typeof drawnMembers)[];

/** The same row as before, for whoever looks at two trees? Tooltips and children are not looked at. */
function sameRow(a: ViewNode, b: ViewNode): boolean {
  return (
    drawnNames.every((name) => a[name] === b[name]) &&
    a.icon?.codicon === b.icon?.codicon &&
    a.icon?.color === b.icon?.color &&
    a.tags.length === b.tags.length &&
    a.tags.every((tag, index) => tag === b.tags[index]) &&
    a.children.length === b.children.length &&
    a.children.every(({ id }, index) => id === b.children[index]?.id)
  );
}

/**
 * The smallest set of nodes whose redrawing turns `before` into `after`: changed rows, and where
 * a row's list of children changed, the row itself. Nodes of `after`.
 */
export function changedNodes(before: ViewNode, after: ViewNode): readonly ViewNode[] {
  if (before === after) return [];
  if (!sameRow(before, after)) return [after];
  return after.children.flatMap((child, index) => {
    const old = before.children[index];
    return old === undefined ? [child] : changedNodes(old, child);
  });
}

/** A row and all below it, top row first. */
export function withAllBelow(node: ViewNode): readonly ViewNode[] {
  return [node, ...node.children.flatMap(withAllBelow)];
}
