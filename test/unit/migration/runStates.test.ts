import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { stageOf } from '../../../src/migration/run/migrationInfo';
import {
  canBeCancelled,
  decideOwner,
  isHandingOver,
  isRunning,
  Proof,
  type Answered,
  type SideView,
} from '../../../src/migration/run/ownership';
import {
  isAllowed,
  mayEnter,
  states,
  stateSeen,
  type RunCommand,
} from '../../../src/migration/run/states';
import type { RunPhase } from '../../../src/migration/run/types';

/** QAPI `MigrationStatus` of QEMU 7.2, 10.0 and 11.1 together. */
const statuses = [
  ...['none', 'setup', 'cancelling', 'cancelled', 'active', 'postcopy-device', 'postcopy-active'],
  ...['postcopy-paused', 'postcopy-recover-setup', 'postcopy-recover', 'completed', 'failed'],
  ...['failing', 'colo', 'pre-switchover', 'device', 'wait-unplug'],
];
/** QAPI `RunState`. */
const runStates = [
  ...['debug', 'inmigrate', 'internal-error', 'io-error', 'paused', 'postmigrate', 'prelaunch'],
  ...['finish-migrate', 'restore-vm', 'running', 'save-vm', 'shutdown', 'suspended', 'watchdog'],
  ...['guest-panicked', 'colo'],
];
/** Those that a run has once QEMU accepted `migrate`. */
const begun: readonly RunPhase[] = [
  ...(['transfer', 'held', 'switch-over', 'postcopy', 'interrupted', 'cancel', 'settle'] as const),
  ...(['needs-you', 'ended'] as const),
];
const undoing: readonly RunCommand[] = ['migrate_cancel', 'yank', 'cont', 'stop', 'quit'];

const anyStatus = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(undefined, ...statuses) },
  { weight: 1, arbitrary: fc.string() },
);
const anyRunState = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...runStates) },
  { weight: 1, arbitrary: fc.string() },
);
const anyAnswer = fc
  .tuple(anyRunState, anyStatus)
  .map(([status, migrationStatus]) => answered(status, migrationStatus));
const anyView: fc.Arbitrary<SideView> = fc.oneof(
  { weight: 8, arbitrary: anyAnswer },
  { weight: 1, arbitrary: fc.constant<SideView>({ kind: 'gone' }) },
  { weight: 2, arbitrary: fc.constant<SideView>({ kind: 'silent' }) },
);
const manyRuns = { numRuns: 5000 };

function answered(status: string, migrationStatus: string | undefined): Answered {
  return {
    kind: 'answered',
    runState: { status, running: status === 'running' },
    migrationStatus,
  };
}

/** By the facts, and not by the code that is tested. */
function isLate({ runState, migrationStatus = 'none' }: Answered): boolean {
  if (['device', 'colo'].includes(migrationStatus)) return true;
  if (migrationStatus.startsWith('postcopy-')) return true;
  return ['finish-migrate', 'postmigrate'].includes(runState.status);
}

function said(view: SideView): string {
  return view.kind === 'answered' ? `${view.runState.status}/${view.migrationStatus}` : view.kind;
}

