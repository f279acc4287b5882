import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  GuestProof,
  judgeEvidence,
  type GuestEvidence,
  type OtherMachine,
  type PastRun,
} from '../../../src/migration/run/guestRules';
import type { SideView } from '../../../src/migration/run/ownership';

function answered(status: string, migrationStatus?: string): SideView {
  return {
    kind: 'answered',
    runState: { status, running: status === 'running' },
    migrationStatus,
  };
}
const gone: SideView = { kind: 'gone' };
const silent: SideView = { kind: 'silent' };

function past(
  role: PastRun['role'],
  owner: PastRun['owner'],
  patch: Partial<PastRun> = {},
): PastRun {
  return { id: 'r1', method: 'precopy', role, owner, partner: 'b', ...patch };
}

function other(view: SideView, kinship: OtherMachine['kinship'] = 'partner'): OtherMachine {
  return { label: 'b', view, kinship };
}

function evidence(view: SideView, patch: Partial<GuestEvidence> = {}): GuestEvidence {
  return { label: 'a', view, others: [], ...patch };
}

const savedTo = (exists: boolean): Partial<PastRun> => ({
  method: 'save',
  partner: 'a',
  file: { path: '/x/saved', exists },
});
const handedOver = answered('postmigrate', 'completed');
const failedTarget = answered('inmigrate', 'failed');

/** What is asked, what is known, whether it is allowed, and what the reason has to name. */
const continuing: readonly [string, GuestEvidence, boolean, RegExp][] = [
  [
    'the source of a completed run, its target alive',
    evidence(handedOver, {
      last: past('source', 'target'),
      others: [other(answered('running', 'completed'))],
    }),
    false,
    /went to b/,
  ],
  [
    'the source of a completed run, its target gone since',
    evidence(handedOver, { last: past('source', 'target'), others: [other(gone)] }),
    false,
    /went to b/,
  ],
  [
    'the source of a completed run that somebody continued and paused by hand',
    evidence(answered('paused', 'completed'), { last: past('source', 'target') }),
    false,
    /old copy/,
  ],
  [
    'a target with the paused guest of a run that ended on the source',
    evidence(answered('paused', 'completed'), { last: past('target', 'source') }),
    false,
    /stayed with b/,
  ],
  ['postmigrate of which no journal tells', evidence(handedOver), false, /cannot be proven/],
  [
    'postmigrate after a run that ended here, for another program migrated it since',
    evidence(handedOver, { last: past('source', 'source'), others: [other(gone)] }),
    false,
    /cannot be proven/,
  ],
  [
    'a saved guest',
    evidence(handedOver, { last: past('both', 'file', savedTo(true)) }),
    false,
    /saved in \/x\/saved/,
  ],
  [
    'a guest whose file the disk did not confirm',
    evidence(handedOver, { last: past('both', 'source', savedTo(true)) }),
    false,
    /written to \/x\/saved/,
  ],
  ['a waiting target', evidence(answered('inmigrate')), false, /no guest in it/],
  ['a failed target', evidence(failedTarget), false, /no guest in it/],
  ['a running guest', evidence(answered('running')), false, /runs already/],
  ['a machine that does not answer', evidence(silent), false, /does not answer/],
  ['a machine that has ended', evidence(gone), false, /has ended/],
  ['a run in the middle', evidence(answered('paused', 'active')), false, /middle of a migration/],
  [
    'a source before the switchover',
    evidence(answered('finish-migrate', 'pre-switchover')),
    false,
    /middle of a migration/,
  ],
  [
    'a status of a later QEMU',
    evidence(answered('paused', 'wait-for-the-moon')),
    false,
    /middle of a migration/,
  ],
  [
    'a machine that another program drives',
    evidence(answered('paused'), { drivenBy: 'a window (pid 7)' }),
    false,
    /a window \(pid 7\)/,
  ],
  [
    'a machine of a run left in the middle',
    evidence(answered('paused'), { unfinishedRun: 'r7' }),
    false,
    /r7/,
  ],
  [
    'journals that cannot be read',
    evidence(answered('paused'), { journalProblem: 'EACCES' }),
    false,
    /EACCES/,
  ],
  [
    'a paused guest that another machine of the same UUID runs',
    evidence(answered('paused'), { others: [other(answered('running'), 'uuid')] }),
    false,
    /two running copies/,
  ],
  [
    'a paused guest whose partner runs it in spite of what the journal says',
    evidence(answered('paused', 'failed'), {
      last: past('source', 'source'),
      others: [other(answered('running', 'completed'))],
    }),
    false,
    /two running copies/,
  ],
  [
    'a paused guest when a machine of the same UUID is silent',
    evidence(answered('paused'), { others: [other(silent, 'uuid')] }),
    false,
    /may run the same guest/,
  ],
  [
    'a paused guest when the partner of a run with unknown end is silent',
    evidence(answered('paused', 'cancelled'), { others: [other(silent)] }),
    false,
    /may run the same guest/,
  ],
  [
    'a crashed guest in a state that cannot go on',
    evidence(answered('internal-error')),
    false,
    /internal-error/,
  ],
  ['a guest that its user paused', evidence(answered('paused')), true, /stands still \(paused\)/],
  [
    'a guest paused after a cancelled run whose target is silent now',
    evidence(answered('paused', 'cancelled'), {
      last: past('source', 'source'),
      others: [other(silent)],
    }),
    true,
    /stands still/,
  ],
  [
    'the target of a completed run that kept the guest paused',
    evidence(answered('paused', 'completed'), {
      last: past('target', 'target'),
      others: [other(handedOver)],
    }),
    true,
    /stands still/,
  ],
  ['a QEMU started with -S', evidence(answered('prelaunch')), true, /prelaunch/],
  [
    'a guest that was continued after it had been saved, and paused again',
    evidence(answered('paused', 'completed'), { last: past('both', 'file', savedTo(true)) }),
    true,
    /stands still/,
  ],
  [
    'a restored guest that stands still',
    evidence(answered('paused', 'completed'), {
      last: past('both', 'target', { method: 'restore' }),
    }),
    true,
    /stands still/,
  ],
];

