import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { noProgress } from '../../../../src/migration/run/progressText';
import { updateReport } from '../../../../src/migration/view/updateReport';
import {
  ledgerCells,
  ledgerSummary,
  pauseFigures,
  timeRows,
  updateProgressText,
  versionsText,
} from '../../../../src/migration/view/updateWords';
import { ledger, outcomeOf, recordOf } from './support';

describe('the words of a live update', () => {
  it('says the phase and the step, and the figures of the run while the guest moves', () => {
    const step = 'waiting for its monitor';
    assert.equal(
      updateProgressText({ phase: 'start', step, run: undefined }),
      'starting the new QEMU · waiting for its monitor',
    );
    const run = { ...noProgress, phase: 'transfer' as const, pass: 3, fraction: 0.71 };
    assert.match(updateProgressText({ phase: 'run', step, run }), /^pass 3 · 71 %/);
  });

  it('tells both pauses apart, and leaves out what was not measured', () => {
    const { times } = outcomeOf();
    assert.equal(pauseFigures(times), 'pause 9 ms by QEMU, 12.3 ms from STOP to RESUME');
    assert.equal(timeRows(times).length, 4);
    const nothing = { ...times, downtimeMs: undefined, blackoutMs: undefined };
    assert.equal(pauseFigures(nothing), '');
  });

  it('puts what nobody claimed first, and counts each fate', () => {
    assert.deepEqual(ledgerCells(ledger)[0], ['vhost-net', 'vhost', '21', '–', 'never claimed']);
    assert.equal(ledgerSummary(ledger), '1 handed over, 1 opened anew, 1 never claimed');
  });

  it('says that the same version was started anew', () => {
    assert.equal(versionsText('11.1.3', '11.1.3'), '11.1.3, started anew');
    assert.equal(versionsText('10.0.8', '11.1.3'), '10.0.8 → 11.1.3');
  });
});

describe('the report of a live update', () => {
  it('has the pause, each descriptor in an aligned table, and what was left behind', () => {
    const outcome = outcomeOf({ leftovers: ['/run/vm/web-1.log is still there.'] });
    const report = updateReport(recordOf(outcome), outcome);
    assert.match(
      report,
      /^# web-1, live update: updated\n\n\*\*web-1 runs in QEMU 11\.1\.3 now\.\*\*/,
    );
    assert.match(report, /## Left behind\n\n- \/run\/vm\/web-1\.log is still there\./);
    const rows = report
      .split('\n')
      .filter((line) => line.includes('|') && /fd|TAP|vhost/.test(line));
    assert.equal(new Set(rows.map((row) => row.length)).size, 1, rows.join('\n'));
    assert.match(report, /web\\\|1\.qcow2/);
    assert.doesNotMatch(report, /undefined/);
  });

  it('says that nothing was left behind, but not of one that never began', () => {
    const done = outcomeOf();
    assert.match(updateReport(recordOf(done), done), /## Left behind\n\nNothing\./);
    const refused = outcomeOf({ kind: 'refused', ledger: [] });
    const report = updateReport(recordOf(refused), refused);
    assert.doesNotMatch(report, /Left behind/);
    assert.match(report, /## Descriptors as planned/);
  });
});
