import type { NodeKind, ViewNode } from './nodes';

/** What of a machine's settings is shown. */
export interface TreeFilter {
  /** Words that must all be found in a setting's name, value or summary, in any case. */
  readonly text: string;
  /** Only settings that differ from their default. */
  readonly changedOnly: boolean;
}

export const noFilter: TreeFilter = { text: '', changedOnly: false };

export function isFiltering({ text, changedOnly }: TreeFilter): boolean {
  return changedOnly || wordsOf(text).length > 0;
}

/** Whether two filters show the same. */
export function sameFilter(a: TreeFilter, b: TreeFilter): boolean {
  return a.changedOnly === b.changedOnly && wordsOf(a.text).join(' ') === wordsOf(b.text).join(' ');
}

const settingKinds: ReadonlySet<NodeKind> = new Set([
  'parameter',
  'capability',
  'backend-transfer',
]);
const containerKinds: ReadonlySet<NodeKind> = new Set([
  'parameters',
  'parameter-group',
  'capabilities',
]);
/** They say why there is nothing to search. */
const alwaysShown: ReadonlySet<NodeKind> = new Set(['loading', 'failure']);

/**
 * A machine's rows with only the settings that match, below open containers. The rows have ids of
 * their own: a widget that remembers by id which rows were closed opens these, and has its memory
 * of the whole tree when that is shown again. Rows that stay are the same objects at each call.
 */
export function filterTree(machine: ViewNode, filter: TreeFilter): ViewNode {
  if (!isFiltering(filter)) return machine;
  const test = matcher(filter);
  const children = machine.children.flatMap((child) => matching(child, test));
  const searched = machine.children.some(({ kind }) => containerKinds.has(kind));
  return {
    ...machine,
    id: filteredId(machine.id),
    expansion: machine.children.length === 0 ? 'leaf' : 'expanded',
    children: searched && children.length === 0 ? [noMatchNode(machine, filter)] : children,
  };
}

/** How many settings a filtered tree shows. */
export function countSettings(node: ViewNode): number {
  const own = settingKinds.has(node.kind) ? 1 : 0;
  return node.children.reduce((sum, child) => sum + countSettings(child), own);
}

type Test = (node: ViewNode) => boolean;

function matcher({ text, changedOnly }: TreeFilter): Test {
  const words = wordsOf(text);
  return (node) =>
    (!changedOnly || node.tags.includes('changed')) &&
    words.every((word) => searchedText(node).includes(word));
}

function wordsOf(text: string): readonly string[] {
  return text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
}

function matching(node: ViewNode, test: Test): readonly ViewNode[] {
  if (settingKinds.has(node.kind)) return test(node) ? [underFilteredId(node)] : [];
  if (alwaysShown.has(node.kind)) return [underFilteredId(node)];
  if (!containerKinds.has(node.kind)) return [];
  const children = node.children.flatMap((child) => matching(child, test));
  if (children.length === 0) return [];
  // The number beside a container is that of the rows one sees below it.
  const found = String(children.reduce((sum, child) => sum + countSettings(child), 0));
  return [
    {
      ...node,
      id: filteredId(node.id),
      description: found,
      spoken: `${node.label}, ${found} found`,
      expansion: 'expanded',
      children,
    },
  ];
}

/** Made once of a node, for nodes do not change and every keystroke asks again. */
const searchedTexts = new WeakMap<ViewNode, string>();
const filteredRows = new WeakMap<ViewNode, ViewNode>();

function searchedText(node: ViewNode): string {
  const known = searchedTexts.get(node);
  if (known !== undefined) return known;
  const parts = [node.label, node.description ?? '', node.keywords ?? ''];
  const text = parts.join('\n').toLowerCase();
  searchedTexts.set(node, text);
  return text;
}

function underFilteredId(node: ViewNode): ViewNode {
  const known = filteredRows.get(node);
  if (known !== undefined) return known;
  const row = { ...node, id: filteredId(node.id), children: node.children.map(underFilteredId) };
  filteredRows.set(node, row);
  return row;
}

function filteredId(id: string): string {
  return `filtered:${id}`;
}

function noMatchNode(machine: ViewNode, { text }: TreeFilter): ViewNode {
  const label = wordsOf(text).length === 0 ? 'No setting is changed' : 'No setting matches';
  return {
    id: filteredId(`${machine.id}/no-match`),
    kind: 'no-match',
    machineId: machine.machineId,
    label,
    expansion: 'leaf',
    tags: ['no-match'],
    spoken: `${label} on ${machine.label}`,
    children: [],
  };
}
