import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  checkControl,
  controlOffers,
  ControlRefusedError,
  inFlightParameters,
  type ControlId,
  type ControlOffer,
  type ControlRequest,
} from '../../../src/migration/run/controls';
import { isAllowed, states, type RunCommand } from '../../../src/migration/run/states';
import type {
  MethodName,
  RunPhase,
  RunProgress,
  RunRecord,
} from '../../../src/migration/run/types';
import { QmpTimeoutError } from '../../../src/qmp/errors';
import { QmpSchema } from '../../../src/qmp/schema';
import type { MachineSnapshot } from '../../../src/vm/types';
import { changed, factsOf, processOf, requestOf, runOf, snapshotOf } from './support';

const stock = factsOf('11.1-stock');
const everything = { 'postcopy-ram': true, 'auto-converge': true };
const a = snapshotOf('a', changed(stock, {}, everything));
const b = snapshotOf('b', changed(stock, {}, everything), { process: processOf(4711) });
const phases = Object.keys(states) as RunPhase[];

function during(phase: RunPhase, patch: Partial<RunProgress> = {}): RunRecord {
  return runOf({ phase, ...patch });
}

function offer(
  id: ControlId,
  record: RunRecord,
  [source, target]: readonly [MachineSnapshot?, MachineSnapshot?] = [a, b],
): ControlOffer {
  const found = controlOffers(record, source, target).find((one) => one.id === id);
  assert.ok(found !== undefined);
  return found;
}

const offeredIn = (id: ControlId, patch: Partial<RunProgress> = {}): RunPhase[] =>
  phases.filter((phase) => offer(id, during(phase, patch)).offered);

/** The error of a control that is refused. */
function refusal(
  request: ControlRequest,
  record: RunRecord,
  source: MachineSnapshot | undefined = a,
): ControlRefusedError {
  try {
    checkControl(request, record, source, b);
  } catch (error) {
    assert.ok(error instanceof ControlRefusedError, String(error));
    assert.equal(error.control, request.id);
    return error;
  }
  throw new Error(`${request.id} was not refused`);
}

describe('the controls of a run', () => {
  it('are offered in the states where they do what they say', () => {
    assert.deepEqual(offeredIn('cancel'), [
      ...(['plan', 'preflight', 'prepare', 'transfer', 'held', 'cancel'] as const),
    ]);
    assert.deepEqual(offeredIn('release-switchover'), ['held']);
    assert.deepEqual(offeredIn('start-postcopy'), ['transfer']);
    assert.deepEqual(offeredIn('set-parameters'), ['transfer', 'held', 'postcopy']);
    assert.deepEqual(offeredIn('pause-postcopy'), ['postcopy']);
    assert.deepEqual(offeredIn('recover-postcopy'), ['interrupted']);
    assert.deepEqual(offeredIn('yank'), []);
    assert.deepEqual(offeredIn('yank', { cancelHangs: true }), ['transfer', 'cancel', 'settle']);
  });

  it('are never offered where the gate would send nothing', () => {
    const commands: readonly [ControlId, RunCommand][] = [
      ['release-switchover', 'migrate-continue'],
      ['start-postcopy', 'migrate-start-postcopy'],
      ['set-parameters', 'migrate-set-parameters'],
      ['pause-postcopy', 'migrate-pause'],
      ['recover-postcopy', 'migrate-recover'],
      ['yank', 'yank'],
    ];
    for (const [id, command] of commands) {
      for (const phase of offeredIn(id, { cancelHangs: true })) {
        assert.ok(isAllowed(phase, command), `${id} in ${phase}`);
      }
    }
  });

  it('tell before use what they do, and why they cannot be used', () => {
    for (const phase of phases) {
      for (const { id, title, explanation, offered, refusal: words } of controlOffers(
        during(phase),
        a,
        b,
      )) {
        assert.match(title, /^[A-Z][^.]+$/, id);
        assert.match(explanation, /\.$/, id);
        if (offered) assert.equal(words, '');
        else assert.match(words, /^[A-Za-z].*\.$/s, `${id} in ${phase}`);
      }
    }
    assert.match(offer('start-postcopy', during('transfer')).explanation, /lost if either side/);
    assert.match(offer('yank', during('transfer')).explanation, /Cuts the channel/);
  });

  it('say that a cancel is too late once the target may have the guest', () => {
    for (const phase of ['switch-over', 'postcopy', 'interrupted'] as const) {
      assert.match(offer('cancel', during(phase)).refusal, /^Too late/, phase);
      assert.match(refusal({ id: 'cancel' }, during(phase)).message, /^Too late/);
    }
  });

  it('cut no channel at the switchover, and name the process to end instead', () => {
    const error = refusal({ id: 'yank' }, during('switch-over', { cancelHangs: true }));
    assert.match(error.message, /both sides would run it/);
    assert.match(error.nextStep, /end its process \(pid 4711\) first: then a goes on/);
    const unknown = offer('yank', during('switch-over'), [a]);
    assert.match(unknown.refusal, /end its process first/);
  });

  it('cut the channel of a source that gives no answer, by word or by failed query', () => {
    assert.match(offer('yank', during('transfer')).refusal, /a answers/);
    assert.equal(offer('yank', during('transfer', { note: 'a does not answer.' })).offered, true);
    assert.equal(offer('yank', during('transfer', { note: 'b does not answer.' })).offered, false);
    const silent = { ...stock, failures: { status: new QmpTimeoutError('query-status', 1000) } };
    assert.equal(offer('yank', during('transfer'), [snapshotOf('a', silent)]).offered, true);
  });

  it('need the command in the schema of the QEMU that would get it', () => {
    const bare = snapshotOf(
      'a',
      changed({ ...stock, schema: QmpSchema.parse([]) }, {}, everything),
    );
    const cases: readonly [ControlId, RunPhase][] = [
      ['release-switchover', 'held'],
      ['start-postcopy', 'transfer'],
      ['set-parameters', 'transfer'],
      ['pause-postcopy', 'postcopy'],
      ['recover-postcopy', 'interrupted'],
      ['yank', 'cancel'],
    ];
    for (const [id, phase] of cases) {
      const record = during(phase, { cancelHangs: true });
      assert.match(offer(id, record, [bare, bare]).refusal, /The QEMU of a has no /, id);
      assert.match(offer(id, record, []).refusal, /not known|is off/, id);
    }
    assert.equal(offer('recover-postcopy', during('interrupted'), [a, bare]).offered, false);
  });

  it('start postcopy only where it is on at both sides, for it cannot be turned on any more', () => {
    const off = snapshotOf('b', stock);
    const { refusal: words } = offer('start-postcopy', during('transfer'), [a, off]);
    assert.match(words, /postcopy-ram is off on b, and QEMU changes no capability/);
    // A target that was never read was set up by the run.
    const record = { ...during('transfer'), request: requestOf({ method: 'postcopy' }) };
    assert.equal(controlOffers(record, a, undefined)[2]?.offered, true);
  });

  it('end with the run', () => {
    const over = runOf({ phase: 'transfer', cancelHangs: true }, {});
    for (const { id, offered, refusal: words } of controlOffers(over, a, b)) {
      assert.equal(offered, false, id);
      assert.match(words, /The run has ended/);
    }
    assert.throws(() => checkControl({ id: 'cancel' }, over, a, b), ControlRefusedError);
  });

  it('do not promise to stop a guest that is being loaded from a file', () => {
    const loading = (method: MethodName): RunRecord => ({
      ...during('transfer'),
      request: requestOf({ method, target: '/run/a.qmp' }),
    });
    assert.match(offer('cancel', loading('restore')).refusal, /cannot stop loading/);
    assert.equal(offer('cancel', loading('save')).offered, true);
  });
});