describe('the states of a run', () => {
  it('go only where the table lets them, whatever the source says and in whatever order', () => {
    const steps = fc.array(fc.record({ view: anyView, cancelSent: fc.boolean() }), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(fc.constantFrom(...begun), steps, (first, course) => {
        let now = first;
        for (const { view, cancelSent } of course) {
          const next = stateSeen(now, view, cancelSent);
          assert.ok(mayEnter(now, next), `${now} to ${next} by ${said(view)}`);
          now = next;
        }
      }),
      manyRuns,
    );
  });

  it('that are over are never left by what the source says', () => {
    fc.assert(
      fc.property(anyView, fc.boolean(), (view, cancelSent) => {
        for (const over of ['settle', 'needs-you', 'ended'] as const) {
          assert.equal(stateSeen(over, view, cancelSent), over);
        }
      }),
    );
  });

  it('never allow anything to be undone once the target may have the guest', () => {
    const beyond = statuses.filter((status) => stageOf(status) === 'point-of-no-return');
    assert.ok(beyond.includes('device') && beyond.includes('postcopy-device'));
    const late = fc.oneof(
      fc.tuple(anyRunState, fc.oneof(fc.constantFrom(...beyond), fc.string({ minLength: 1 }))),
      fc.tuple(
        fc.constantFrom('finish-migrate', 'postmigrate'),
        fc.constantFrom('active', 'setup', 'wait-unplug'),
      ),
      fc.tuple(fc.constant('postmigrate'), fc.constant('pre-switchover')),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...begun.slice(0, 6)),
        late,
        fc.boolean(),
        (now, answer, sent) => {
          const view = answered(answer[0], answer[1]);
          fc.pre(!statuses.includes(answer[1]) || isLate(view));
          const state = stateSeen(now, view, sent);
          for (const command of undoing) {
            assert.ok(!isAllowed(state, command), `${command} in ${state} by ${said(view)}`);
          }
          assert.equal(Proof.cancel(view, true), undefined, said(view));
          assert.equal(Proof.holdSource(view), undefined, said(view));
          assert.equal(Proof.yank(view, answered('inmigrate', 'active'), true), undefined);
        },
      ),
      manyRuns,
    );
  });

  it('take what a later QEMU says for a switchover', () => {
    fc.assert(
      fc.property(
        fc.string().filter((word) => !statuses.includes(word) && !word.startsWith('postcopy-')),
        anyRunState,
        fc.constantFrom(...begun.slice(0, 6)),
        fc.boolean(),
        (word, runState, now, sent) => {
          assert.equal(stateSeen(now, answered(runState, word), sent), 'switch-over');
        },
      ),
    );
    const later = answered('finish-migrate', 'postcopy-something');
    assert.equal(stateSeen('postcopy', later, false), 'postcopy');
  });

  it('stay what they are while the source gives no answer', () => {
    for (const now of begun) assert.equal(stateSeen(now, { kind: 'silent' }, true), now);
  });

  it('are found as they follow each other, on QEMUs with few statuses and with many', () => {
    const course = (
      answers: readonly (readonly [string, string])[],
      cancelSent = false,
    ): string[] => {
      let now: RunPhase = 'transfer';
      return answers.map(
        ([run, status]) => (now = stateSeen(now, answered(run, status), cancelSent)),
      );
    };
    const plain = ['transfer', 'switch-over', 'settle'];
    assert.deepEqual(
      course([
        ['running', 'active'],
        ['finish-migrate', 'active'],
        ['postmigrate', 'completed'],
      ]),
      plain,
    );
    assert.deepEqual(
      course([
        ['running', 'setup'],
        ['finish-migrate', 'device'],
        ['postmigrate', 'completed'],
      ]),
      plain,
    );
    assert.deepEqual(
      course([
        ['finish-migrate', 'pre-switchover'],
        ['finish-migrate', 'device'],
      ]),
      ['held', 'switch-over'],
    );
    assert.deepEqual(
      course([
        ['finish-migrate', 'device'],
        ['finish-migrate', 'postcopy-device'],
        ['finish-migrate', 'postcopy-active'],
        ['finish-migrate', 'postcopy-paused'],
        ['finish-migrate', 'postcopy-recover-setup'],
        ['finish-migrate', 'postcopy-recover'],
        ['postmigrate', 'completed'],
      ]),
      ['switch-over', 'postcopy', 'postcopy', 'interrupted', 'postcopy', 'postcopy', 'settle'],
    );
    assert.deepEqual(
      course(
        [
          ['running', 'active'],
          ['running', 'cancelling'],
          ['running', 'cancelled'],
        ],
        true,
      ),
      ['cancel', 'settle', 'settle'],
    );
  });

  it('can all be reached, and all come to an end', () => {
    const reached = new Set<RunPhase>(['plan']);
    for (const state of reached) for (const next of states[state].exits) reached.add(next);
    assert.equal(reached.size, Object.keys(states).length);
    for (const state of Object.keys(states) as RunPhase[]) {
      const ahead = new Set<RunPhase>([state]);
      for (const one of ahead) for (const next of states[one].exits) ahead.add(next);
      assert.ok(ahead.has('ended'), state);
    }
  });
});

