import { explainFailure } from '../failures/explain';
import type { FailureExplanation } from '../failures/types';
import { methodOf, methodTitles } from '../methods/names';
import type { JournalText } from '../run/journal/journals';
import { states } from '../run/states';
import type { RunOutcome, RunPhase, RunRecord } from '../run/types';
import { formatDurationMs } from '../settings/units';
import { journalSteps, lastWorkingPhase, phaseWords } from './journalSteps';
import { block, code, plain } from './markdown';

/**
 * All that is known of a run that has ended, as Markdown: what happened and where, QEMU's own words,
 * what it means, where the guest is, what to do, and each step. Nothing in it is a link or trusted.
 */
export function runReport(
  record: RunRecord,
  outcome: RunOutcome,
  journal: JournalText | undefined,
): string {
  const explanation = explanationOf(record, outcome, journal);
  return [
    `# ${plain(titleOf(record))}: ${outcome.kind.replaceAll('-', ' ')}`,
    `**${plain(outcome.headline)}**`,
    ...section('What happened', whatHappened(record, outcome, explanation, journal)),
    ...section("QEMU's words", quotes(record, outcome)),
    ...section('What it means', explanation === undefined ? [] : [plain(explanation.meaning)]),
    ...section('Where the guest is', [plain(whereText(record, outcome))]),
    ...section('What to do', outcome.nextStep === '' ? [] : [plain(outcome.nextStep)]),
    ...section('Steps', journalText(record, journal)),
  ].join('\n\n');
}

function titleOf({ request, sourceLabel, targetLabel }: RunRecord): string {
  const route = request.source === request.target ? sourceLabel : `${sourceLabel} → ${targetLabel}`;
  return `${route}, ${methodTitles[methodOf(request)]}`;
}

function section(title: string, paragraphs: readonly string[]): readonly string[] {
  return paragraphs.length === 0 ? [] : [`## ${title}`, ...paragraphs];
}

/**
 * The cause that the outcome tells of, in parts; `undefined` where it rests on more than the record keeps, for
 * then the outcome's own sentences are the better ones.
 */
function explanationOf(
  { request, progress, sourceLabel, targetLabel }: RunRecord,
  outcome: RunOutcome,
  journal: JournalText | undefined,
): FailureExplanation | undefined {
  if (outcome.kind !== 'failed' && outcome.kind !== 'unknown') return undefined;
  const { owner, guestRunning, sourceError, targetError, details } = outcome;
  const explanation = explainFailure({
    ...{ owner, guestRunning, sourceError, targetError },
    method: methodOf(request),
    phase: phaseOf(journal) ?? progress.phase,
    labels: { source: sourceLabel, target: targetLabel },
  });
  return details.includes(explanation.meaning) ? explanation : undefined;
}

function phaseOf(journal: JournalText | undefined): RunPhase | undefined {
  const phase = journal && lastWorkingPhase(journal.entries);
  return phase !== undefined && phase in states ? (phase as RunPhase) : undefined;
}

function whatHappened(
  record: RunRecord,
  outcome: RunOutcome,
  explanation: FailureExplanation | undefined,
  journal: JournalText | undefined,
): readonly string[] {
  const phase = journal && lastWorkingPhase(journal.entries);
  const facts: (readonly [string, string | undefined])[] = [
    ['Side', explanation && sideText(explanation.side, record)],
    ['Got as far as', outcome.kind === 'completed' ? undefined : phase && phaseWords(phase)],
    ['Began', new Date(record.startedAt).toLocaleString()],
    ['Pause', outcome.downtimeMs === undefined ? undefined : formatDurationMs(outcome.downtimeMs)],
    ['Took', outcome.totalTimeMs === undefined ? undefined : formatDurationMs(outcome.totalTimeMs)],
  ];
  const list = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [`- ${name}: ${plain(value)}`],
  );
  const statements = outcome.details.filter(
    (line) => !isQuote(line, record) && line !== explanation?.meaning,
  );
  return [...statements.map(plain), list.join('\n')];
}

/** What QEMU said stands in a section of its own. */
function isQuote(line: string, { sourceLabel, targetLabel }: RunRecord): boolean {
  return [sourceLabel, targetLabel].some(
    (label) =>
      line.startsWith(`${label} says: `) ||
      line.startsWith(`${label} refuses `) ||
      line.startsWith(`On standard error of ${label}: `),
  );
}

function sideText(side: FailureExplanation['side'], record: RunRecord): string {
  switch (side) {
    case 'source':
      return `the source, ${record.sourceLabel}`;
    case 'target':
      return `the target, ${record.targetLabel}`;
    case 'channel':
      return 'the connection between them';
    case 'unknown':
      return 'not known';
  }
}

function quotes(record: RunRecord, outcome: RunOutcome): readonly string[] {
  const { sourceLabel, targetLabel } = record;
  const told = outcome.details.filter((line) => isQuote(line, record));
  const said = (label: string, text: string | undefined): readonly string[] =>
    text === undefined || told.some((line) => line.includes(text)) ? [] : [`${label}: ${text}`];
  return [
    ...told,
    ...said(sourceLabel, outcome.sourceError),
    ...said(targetLabel, outcome.targetError),
  ].map(block);
}

function whereText({ sourceLabel, targetLabel }: RunRecord, outcome: RunOutcome): string {
  const verb =
    outcome.guestRunning === true
      ? 'It runs'
      : outcome.guestRunning === false
        ? 'It stands still'
        : 'It is';
  switch (outcome.owner) {
    case 'source':
      return `${verb} on ${sourceLabel}.`;
    case 'target':
      return `${verb} on ${targetLabel}.`;
    case 'file':
      return 'It is saved in the file, and runs nowhere.';
    case 'neither-yet':
      return 'It is on neither side yet.';
    case 'nobody':
      return 'It is lost: no QEMU has a guest that could run.';
    case 'unknown':
      return 'It is not known. Continue neither side before one of them is known not to run.';
  }
}

function journalText(
  { journalId }: RunRecord,
  journal: JournalText | undefined,
): readonly string[] {
  if (journal === undefined) {
    return journalId === undefined ? [] : [`The journal of ${plain(journalId)} cannot be read.`];
  }
  const begin = journal.entries[0]?.at ?? 0;
  const rows = journalSteps(journal.entries).map(
    ({ at, words }) => `| ${seconds(at - begin)} | ${plain(words)} |`,
  );
  return [
    ['| After | Step |', '| ---: | --- |', ...rows].join('\n'),
    `Journal: ${code(journal.path)}`,
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}
