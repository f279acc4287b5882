import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { FdPassError } from '../../../src/fdpass/errors';
import { HelperMissingError } from '../../../src/migration/methods/descriptorPair';
import { TargetDeviceError } from '../../../src/migration/methods/targetDevices';
import { RunRefusedError } from '../../../src/migration/run/checks/checks';
import { BackendTransferError } from '../../../src/migration/settings/backendTransfer';
import { ProfileNotApplicableError } from '../../../src/migration/profiles/apply';
import type { ProfileProblem } from '../../../src/migration/profiles/types';
import { ProfileFileError } from '../../../src/migration/profiles/profileFile';
import { CapabilityNotTakenError } from '../../../src/migration/settings/capabilities';
import {
  CannotUnsetError,
  ParameterNotTakenError,
  SettingsNotAppliedError,
} from '../../../src/migration/settings/change';
import {
  SettingsRefusedError,
  type SettingFinding,
} from '../../../src/migration/settings/findings';
import { UndoConflictError, UndoImpossibleError } from '../../../src/migration/settings/history';
import {
  closeText,
  explain,
  explainClose,
  explanationText,
} from '../../../src/migration/view/words';
import {
  QmpAbortedError,
  QmpClosedError,
  QmpCommandError,
  QmpConnectError,
  QmpError,
  QmpProtocolError,
  QmpTimeoutError,
  type CloseReason,
  type ProtocolProblem,
} from '../../../src/qmp/errors';
import { UnexpectedReplyError } from '../../../src/vm/queries';
import { ListNotSavedError } from '../../../src/vm/registry';
import { NotConnectedError } from '../../../src/vm/types';

const file = '/run/a.qmp';

const protocolError = new QmpProtocolError('bad-json', 'Not JSON', '{"a":');

/** One of each kind; the compiler asks for the missing ones. */
const closeReasons: {
  readonly [Kind in CloseReason['kind']]: Extract<CloseReason, { kind: Kind }>;
} = {
  'qemu-quit': { kind: 'qemu-quit', guest: false, reason: 'host-qmp-quit' },
  'peer-closed': { kind: 'peer-closed' },
  'closed-by-us': { kind: 'closed-by-us' },
  'protocol-error': { kind: 'protocol-error', error: protocolError },
  'greeting-timeout': { kind: 'greeting-timeout', timeoutMs: 2000 },
  'not-a-socket': { kind: 'not-a-socket' },
  'no-permission': { kind: 'no-permission' },
  'no-such-file': { kind: 'no-such-file' },
  'connection-refused': { kind: 'connection-refused' },
  'path-too-long': { kind: 'path-too-long', bytes: 130 },
  'io-error': { kind: 'io-error', code: 'EIO', message: 'input/output error' },
};

const problems: { readonly [Problem in ProtocolProblem]: true } = {
  garbage: true,
  'too-large': true,
  'bad-json': true,
  'bad-utf8': true,
  'not-qmp': true,
  unexpected: true,
};

function checkSentences(text: string): void {
  assert.match(text, /^\S.*[.!?)]$/s, text);
  assert.doesNotMatch(text, /undefined|\[object|null|NaN|Error:|\.\./, text);
}