const quitting: readonly [string, GuestEvidence, boolean, RegExp][] = [
  ['a running guest', evidence(answered('running')), false, /runs/],
  [
    'a running guest, even if the journal says that it went elsewhere',
    evidence(answered('running', 'completed'), { last: past('source', 'target') }),
    false,
    /runs/,
  ],
  ['a guest that its user paused', evidence(answered('paused')), false, /holds a guest/],
  [
    'a guest paused after a failed run',
    evidence(answered('paused', 'failed'), { last: past('source', 'source') }),
    false,
    /holds a guest/,
  ],
  [
    'a paused guest of whose UUID another one runs that was not migrated',
    evidence(answered('paused'), { others: [other(answered('running'), 'uuid')] }),
    false,
    /holds a guest/,
  ],
  ['postmigrate of which nothing is known', evidence(handedOver), false, /cannot be proven/],
  [
    'postmigrate beside a running machine of the same UUID that never was a target',
    evidence(handedOver, { others: [other(answered('running'), 'uuid')] }),
    false,
    /cannot be proven/,
  ],
  [
    'postmigrate beside a target that says it has the guest',
    evidence(handedOver, { others: [other(answered('running', 'completed'), 'uuid')] }),
    true,
    /b has the guest/,
  ],
  [
    'postmigrate beside a target that has it, paused',
    evidence(handedOver, { others: [other(answered('paused', 'completed'), 'uuid')] }),
    true,
    /b has the guest/,
  ],
  [
    'postmigrate beside a target that has not loaded it',
    evidence(handedOver, { others: [other(failedTarget, 'uuid')] }),
    false,
    /cannot be proven/,
  ],
  [
    'the source of a completed run whose target does not answer now',
    evidence(handedOver, { last: past('source', 'target'), others: [other(silent)] }),
    true,
    /with b/,
  ],
  [
    'a saved guest whose file is there',
    evidence(handedOver, { last: past('both', 'file', savedTo(true)) }),
    true,
    /saved in \/x\/saved/,
  ],
  [
    'a saved guest whose file is gone',
    evidence(handedOver, { last: past('both', 'file', savedTo(false)) }),
    false,
    /only copy/,
  ],
  [
    'a guest that was continued after it had been saved',
    evidence(answered('paused', 'completed'), { last: past('both', 'file', savedTo(true)) }),
    false,
    /holds a guest/,
  ],
  [
    'a target whose restore failed',
    evidence(failedTarget, { last: past('both', 'file', { ...savedTo(true), method: 'restore' }) }),
    true,
    /saved in/,
  ],
  [
    'a failed target whose run ended on the source',
    evidence(failedTarget, { last: past('target', 'source'), others: [other(silent)] }),
    true,
    /with b/,
  ],
  [
    'a target that listened in vain',
    evidence(answered('inmigrate', 'setup'), { last: past('target', 'source') }),
    true,
    /with b/,
  ],
  [
    'a target that is receiving',
    evidence(answered('inmigrate', 'active'), { last: past('target', 'source') }),
    false,
    /middle of a migration/,
  ],
  [
    'a failed target of another program, beside the guest that stayed',
    evidence(failedTarget, { others: [other(answered('running', 'failed'), 'uuid')] }),
    true,
    /b has the guest/,
  ],
  [
    'a failed target of another program whose source has given the guest away',
    evidence(failedTarget, { others: [other(handedOver, 'uuid')] }),
    false,
    /cannot be proven/,
  ],
  ['a failed target of which nothing is known', evidence(failedTarget), false, /cannot be proven/],
  // It may be the new program of a cpr-exec, with the only copy in its memory.
  ['a target that waits', evidence(answered('inmigrate')), false, /cannot be proven/],
  [
    'a new program of a live update in place',
    evidence(answered('inmigrate'), { last: past('both', 'target', { method: 'cpr-exec' }) }),
    false,
    /cannot be proven/,
  ],
  [
    'a source left over from a postcopy whose target is gone',
    evidence(answered('finish-migrate', 'postcopy-paused'), {
      last: past('source', 'nobody'),
      others: [other(gone)],
    }),
    true,
    /lost/,
  ],
  [
    'the same while the other side may be there',
    evidence(answered('finish-migrate', 'postcopy-paused'), {
      last: past('source', 'nobody'),
      others: [other(silent)],
    }),
    false,
    /still there/,
  ],
  [
    'a machine that another program drives',
    evidence(handedOver, { last: past('source', 'target'), drivenBy: 'a window (pid 7)' }),
    false,
    /a window/,
  ],
  ['a machine that does not answer', evidence(silent), false, /does not answer/],
];

