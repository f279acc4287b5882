import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { explainFailure } from '../../../src/migration/failures/explain';
import type { StampedEntry } from '../../../src/migration/run/journal/entries';
import type { RunOutcome, RunRecord } from '../../../src/migration/run/types';
import { runReport } from '../../../src/migration/view/runReport';
import { runOf } from './support';

const targetError = "error while loading state for instance 0x0 of device 'ram'";

function failed(patch: Partial<RunOutcome> = {}): { record: RunRecord; outcome: RunOutcome } {
  const { what, meaning, quotes } = explainFailure({
    method: 'precopy',
    phase: 'transfer',
    owner: 'source',
    guestRunning: true,
    labels: { source: 'a', target: 'b' },
    sourceError: undefined,
    targetError,
  });
  const record = runOf(
    { phase: 'transfer' },
    {
      kind: 'failed',
      owner: 'source',
      targetError,
      headline: 'The guest runs on a. The migration did not happen.',
      details: [what, meaning, ...quotes],
      nextStep: 'Quit b.',
      ...patch,
    },
  );
  assert.ok(record.outcome);
  return { record, outcome: record.outcome };
}

function sectionOf(report: string, title: string): string {
  const parts = report.split(/^## /m).filter((part) => part.startsWith(`${title}\n`));
  assert.equal(parts.length, 1, report);
  return (parts[0] ?? '').slice(title.length).trim();
}

describe('the report of a run', () => {
  it('joins what happened, what QEMU said, what it means, where the guest is and what to do', () => {
    const { record, outcome } = failed();
    const report = runReport(record, outcome, undefined);
    assert.match(report, /^# a → b, Pre-copy: failed\n\n\*\*The guest runs on a\./);
    assert.match(sectionOf(report, "QEMU's words"), /^```text\n[^`]*device 'ram'[^`]*\n```$/);
    assert.ok(sectionOf(report, 'What it means').length > 20);
    assert.equal(sectionOf(report, 'Where the guest is'), 'It runs on a.');
    assert.equal(sectionOf(report, 'What to do'), 'Quit b.');
    assert.doesNotMatch(sectionOf(report, 'What happened'), /device 'ram'/);
    assert.doesNotMatch(report, /undefined|\[object/);
  });

  it('lists the steps of the journal with its path, and how far the run got', () => {
    const { record, outcome } = failed();
    const entries: StampedEntry[] = [
      { at: 1000, kind: 'phase', phase: 'transfer' },
      { at: 1250, kind: 'control', control: 'set-parameters', detail: 'downtime-limit=600' },
      { at: 1500, kind: 'phase', phase: 'settle' },
      { at: 1600, kind: 'phase', phase: 'of-another-version' },
    ];
    const report = runReport(record, outcome, { path: '/state/runs/r1.jsonl', entries });
    const steps = sectionOf(report, 'Steps');
    assert.match(steps, /\| 0\.250 s \| asked for: set-parameters \(downtime-limit=600\) \|/);
    assert.match(steps, /`\/state\/runs\/r1\.jsonl`/);
    assert.match(steps, /of-another-version/);
    assert.match(sectionOf(report, 'What happened'), /Got as far as: of-another-version/);
  });

  it('shows what QEMU and the user wrote as text, whatever Markdown would make of it', () => {
    const { record } = failed();
    const evil = 'see [this](command:evil) <b>now</b> | `x`';
    const outcome = {
      ...failed({ headline: evil, details: [evil], targetError: '```\n# out\n```' }).outcome,
    };
    const report = runReport({ ...record, sourceLabel: '*a*' }, outcome, undefined);
    assert.doesNotMatch(report, /(?<!\\)\[this|(?<!\\)<b>|(?<!\\)\*a/);
    assert.match(report, /````text\n[^]*# out\n```\n````/);
  });

  it('tells nothing of a cause where nothing failed', () => {
    const { record, outcome } = failed({
      kind: 'refused',
      details: ['No.'],
      targetError: undefined,
    });
    const report = runReport(record, outcome, undefined);
    assert.doesNotMatch(report, /What it means|QEMU's words/);
    assert.match(sectionOf(report, 'What happened'), /^No\./);
  });
});
