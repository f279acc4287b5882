import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  decideOwner,
  mayContinueSource,
  mayContinueTarget,
  type SideView,
} from '../../../src/migration/run/ownership';

function answered(status: string, migrationStatus: string | undefined): SideView {
  return {
    kind: 'answered',
    runState: { status, running: status === 'running' },
    migrationStatus,
  };
}
const gone: SideView = { kind: 'gone' };
const silent: SideView = { kind: 'silent' };

/** Rows of the measured failure matrix: what both sides say, and who then has the guest. */
const matrix: readonly [string, SideView, SideView, string, boolean | undefined][] = [
  [
    'success',
    answered('postmigrate', 'completed'),
    answered('running', 'completed'),
    'target',
    true,
  ],
  [
    'success, source paused before',
    answered('postmigrate', 'completed'),
    answered('paused', 'completed'),
    'target',
    false,
  ],
  ['target killed while active', answered('running', 'failed'), gone, 'source', true],
  [
    'target refused the stream',
    answered('running', 'failed'),
    answered('inmigrate', 'failed'),
    'source',
    true,
  ],
  [
    'cancelled while active',
    answered('running', 'cancelled'),
    answered('inmigrate', 'failed'),
    'source',
    true,
  ],
  [
    'target killed before switchover',
    answered('finish-migrate', 'pre-switchover'),
    gone,
    'source',
    false,
  ],
  [
    'completed without return path, target dead',
    answered('postmigrate', 'completed'),
    gone,
    'unknown',
    undefined,
  ],
  ['target frozen in device', answered('finish-migrate', 'device'), silent, 'unknown', undefined],
  ['source killed while active', gone, answered('inmigrate', 'failed'), 'nobody', undefined],
  ['source killed after all was sent', gone, answered('running', 'completed'), 'target', true],
  [
    'source killed, target still loads',
    gone,
    answered('inmigrate', 'active'),
    'unknown',
    undefined,
  ],
  [
    'source does not answer, target runs',
    silent,
    answered('running', 'completed'),
    'unknown',
    undefined,
  ],
  ['both dead', gone, gone, 'nobody', undefined],
  ['both silent', silent, silent, 'unknown', undefined],
];

describe('who owns the guest', () => {
  for (const [name, source, target, owner, running] of matrix) {
    it(name, () => {
      const verdict = decideOwner(source, target);
      assert.equal(verdict.owner, owner);
      if (owner !== 'unknown') assert.equal(verdict.guestRunning, running);
      assert.equal(verdict.twoCopies, false);
    });
  }

  it('raises the alarm when both sides run the guest', () => {
    const verdict = decideOwner(answered('running', 'cancelled'), answered('running', 'completed'));
    assert.equal(verdict.twoCopies, true);
    assert.equal(verdict.owner, 'unknown');
  });

  it('needs no answer of the target when the guest was never stopped on the source', () => {
    const verdict = decideOwner(answered('running', 'failed'), silent, true);
    assert.deepEqual([verdict.owner, verdict.guestRunning], ['source', true]);
  });

  it('never permits cont on the source while the target may live', () => {
    for (const target of [
      silent,
      answered('inmigrate', 'failed'),
      answered('paused', 'completed'),
    ]) {
      assert.equal(mayContinueSource(target), false);
    }
    assert.equal(mayContinueSource(gone), true);
  });

  it('never permits cont on the target while the source could run its copy', () => {
    const view = fc.oneof(
      fc.constant(gone),
      fc.constant(silent),
      fc
        .tuple(
          fc.constantFrom('running', 'paused', 'postmigrate', 'finish-migrate', 'inmigrate'),
          fc.constantFrom(undefined, 'active', 'device', 'completed', 'failed', 'cancelled', 'new'),
        )
        .map(([status, migration]) => answered(status, migration)),
    );
    fc.assert(
      fc.property(view, view, (source, target) => {
        if (!mayContinueTarget(source, target)) return;
        const handedOver =
          source.kind === 'answered' &&
          source.runState.status === 'postmigrate' &&
          source.migrationStatus === 'completed';
        assert.ok(source.kind === 'gone' || handedOver);
        assert.ok(target.kind === 'answered' && target.migrationStatus === 'completed');
      }),
    );
  });
});