describe('a proof', () => {
  const anyProof = (source: SideView, target: SideView, held: boolean): (Proof | undefined)[] => [
    Proof.continueSource(source, target),
    Proof.continueTarget(source, target),
    Proof.holdSource(source),
    Proof.holdTarget(target),
    Proof.cancel(source, held),
  ];

  it('continues the source only when the target is gone, or when we paused it ourselves', () => {
    fc.assert(
      fc.property(anyView, anyView, (source, target) => {
        if (Proof.continueSource(source, target) !== undefined) {
          assert.equal(target.kind, 'gone');
          assert.ok(source.kind === 'answered' && !source.runState.running);
        }
        if (Proof.continueHeldSource(source) !== undefined) {
          assert.ok(source.kind === 'answered' && source.runState.status === 'paused');
        }
      }),
      manyRuns,
    );
  });

  it('never continues both sides by the same views', () => {
    fc.assert(
      fc.property(anyView, anyView, (source, target) => {
        const both =
          Proof.continueSource(source, target) !== undefined &&
          Proof.continueTarget(source, target) !== undefined;
        assert.ok(!both, `${said(source)} ${said(target)}`);
      }),
      manyRuns,
    );
  });

  it('continues the target only with all of the guest, and a source that runs nothing', () => {
    fc.assert(
      fc.property(anyView, anyView, (source, target) => {
        if (Proof.continueTarget(source, target) === undefined) return;
        assert.ok(!isRunning(source) && source.kind !== 'silent', said(source));
        assert.ok(target.kind === 'answered' && target.migrationStatus === 'completed');
      }),
      manyRuns,
    );
  });

  it('cancels and cuts nothing without a held target, while that may live', () => {
    fc.assert(
      fc.property(anyView, anyView, (source, target) => {
        assert.equal(Proof.cancel(source, false), undefined);
        if (target.kind === 'gone') return;
        const last = source.kind === 'answered' ? source : undefined;
        assert.equal(Proof.yank(last, target, false), undefined);
        assert.equal(Proof.yank(undefined, target, true), undefined);
      }),
    );
  });

  it('is none of a side that gives no answer', () => {
    const silent: SideView = { kind: 'silent' };
    for (const held of [true, false]) {
      assert.ok(anyProof(silent, silent, held).every((proof) => proof === undefined));
    }
  });
});

describe('the owner of the guest, whatever both sides say', () => {
  it('is no side that runs beside another: that is told as two copies, and nothing else is', () => {
    fc.assert(
      fc.property(anyView, anyView, fc.boolean(), (source, target, stayed) => {
        const { owner, guestRunning, twoCopies } = decideOwner(source, target, stayed);
        assert.equal(twoCopies, isRunning(source) && isRunning(target));
        if (twoCopies) assert.equal(owner, 'unknown');
        if (owner === 'source') assert.ok(source.kind === 'answered' && !isRunning(target));
        if (owner === 'target') assert.ok(target.kind === 'answered' && !isRunning(source));
        if (guestRunning === true && owner === 'source') assert.ok(isRunning(source));
        if (guestRunning === true && owner === 'target') assert.ok(isRunning(target));
      }),
      manyRuns,
    );
  });

  it('is nobody only when a process is gone, and never while a whole guest runs', () => {
    fc.assert(
      fc.property(anyView, anyView, fc.boolean(), (source, target, stayed) => {
        if (decideOwner(source, target, stayed).owner !== 'nobody') return;
        assert.ok(source.kind === 'gone' || target.kind === 'gone');
      }),
      manyRuns,
    );
  });

  it('is never the source by a stopped guest that was handed over', () => {
    fc.assert(
      fc.property(anyView, (target) => {
        const source = answered('postmigrate', 'completed');
        assert.notEqual(decideOwner(source, target).owner, 'source', said(target));
      }),
    );
  });

  it('can be cancelled at no moment at which it may be handed over', () => {
    fc.assert(
      fc.property(anyAnswer, (view) => {
        assert.ok(!(canBeCancelled(view) && isHandingOver(view)), said(view));
      }),
      manyRuns,
    );
  });
});
