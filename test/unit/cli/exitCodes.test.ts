import assert from 'node:assert/strict';
import {
  ExitCode,
  exitCodeMeanings,
  exitCodeOfError,
  exitCodeOfOutcome,
  RefusedError,
  UsageError,
} from '../../../src/cli/exitCodes';
import { failureResult } from '../../../src/cli/result';
import type { GuestOwner, OutcomeKind } from '../../../src/migration/run/types';
import { BackendTransferError } from '../../../src/migration/settings/backendTransfer';
import { ProfileNotApplicableError } from '../../../src/migration/profiles/apply';
import { ProfileFileError } from '../../../src/migration/profiles/profileFile';
import { CapabilityNotTakenError } from '../../../src/migration/settings/capabilities';
import {
  CannotUnsetError,
  ParameterNotTakenError,
  SettingsNotAppliedError,
} from '../../../src/migration/settings/change';
import { SettingsRefusedError } from '../../../src/migration/settings/findings';
import { UndoConflictError, UndoImpossibleError } from '../../../src/migration/settings/history';
import {
  QmpClosedError,
  QmpCommandError,
  QmpConnectError,
  QmpTimeoutError,
} from '../../../src/qmp/errors';

describe('cli exit codes', () => {
  const outcomes: readonly (readonly [OutcomeKind, GuestOwner, number])[] = [
    ['completed', 'target', 0],
    ['refused', 'source', 4],
    ['failed', 'source', 5],
    ['cancelled', 'source', 6],
    ['too-late-to-cancel', 'target', 7],
    ['unknown', 'unknown', 8],
    // Whatever the kind says: where the guest is not where the number says, a person has to look.
    ['completed', 'unknown', 8],
    ['failed', 'nobody', 8],
    ['failed', 'unknown', 8],
    ['cancelled', 'unknown', 8],
    ['too-late-to-cancel', 'nobody', 8],
  ];
  for (const [kind, owner, code] of outcomes) {
    it(`${kind}, guest: ${owner} is ${code}`, () => {
      assert.equal(exitCodeOfOutcome({ kind, owner }), code);
    });
  }

  const web = { id: '/run/web.qmp', label: 'web-1' };
  const refusal = new QmpCommandError('migrate-set-parameters', 'GenericError', 'no');
  const closed = new QmpClosedError('migrate-set-parameters', { kind: 'peer-closed' });
  const left = [{ label: 'web-2', names: ['multifd'], cause: closed }];
  const unset = new CannotUnsetError(['block-bitmap-mapping']);
  const errors: readonly (readonly [Error, number])[] = [
    [new UsageError('no'), 2],
    [new QmpConnectError('/run/a', { kind: 'no-such-file' }), 3],
    [new RefusedError('no'), 4],
    [new QmpCommandError('migrate-set-parameters', 'GenericError', 'no'), 4],
    [new BackendTransferError('absent', 'web-1', []), 4],
    [new BackendTransferError('list', 'web-1', ['local']), 4],
    [new CapabilityNotTakenError('xbzrle'), 8],
    [new SettingsRefusedError(web, []), 4],
    [new SettingsNotAppliedError(web, refusal, []), 4],
    [new SettingsNotAppliedError(web, new CapabilityNotTakenError('xbzrle'), []), 4],
    [new SettingsNotAppliedError(web, new ParameterNotTakenError('mode', 'x', 'y'), []), 4],
    [new SettingsNotAppliedError(web, refusal, left), 8],
    [new SettingsNotAppliedError(web, closed, []), 8],
    [new UndoConflictError('it', []), 4],
    [new UndoImpossibleError('nothing'), 4],
    [new ProfileNotApplicableError('fast', 'web-1', ['no']), 4],
    [new ProfileFileError('/w/p.json', []), 4],
    [new ParameterNotTakenError('mode', 'x', 'y'), 8],
    [unset, 8],
    [new QmpTimeoutError('query-status', 5), 8],
    [new QmpClosedError('query-status', { kind: 'peer-closed' }), 8],
    [new Error('a bug'), 1],
  ];
  for (const [error, code] of errors) {
    it(`${error.name} (${error.message}) is ${code}`, () => {
      assert.equal(exitCodeOfError(error), code);
      const result = failureResult(error);
      assert.equal(result.exitCode, code);
      assert.ok(result.lines.length > 0 && !result.lines.join('\n').includes('    at '));
    });
  }

  it('explains each number once, in order', () => {
    assert.deepEqual(
      exitCodeMeanings.map(([code]) => code),
      Object.values(ExitCode),
    );
  });
});