describe('parameters of a run under way', () => {
  const set = (parameters: Record<string, unknown>): ControlRequest =>
    ({ id: 'set-parameters', parameters }) as ControlRequest;

  it('are those that act on it', () => {
    assert.deepEqual([...inFlightParameters].sort(), [
      'avail-switchover-bandwidth',
      'cpu-throttle-increment',
      'cpu-throttle-initial',
      'cpu-throttle-tailslow',
      'downtime-limit',
      'max-bandwidth',
      'max-cpu-throttle',
      'max-postcopy-bandwidth',
      'throttle-trigger-threshold',
      'xbzrle-cache-size',
    ]);
    const good = { 'max-bandwidth': 0, 'downtime-limit': 500n, 'cpu-throttle-tailslow': true };
    checkControl(set(good), during('transfer'), a, b);
    checkControl(set({ 'max-postcopy-bandwidth': 2n ** 63n }), during('postcopy'), a, b);
  });

  it('are refused with what would act', () => {
    const record = during('transfer');
    const wrong = refusal(set({ 'downtime-limit': 1, 'multifd-channels': 4 }), record);
    assert.match(wrong.message, /multifd-channels does not act/);
    assert.match(wrong.nextStep, /max-bandwidth, downtime-limit/);
    const late = refusal(set({ 'downtime-limit': 400 }), during('postcopy'));
    assert.match(late.message, /downtime-limit does not act on a migration in postcopy/);
    assert.match(late.nextStep, /What does: max-postcopy-bandwidth\./);
    assert.match(refusal(set({}), record).message, /No parameter/);
  });

  it('are refused where they would have no effect on this QEMU', () => {
    const plain = snapshotOf('a', stock);
    const request = set({ 'cpu-throttle-initial': 50 });
    assert.match(refusal(request, during('transfer'), plain).message, /auto-converge is off/);
    const old = snapshotOf('a', { ...stock, parameters: { 'max-bandwidth': 1 } });
    const estimate = set({ 'avail-switchover-bandwidth': 1 });
    assert.match(refusal(estimate, during('transfer'), old).message, /has no avail-switchover/);
  });

  it('are refused with values that QEMU would refuse', () => {
    for (const [name, value] of [
      ['downtime-limit', 2_000_001],
      ['downtime-limit', 1.5],
      ['downtime-limit', '300'],
      ['max-bandwidth', -1],
      ['max-cpu-throttle', 100],
      ['cpu-throttle-tailslow', 1],
    ] as const) {
      assert.match(refusal(set({ [name]: value }), during('transfer')).message, /must be/, name);
    }
  });
});