describe('guest rules', () => {
  for (const [verb, rows] of [
    ['continue', continuing],
    ['quit', quitting],
  ] as const) {
    for (const [what, given, allowed, reason] of rows) {
      it(`${allowed ? 'allows' : 'refuses'} to ${verb} ${what}`, () => {
        const verdict = judgeEvidence(verb, given);
        assert.equal(verdict.allowed, allowed, verdict.reason);
        assert.match(verdict.reason, reason);
        assert.equal(verdict.nextStep === '', allowed, 'a refusal says what to do');
        const { proof } = GuestProof.of(verb, given);
        const command = verb === 'continue' ? 'cont' : 'quit';
        assert.equal(proof?.command, allowed ? command : undefined);
      });
    }
  }

  const statuses = ['running', 'paused', 'inmigrate', 'postmigrate', 'finish-migrate', 'prelaunch'];
  const migrations = [undefined, 'setup', 'active', 'device', 'completed', 'failed', 'cancelled'];
  const view = fc.oneof(
    fc.constantFrom(gone, silent),
    fc
      .tuple(fc.constantFrom(...statuses), fc.constantFrom(...migrations))
      .map(([status, migration]) => answered(status, migration)),
  );
  const anyEvidence = fc
    .record({
      view,
      last: fc.option(
        fc
          .tuple(
            fc.constantFrom('source', 'target', 'both'),
            fc.constantFrom('source', 'target', 'file', 'nobody', 'unknown', 'neither-yet'),
          )
          .map(([role, owner]) => past(role, owner)),
        { nil: undefined },
      ),
      others: fc.array(
        fc.record({
          label: fc.constant('b'),
          view,
          kinship: fc.constantFrom('partner', 'uuid'),
        }),
        { maxLength: 2 },
      ),
    })
    .map((some) => ({ label: 'a', ...some }));

  it('never allows both to continue and to quit one machine', () => {
    fc.assert(
      fc.property(anyEvidence, (given) => {
        const both = (['continue', 'quit'] as const).map((verb) => judgeEvidence(verb, given));
        return !both.every(({ allowed }) => allowed);
      }),
    );
  });

  it('names the file that would have to go before a saved guest goes on, and none of a guest that went', () => {
    const saved = evidence(handedOver, { last: past('both', 'file', savedTo(true)) });
    assert.equal(judgeEvidence('continue', saved).discards, '/x/saved');
    const gave = evidence(handedOver, { last: past('source', 'target', savedTo(true)) });
    assert.equal(judgeEvidence('continue', gave).discards, undefined);
    const busy = { ...saved, drivenBy: 'another (pid 1)' };
    assert.equal(judgeEvidence('continue', busy).discards, undefined);
  });

  it('never continues beside a running copy, after the guest has gone, or one given away', () => {
    fc.assert(
      fc.property(anyEvidence, (given) => {
        if (!judgeEvidence('continue', given).allowed) return true;
        const { view: now, last, others } = given;
        assert.ok(now.kind === 'answered' && now.runState.status !== 'postmigrate');
        assert.ok(!others.some(({ view: it }) => it.kind === 'answered' && it.runState.running));
        return !(last?.role === 'source' && last.owner === 'target');
      }),
    );
  });

  it('never quits what runs, or does not answer', () => {
    fc.assert(
      fc.property(
        anyEvidence,
        (given) =>
          !judgeEvidence('quit', given).allowed ||
          (given.view.kind === 'answered' && !given.view.runState.running),
      ),
    );
  });
});
