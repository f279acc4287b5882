import type { LiveUpdateRecord } from '../liveUpdate/updates';
import type { LedgerRow, LiveUpdatePlan, UpdateOutcome } from '../liveUpdate/types';
import type { Finding } from '../preflight/types';
import { code, plain } from './markdown';
import {
  ledgerCells,
  ledgerHead,
  ledgerSummary,
  timeRows,
  updateKindWords,
  updateMethodTitles,
  versionsText,
} from './updateWords';

/**
 * All that is known of an ended live update, as Markdown that reads well as it is: what happened, how
 * long the guest stood still, what became of each descriptor, what was left behind.
 */
export function updateReport(
  { label, plan, startedAt, journalId }: LiveUpdateRecord,
  outcome: UpdateOutcome,
): string {
  return `${[
    `# ${plain(label)}, live update: ${updateKindWords[outcome.kind]}`,
    `**${plain(outcome.headline)}**`,
    ...outcome.details.map(plain),
    ...section('What to do', outcome.nextStep === '' ? [] : [plain(outcome.nextStep)]),
    ...section('Times', timesTable(outcome)),
    ...section('Left behind', leftovers(outcome)),
    ...section('Descriptors', ledgerTable(outcome.ledger)),
    ...section(
      'Descriptors as planned',
      outcome.ledger.length > 0 || plan === undefined ? [] : ledgerTable(plan.ledger),
    ),
    ...section('Found', outcome.findings.map(findingText)),
    ...section(
      'What was planned',
      plan === undefined ? [] : [planFacts(plan, startedAt, journalId)],
    ),
  ].join('\n\n')}\n`;
}

function section(title: string, paragraphs: readonly string[]): readonly string[] {
  return paragraphs.length === 0 ? [] : [`## ${title}`, ...paragraphs];
}

function timesTable({ times }: UpdateOutcome): readonly string[] {
  const rows = timeRows(times);
  return rows.length === 0 ? [] : [table(['What', 'Time'], rows)];
}

function leftovers({ kind, leftovers: left }: UpdateOutcome): readonly string[] {
  if (left.length > 0) return [left.map((each) => `- ${plain(each)}`).join('\n')];
  return kind === 'refused' ? [] : ['Nothing.'];
}

function ledgerTable(ledger: readonly LedgerRow[]): readonly string[] {
  return ledger.length === 0
    ? []
    : [`${ledgerSummary(ledger)}.`, table(ledgerHead, ledgerCells(ledger))];
}

function findingText({ what, why, nextStep }: Finding): string {
  return `- ${[what, why, nextStep]
    .filter((part) => part !== '')
    .map(plain)
    .join(' ')}`;
}

function planFacts(plan: LiveUpdatePlan, startedAt: number, journalId: string | undefined): string {
  const { start, method, why, sourceVersion, targetVersion, request } = plan;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['QEMU', versionsText(sourceVersion, targetVersion)],
    ['Program', code(start.program)],
    ['Way', `${updateMethodTitles[method]}. ${why}`],
    ['Overruled', request.force?.reason],
    ["Log of the new QEMU's standard error", code(start.logFile)],
    ['Began', new Date(startedAt).toLocaleString()],
    ['Journal', journalId],
  ];
  return facts
    .flatMap(([name, value]) =>
      value === undefined ? [] : [`- ${name}: ${value.startsWith('`') ? value : plain(value)}`],
    )
    .join('\n');
}

/** Columns as wide as what is in them, so that the source reads as a table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(plain));
  const widths = head.map((_, column) =>
    Math.max(3, ...cells.map((row) => Array.from(row[column] ?? '').length)),
  );
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, column) => pad(row[column] ?? '', width)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  const [first = [], ...others] = cells;
  return [line(first), rule, ...others.map(line)].join('\n');
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - Array.from(text).length));
}
