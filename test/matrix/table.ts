import type { Impossible } from './cases';
import { breakings, type Breaking } from './names';
import type { CaseResult } from './runCase';

interface Count {
  tried: number;
  alive: number;
  explained: number;
  violated: number;
}

/** All that was tried, a row a method and breaking: how often the guest lived on, or why it could not. */
export function printTable(
  results: readonly CaseResult[],
  impossible: readonly Impossible[],
): string {
  const counts = new Map<string, Map<Breaking, Count>>();
  const total = emptyCount();
  for (const result of results) {
    const { arm, breaking } = result.case;
    const row = counts.get(arm.name) ?? new Map<Breaking, Count>();
    counts.set(arm.name, row);
    const count = row.get(breaking) ?? emptyCount();
    row.set(breaking, count);
    for (const one of [count, total]) add(one, result);
  }
  const rows = [...counts].flatMap(([arm, row]) =>
    breakings.flatMap((breaking) => {
      const count = row.get(breaking);
      return count === undefined ? [] : [[arm, breaking, ...figures(count)]];
    }),
  );
  const violations = results.filter(({ verdict }) => verdict.violations.length > 0);
  return [
    'Tried: cases. Alive: the guest runs on, on the side that was named. Explained: it cannot, and',
    'that was said. Violated: two copies, a wrong word, no way on. (cases of all versions and phases)',
    '',
    ...layOut([
      ['METHOD', 'BREAKING', 'TRIED', 'ALIVE', 'EXPLAINED', 'VIOLATED'],
      ...rows,
      ['all', '', ...figures(total)],
    ]),
    '',
    ...describeLosses(results),
    ...describeImpossible(impossible),
    ...violations.flatMap(describeViolation),
  ].join('\n');
}

export function describeViolation({ case: kase, verdict, report }: CaseResult): readonly string[] {
  return [
    '',
    `VIOLATED ${kase.title}`,
    ...verdict.violations.map((text) => `  ! ${text}`),
    ...report.map((text) => `    ${text}`),
  ];
}

function emptyCount(): Count {
  return { tried: 0, alive: 0, explained: 0, violated: 0 };
}

function add(count: Count, { verdict }: CaseResult): void {
  count.tried += 1;
  if (verdict.violations.length > 0) count.violated += 1;
  else if (verdict.runsOn === 'nowhere') count.explained += 1;
  else count.alive += 1;
}

function figures({ tried, alive, explained, violated }: Count): string[] {
  return [tried, alive, explained, violated].map(String);
}

/** Where the guest was lost, and why nobody could help it. */
function describeLosses(results: readonly CaseResult[]): readonly string[] {
  const lost = results.filter(
    ({ verdict }) => verdict.runsOn === 'nowhere' && verdict.violations.length === 0,
  );
  const whys = new Map<string, string[]>();
  for (const { case: kase } of lost) {
    const why = kase.expected.why ?? 'unexpected';
    const key = `${kase.phase} ${kase.breaking}: ${why}`;
    whys.set(key, [...(whys.get(key) ?? []), `${kase.arm.name} ${kase.version}`]);
  }
  if (whys.size === 0) return [];
  return [
    'The guest could not live on:',
    ...[...whys].map(([why, where]) => `  ${why} (${[...new Set(where)].join(', ')})`),
    '',
  ];
}

function describeImpossible(impossible: readonly Impossible[]): readonly string[] {
  const arms = new Map<string, Set<string>>();
  for (const { arm, what, reason } of impossible) {
    const key = `${what}: ${reason}`;
    arms.set(key, (arms.get(key) ?? new Set()).add(arm));
  }
  if (arms.size === 0) return [];
  return [
    'Not tried:',
    ...[...arms].map(([what, names]) => `  ${what} (${[...names].join(', ')})`),
  ];
}

function layOut(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}
