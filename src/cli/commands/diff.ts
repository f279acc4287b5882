import { compareMachines, type ComparedRow, type Meaning } from '../../migration/pair/compare';
import { ExitCode, sameMachineText, UsageError } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { table } from '../text';

/** What a difference means, in a table's cell. */
const meaningWords: Readonly<Record<Meaning, string>> = {
  'must-be-equal': 'must be equal',
  'may-differ': 'may differ',
  'source-only': 'only the source matters',
  'target-only': 'only the target matters',
};

/** Where two machines differ, and what matters of it. */
export async function diff(
  session: Session,
  source: string,
  target: string,
  { all }: { readonly all: boolean },
): Promise<CommandResult> {
  const [from, to] = await Promise.all([session.connect(source), session.connect(target)]);
  if (from === to) throw new UsageError(sameMachineText);
  const comparison = compareMachines(from.snapshot, to.snapshot);
  if (comparison === undefined) throw new Error('The machines have not told their settings.');
  const { rows, differences, problems } = comparison;
  const shown = all ? rows : differences;
  const count = problems.length;
  return {
    exitCode: count > 0 ? ExitCode.differ : ExitCode.ok,
    lines: [
      ...(shown.length === 0 ? [] : listed(shown, from.snapshot.label, to.snapshot.label)),
      ...problems.flatMap(({ name, note }) => (note === undefined ? [] : [`${name}: ${note}`])),
      differences.length === 0
        ? 'No differences.'
        : `${differences.length} ${differences.length === 1 ? 'difference' : 'differences'}, ${
            count === 0 ? 'none that matters.' : `${count} to resolve before migrating.`
          }`,
    ],
    document: {
      source: { name: from.snapshot.label, socket: from.id },
      target: { name: to.snapshot.label, socket: to.id },
      differences: differences.length,
      problems: problems.map(({ name }) => name),
      rows: shown.map((row) => ({
        kind: row.kind,
        name: row.name,
        source: sideDocument(row.source),
        target: sideDocument(row.target),
        equal: row.equal,
        meaning: row.meaning,
        problem: row.problem,
        note: row.note,
      })),
    },
  };
}

function listed(rows: readonly ComparedRow[], source: string, target: string): readonly string[] {
  return table([
    ['', '', source, target, ''],
    ...rows.map((row) => [
      row.problem ? '!' : row.equal ? '=' : '',
      row.name,
      row.source.text,
      row.target.text,
      row.equal ? '' : meaningOf(row),
    ]),
  ]);
}

function meaningOf({ meaning, problem }: ComparedRow): string {
  return meaning === 'must-be-equal' && !problem
    ? 'must be equal where used'
    : meaningWords[meaning];
}

function sideDocument(side: ComparedRow['source']): Record<string, unknown> {
  return { state: side.state, shown: side.text, value: 'value' in side ? side.value : undefined };
}
