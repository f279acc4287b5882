import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'mocha';
import { progressOf } from '../../../src/migration/run/progressFigures';
import { readMigrationInfo, stageOf } from '../../../src/migration/run/migrationInfo';
import { lampText, progressLine } from '../../../src/migration/run/progressText';
import type { RunProgress } from '../../../src/migration/run/types';
import { isObject, type JsonObject } from '../../../src/qmp/json';
import { isMigrating } from '../../../src/vm/machine';
import { builds, exchangesOf, readRecording } from '../../support/recordings';
import { runOf } from './support';

function line(progress: Partial<RunProgress>): string {
  return progressLine(runOf(progress).progress);
}

describe('a line of progress', () => {
  it('tells the figures that QEMU gave', () => {
    assert.equal(
      line({
        pass: 3,
        fraction: 0.7199,
        bytesPerSecond: 1.1 * 2 ** 30,
        remainingBytes: 40 * 2 ** 20,
        expectedDowntimeMs: 300,
      }),
      'pass 3 · 71 % · 1.1 GiB/s · 40 MiB left · pause expected 300 ms',
    );
  });

  it('leaves out what says nothing', () => {
    assert.equal(line({ pass: 0, bytesPerSecond: 0 }), 'transferring');
    assert.equal(line({ fraction: 0 }), '0 %');
    assert.equal(line({ remainingBytes: 0 }), '0 B left');
  });

  it('tells the phase where figures say nothing, and what the user should know', () => {
    assert.equal(line({ phase: 'switch-over', pass: 3, fraction: 1 }), 'switching over');
    assert.equal(line({ phase: 'cancel', note: 'Wait.' }), 'cancelling · Wait.');
    assert.equal(line({ note: 'a does not answer.' }), 'transferring · a does not answer.');
    assert.equal(line({ phase: 'preflight' }), 'checking both sides');
  });

  it('tells the pause beside what is allowed, and how much the guest is slowed', () => {
    assert.equal(
      line({ expectedDowntimeMs: 40, downtimeLimitMs: 300, throttlePercent: 20 }),
      'pause expected 40 ms of 300 ms allowed · guest slowed by 20 %',
    );
    assert.equal(line({ pass: 1, throttlePercent: 0 }), 'pass 1');
  });

  it('begins with what has to be acted upon, and says no figure twice', () => {
    const progress = {
      ...{ pass: 3, fraction: 0.5, bytesPerSecond: 2 ** 20, remainingBytes: 2 ** 20 },
      ...{ expectedDowntimeMs: 900, downtimeLimitMs: 300 },
    };
    const text = 'guest writes 3 MiB/s, channel moves 1 MiB/s: not converging';
    assert.equal(
      line({ ...progress, verdict: { kind: 'not-converging', text, remedies: [] } }),
      `${text} · pass 3 · 50 % · 1 MiB left`,
    );
    assert.equal(
      line({ ...progress, verdict: { kind: 'converging', text: 'soon', remedies: [] } }),
      'pass 3 · 50 % · 1 MiB/s · 1 MiB left · pause expected 900 ms of 300 ms allowed',
    );
    assert.equal(line({ verdict: { kind: 'not-converging', text, remedies: [] } }), text);
  });

  it('keeps the figures that matter once the guest stands still or has gone over', () => {
    const left = { remainingBytes: 2 ** 20, bytesPerSecond: 2 ** 20, fraction: 0.5 };
    assert.equal(
      line({ ...left, phase: 'held' }),
      'standing still before the switchover · 1 MiB left',
    );
    assert.equal(
      line({ ...left, phase: 'postcopy' }),
      'running on the target, its memory still arriving · 1 MiB left · 1 MiB/s',
    );
    assert.equal(line({ phase: 'interrupted', note: 'Wait.' }), 'postcopy is interrupted · Wait.');
    assert.equal(
      line({ phase: 'cancel', cancelHangs: true }),
      'cancelling · it has had no effect yet',
    );
  });

  it('never claims more than everything or less than nothing', () => {
    const fraction = (total: number, remaining: number): number | undefined =>
      progressOf(readMigrationInfo({ ram: { total, remaining } })).fraction;
    assert.equal(fraction(100, 25), 0.75);
    assert.equal(fraction(100, 150), 0);
    assert.equal(fraction(100, -5), 1);
    assert.equal(fraction(0, 0), undefined);
  });
});