describe('an error in words', () => {
  const idle = { id: file, label: 'a', state: { kind: 'idle' } } as const;
  const a = { id: file, label: 'a' } as const;
  const refusal = (text: string): SettingFinding => ({
    level: 'refuse',
    kind: 'parameter',
    name: 'mode',
    text,
  });
  const missing = { kind: 'missing', sentence: 'The helper is not there.' } as const;

  for (const [error, headline] of [
    [
      new QmpCommandError('migrate', 'GenericError', 'not now'),
      /^QEMU refused migrate: not now\.$/,
    ],
    [new QmpTimeoutError('stop', 30_000), /did not answer stop within 30 s/],
    [new QmpClosedError('cont', { kind: 'peer-closed' }), /before QEMU answered cont/],
    [new QmpAbortedError('cont'), /cont: aborted\./],
    [new QmpError('no socket'), /^no socket\.$/i],
    [protocolError, /not QMP/],
    [new NotConnectedError(idle), /^a is not connected\.$/],
    [new RunRefusedError(['One.', 'Two.'], 'Do it.'), /^One\. Two\.$/],
    [new BackendTransferError('absent', 'a', ['cpr-exec']), /a has no backend transfer/],
    [new BackendTransferError('absent', 'a', []), /a has no backend transfer/],
    [
      new BackendTransferError('list', 'a', ['backend-transfer']),
      /"backend-transfer", not a switch/,
    ],
    [new CapabilityNotTakenError('xbzrle'), /change of xbzrle/],
    [
      new ParameterNotTakenError('multifd-zlib-level', 5, 1),
      /accepted multifd-zlib-level = 5, but reports 1\.$/,
    ],
    [new ParameterNotTakenError('tls-creds', 'x', ''), /reports an empty text\.$/],
    [new ParameterNotTakenError('x-new', [2n ** 64n - 1n], undefined), /reports nothing\.$/],
    [new CannotUnsetError(['block-bitmap-mapping']), /cannot unset it again/],
    [new SettingsRefusedError(a, [refusal('One.'), refusal('Two.')]), /^One\. Two\.$/],
    [
      new SettingsNotAppliedError(a, new QmpCommandError('migrate-set-parameters', 'X', 'no'), []),
      /^The QEMU of a refused the change: no\.$/,
    ],
    [
      new SettingsNotAppliedError(a, new ParameterNotTakenError('mode', 'x', 'normal'), []),
      /^The change could not be made on a\. QEMU accepted mode/,
    ],
    [new UndoConflictError('mode of a', []), /mode of a: it has been changed again/],
    [new UndoImpossibleError('nothing'), /nothing to undo/],
    [new UndoImpossibleError('machine-gone', 'a'), /^a is no longer there/],
    [new UndoImpossibleError('another-process', 'a'), /^a is another QEMU process/],
    [
      new ProfileNotApplicableError('fast', 'a', ['It is too new.']),
      /"fast" does not fit a: It is/,
    ],
    [new ProfileFileError('/w/p.json', []), /^The profiles in \/w\/p\.json cannot be used/],
    [new HelperMissingError({ ...missing, searched: [] } as never), /helper is not there/],
    [new FdPassError('crashed', 'the helper crashed', { stderr: ' boo ' }), /handed over/],
    [new TargetDeviceError('nic0', 'nic0 could not be added.'), /nic0 could not be added/],
    [new ListNotSavedError(new Error('disk full')), /could not be saved/],
    [new UnexpectedReplyError('query-status', undefined), /answered query-status/],
    [new Error('boom'), /boom\./],
    ['a text', /a text\./],
  ] as const) {
    it(`${error instanceof Error ? `${error.name}: ` : ''}${String(headline)}`, () => {
      const words = explain(error);
      assert.match(words.headline, headline);
      assert.doesNotMatch(explanationText(words), /undefined|\[object|NaN/);
      checkSentences(words.headline);
    });
  }

  it('has words even for what is no error at all', () => {
    for (const thrown of [undefined, null, {}, 7, '', new Error(''), Symbol('x')]) {
      checkSentences(explain(thrown).headline);
    }
  });

  describe('of a change that was not made', () => {
    const refused = new QmpCommandError('migrate-set-parameters', 'GenericError', 'no');

    it('says that the rest was put back, and what to do', () => {
      const { detail, nextStep } = explain(new SettingsNotAppliedError(a, refused, []));
      assert.match(detail ?? '', /as it was/);
      assert.match(nextStep ?? '', /what QEMU names/);
    });

    it('names what could not be put back, where and why', () => {
      const lost = new NotConnectedError(idle);
      const words = explain(
        new SettingsNotAppliedError(a, refused, [
          { label: 'b', names: ['multifd', 'mode'], cause: lost },
          { label: 'c', names: ['x'], cause: refused },
        ]),
      );
      assert.equal(
        words.detail,
        'multifd, mode of b could not be put back: a is not connected. ' +
          'x of c could not be put back: QEMU refused migrate-set-parameters: no.',
      );
      assert.match(words.nextStep ?? '', /undoing, once the machine answers/);
      const unset = new CannotUnsetError(['x']);
      const other = explain(
        new SettingsNotAppliedError(a, refused, [{ label: 'b', names: ['x'], cause: unset }]),
      );
      assert.doesNotMatch(other.nextStep ?? '', /undo/);
    });
  });

  it('of an undo tells each setting that was changed since', () => {
    const conflicts = [{ label: 'a', name: 'downtime-limit', now: '2 s', expected: '1 s' }];
    const { detail } = explain(new UndoConflictError('it', conflicts));
    assert.equal(detail, 'downtime-limit of a was set to 1 s, and is 2 s now.');
  });

  it('of a profile file tells where, and stops after a few', () => {
    const problem = (line: number): ProfileProblem => ({
      severity: 'error',
      message: 'Not this',
      offset: 0,
      length: 1,
      line,
      column: 3,
      profile: undefined,
    });
    const { detail } = explain(
      new ProfileFileError('/w/p.json', [1, 2, 3, 4, 5, 6, 7].map(problem)),
    );
    assert.match(detail ?? '', /^Line 1, column 3: Not this\. Line 2/);
    assert.match(detail ?? '', /Line 5, column 3: Not this\. And 2 more\.$/);
  });

  it('of the disk tells why, and what to do', () => {
    const { detail, nextStep } = explain(new ListNotSavedError(new Error('disk full')));
    assert.equal(detail, 'disk full');
    assert.match(nextStep ?? '', /disk space/);
  });

  it('of the helper says that the other transport works', () => {
    const words = explain(new FdPassError('crashed', 'the helper crashed', { stderr: ' boo ' }));
    assert.equal(words.detail, 'boo');
    assert.match(words.nextStep ?? '', /UNIX socket transport works/);
  });

  it('of the helper does not say the same twice, nor names that only the log needs', () => {
    const stderr = 'fdpass: timeout: the socket stayed full (destination 0)\n';
    const said = 'the socket stayed full (destination 0)';
    const { headline, detail } = explain(new FdPassError('timeout', said, { stderr }));
    assert.equal(headline, `The descriptors could not be handed over: ${said}.`);
    assert.equal(detail, undefined);
  });
});

describe('the end of a connection in words', () => {
  for (const reason of Object.values(closeReasons)) {
    it(reason.kind, () => {
      const { headline, detail, nextStep } = explainClose(reason, file);
      for (const text of [closeText(reason), headline, detail, nextStep]) {
        if (text !== undefined) checkSentences(text);
      }
      assert.deepEqual(explain(new QmpConnectError(file, reason)), explainClose(reason, file));
    });
  }

  it('names the path and what to do wherever the path is at fault', () => {
    for (const kind of [
      'no-such-file',
      'not-a-socket',
      'no-permission',
      'connection-refused',
      'greeting-timeout',
      'path-too-long',
    ] as const) {
      const { headline, nextStep } = explainClose(closeReasons[kind], file);
      assert.ok(headline.includes(file), headline);
      assert.ok(nextStep, kind);
    }
  });

  it('tells a guest that shut down from a QEMU that was told to quit', () => {
    const quit = closeReasons['qemu-quit'];
    assert.match(closeText({ ...quit, guest: true }), /guest shut down/);
    assert.match(closeText(quit), /QEMU has quit, as it was told/);
    assert.match(closeText({ ...quit, reason: 'host-signal' }), /host-signal/);
  });

  it('shows what came instead of QMP', () => {
    for (const problem of Object.keys(problems) as ProtocolProblem[]) {
      for (const excerpt of ['SSH-2.0', '']) {
        const error = new QmpProtocolError(problem, 'Bad', excerpt);
        const { headline } = explainClose({ kind: 'protocol-error', error }, file);
        checkSentences(headline);
        assert.ok(headline.includes(file) && headline.includes(excerpt), headline);
      }
    }
  });
});
