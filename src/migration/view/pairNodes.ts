import type { MachineSnapshot } from '../../vm/types';
import {
  changeToMatch,
  compareMachines,
  type ComparedRow,
  type Comparison,
  type Meaning,
} from '../pair/compare';
import { backendTransferOf } from '../settings/backendTransfer';
import { isEmptyChange } from '../settings/change';
import type { PairView } from './context';
import type { NodeIcon, ViewNode } from './nodes';

/** Both machines of a pair in the order in which a guest goes, seen from one of them. */
export interface Ends {
  readonly source: MachineSnapshot;
  readonly target: MachineSnapshot;
}

/** `undefined` while the other machine is not in the list. */
export function endsOf(snapshot: MachineSnapshot, { role, other }: PairView): Ends | undefined {
  if (other === undefined) return undefined;
  return role === 'source'
    ? { source: snapshot, target: other }
    : { source: other, target: snapshot };
}

/** What to call the other machine, also while nothing is known of it. */
export function otherLabel({ other, otherId }: PairView): string {
  return other?.label ?? otherId.replace(/^.*\//, '');
}

/** The row of the pair that a machine is in, with what differs below it, problems first. */
export function pairNode(snapshot: MachineSnapshot, pair: PairView): ViewNode {
  const ends = endsOf(snapshot, pair);
  const comparison =
    ends === undefined || !bothReady(ends) ? undefined : compareMachines(ends.source, ends.target);
  const { words, icon } = lookOf(comparison);
  const [from, to] =
    pair.role === 'source'
      ? [snapshot.label, otherLabel(pair)]
      : [otherLabel(pair), snapshot.label];
  const children =
    ends === undefined || comparison === undefined
      ? []
      : differenceNodes(snapshot, pair, ends, comparison);
  return {
    id: `vm:${snapshot.id}/pair`,
    kind: 'pair',
    machineId: snapshot.id,
    // Names are long and rows short: what is to be done comes first.
    label: 'Pair',
    description: `${words} · ${from} → ${to}`,
    icon,
    tooltip: {
      title: `Pair: ${from} → ${to}`,
      body: 'A source and the target that it is going to move to. Settings that must be equal on both sides are watched; nothing is set by itself.',
      fields: [
        ['Source', pair.role === 'source' ? snapshot.socketPath : pair.otherId],
        ['Target', pair.role === 'source' ? pair.otherId : snapshot.socketPath],
        ['Differences', words],
      ],
    },
    expansion: children.length === 0 ? 'leaf' : 'collapsed',
    tags: [
      'pair',
      'paired',
      pair.role,
      ...(ends !== undefined && comparison !== undefined && canMatch(ends) ? ['different'] : []),
      ...(ends !== undefined && canSwitch(ends) ? ['switchable'] : []),
    ],
    spoken: `Pair, ${from} to ${to}, ${words}`,
    children,
  };
}

function bothReady({ source, target }: Ends): boolean {
  return source.state.kind === 'ready' && target.state.kind === 'ready';
}

/** Whether the target has settings that can be given the source's values. */
function canMatch({ source, target }: Ends): boolean {
  return !isEmptyChange(changeToMatch(source, target).change);
}

/** Whether backend transfer can be switched on both sides at once. */
export function canSwitch({ source, target }: Ends): boolean {
  return [source, target].every((side) => backendTransferOf(side)?.kind === 'boolean');
}

interface Look {
  readonly words: string;
  readonly icon: NodeIcon;
}

function lookOf(comparison: Comparison | undefined): Look {
  if (comparison === undefined) {
    return { words: 'other side not connected', icon: { codicon: 'debug-disconnect' } };
  }
  const problems = comparison.problems.length;
  const all = comparison.differences.length;
  if (problems > 0) {
    const count = problems === all ? plural(problems) : `${problems} of ${plural(all)}`;
    return {
      words: `${count} to resolve`,
      icon: { codicon: 'warning', color: 'problemsWarningIcon.foreground' },
    };
  }
  return all === 0
    ? { words: 'no differences', icon: { codicon: 'pass', color: 'testing.iconPassed' } }
    : {
        words: all === 1 ? '1 harmless difference' : `${all} harmless differences`,
        icon: { codicon: 'pass', color: 'testing.iconPassed' },
      };
}

function plural(count: number): string {
  return count === 1 ? '1 difference' : `${count} differences`;
}

const meaningWords: Readonly<Record<Meaning, string>> = {
  'must-be-equal': 'must be equal',
  'may-differ': 'may differ',
  'source-only': 'only the source’s matters',
  'target-only': 'only the target’s matters',
};

function differenceNodes(
  snapshot: MachineSnapshot,
  pair: PairView,
  ends: Ends,
  { differences }: Comparison,
): readonly ViewNode[] {
  const [from, to] =
    pair.role === 'source' ? [ends.source, ends.target] : [ends.target, ends.source];
  const reasons = new Map(
    changeToMatch(from, to, new Set(differences.map(({ name }) => name))).skipped.map(
      ({ name, reason }) => [name, reason],
    ),
  );
  return differences.map((row) => {
    const reason = row.kind === 'identity' ? undefined : reasons.get(row.name);
    const applicable = row.kind !== 'identity' && reason === undefined;
    return differenceNode(snapshot, ends, row, applicable, reason);
  });
}

function differenceNode(
  snapshot: MachineSnapshot,
  ends: Ends,
  row: ComparedRow,
  applicable: boolean,
  notApplicableReason: string | undefined,
): ViewNode {
  const { kind, name, source, target, problem } = row;
  // What must be equal only under conditions that do not hold is no problem, and not called one.
  const meaning =
    row.meaning === 'must-be-equal' && !problem ? 'does not matter now' : meaningWords[row.meaning];
  return {
    id: `vm:${snapshot.id}/pair/${kind}/${name}`,
    kind: 'difference',
    machineId: snapshot.id,
    subject: name,
    label: name,
    description: `${source.text} | ${target.text} · ${meaning}`,
    icon: problem
      ? { codicon: 'warning', color: 'problemsWarningIcon.foreground' }
      : { codicon: 'info' },
    tooltip: {
      title: `${name}: ${meaning}`,
      ...(row.note !== undefined && { note: row.note }),
      fields: [
        [`${ends.source.label} (source)`, source.text],
        [`${ends.target.label} (target)`, target.text],
        ...(notApplicableReason === undefined
          ? []
          : ([['Cannot be applied to the other side', notApplicableReason]] as const)),
      ],
    },
    expansion: 'leaf',
    tags: [
      'difference',
      'copyable',
      kind === 'identity' ? 'identity' : `of-${kind}`,
      ...(problem ? ['problem'] : []),
      ...(applicable ? ['applicable'] : []),
    ],
    spoken: `${name}, ${source.text} on ${ends.source.label}, ${target.text} on ${ends.target.label}, ${meaning}${problem ? ', to be resolved' : ''}`,
    copyText: `${name}: ${source.text} | ${target.text}`,
    children: [],
  };
}