describe('the lamp of a run', () => {
  it('names the side that has the guest, and never a side where none is proven', () => {
    const labels = { source: 'web-1', target: 'web-2' };
    assert.equal(lampText('source', labels), 'the guest is on web-1');
    assert.equal(lampText('target', labels), 'the guest is on web-2');
    for (const [owner, words] of [
      ['neither-yet', /stands still/],
      ['file', /in a file/],
      ['nobody', /lost/],
      ['unknown', /unknown: needs you/],
    ] as const) {
      assert.match(lampText(owner, labels), words);
      assert.doesNotMatch(lampText(owner, labels), /web-/);
    }
  });
});

describe('an answer of query-migrate', () => {
  it('is read with its units', () => {
    const info = readMigrationInfo({
      status: 'active',
      'total-time': 1500,
      'expected-downtime': 300,
      'cpu-throttle-percentage': 20,
      ram: {
        total: 1000,
        remaining: 250,
        transferred: 750,
        mbps: 8,
        'dirty-sync-count': 2,
        'dirty-pages-rate': 10,
        'page-size': 4096,
      },
    });
    assert.deepEqual(info, {
      status: 'active',
      totalTimeMs: 1500,
      downtimeMs: undefined,
      expectedDowntimeMs: 300,
      errorText: undefined,
      blockedReasons: [],
      totalBytes: 1000,
      remainingBytes: 250,
      transferredBytes: 750,
      bytesPerSecond: 1_000_000,
      dirtyBytesPerSecond: 40_960,
      pass: 2,
      throttlePercent: 20,
    });
  });

  it('is read when integers are too big for a double', () => {
    const { totalBytes, remainingBytes } = readMigrationInfo({
      ram: { total: 2n ** 60n, remaining: 2n ** 59n },
    });
    assert.deepEqual([totalBytes, remainingBytes], [2 ** 60, 2 ** 59]);
  });

  it('is read but for what has a type that it should not have', () => {
    const info = readMigrationInfo({
      status: 'failed',
      'total-time': 'long',
      downtime: { ms: 1 },
      'error-desc': 'no such thing',
      'blocked-reasons': ['disk'],
      ram: { total: '1', remaining: 5, mbps: null },
    });
    assert.equal(info.status, 'failed');
    assert.equal(info.errorText, 'no such thing');
    assert.deepEqual(info.blockedReasons, ['disk']);
    assert.deepEqual(
      [info.totalTimeMs, info.downtimeMs, info.totalBytes, info.remainingBytes],
      [undefined, undefined, undefined, 5],
    );
    for (const odd of [{ ram: 7 }, { ram: [] }, { 'blocked-reasons': 'x' }, { status: 5 }]) {
      assert.equal(readMigrationInfo(odd as JsonObject).remainingBytes, undefined);
    }
  });

  it('of every recorded case is understood: status, stage, times and texts', () => {
    const recordings = path.join(import.meta.dirname, '../../recordings');
    const statuses = new Set<string>();
    let withTime = 0;
    let withError = 0;
    for (const build of builds) {
      for (const name of readdirSync(path.join(recordings, build))) {
        const sides = readdirSync(path.join(recordings, build, name));
        for (const side of ['source', 'target'] as const) {
          if (!sides.includes(`${side}.jsonl`)) continue;
          for (const { command, reply } of exchangesOf(readRecording(build, name, side))) {
            const answer = reply['return'];
            if (command !== 'query-migrate' || !isObject(answer)) continue;
            const info = readMigrationInfo(answer);
            assert.equal(info.status, answer['status']);
            assert.equal(info.errorText, answer['error-desc']);
            assert.equal(info.totalTimeMs, answer['total-time']);
            if (info.status !== undefined) statuses.add(info.status);
            if (info.totalTimeMs !== undefined) withTime++;
            if (info.errorText !== undefined) withError++;
            const resting = ['none', 'completed', 'failed', 'cancelled'];
            assert.equal(isMigrating(answer), !resting.includes(stageOf(info.status)));
          }
        }
      }
    }
    assert.ok(statuses.has('completed') && statuses.has('failed'), [...statuses].join());
    assert.ok(withTime > 5 && withError > 0, `${withTime} times, ${withError} errors`);
  });
});

describe('the stage of a migration', () => {
  it('is beyond the point of no return from `device` on, and for statuses of later QEMUs', () => {
    for (const status of ['device', 'postcopy-active', 'postcopy-paused', 'colo', 'x-new', '']) {
      assert.equal(stageOf(status), 'point-of-no-return', status);
    }
    for (const status of ['setup', 'active', 'wait-unplug'])
      assert.equal(stageOf(status), 'moving');
    assert.equal(stageOf('pre-switchover'), 'paused-before-switchover');
    assert.deepEqual([stageOf(undefined), stageOf('none')], ['none', 'none']);
    assert.deepEqual([stageOf('cancelling'), stageOf('failing')], ['ending', 'ending']);
  });
});
