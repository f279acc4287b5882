import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ControlOffer } from '../../../src/migration/run/controls';
import type { ConvergenceVerdict } from '../../../src/migration/run/pace/convergence';
import type { GuestOwner, RunRecord } from '../../../src/migration/run/types';
import { buildMachineNode } from '../../../src/migration/view/machineTree';
import { withAllBelow, type ViewNode } from '../../../src/migration/view/nodes';
import type { JsonObject } from '../../../src/qmp/json';
import { factsOf, requestOf, runOf, snapshotOf } from './support';

const facts = factsOf('local');

function machine(name: string, status = 'running', migration: JsonObject = {}) {
  return snapshotOf(name, {
    ...facts,
    migration,
    runState: { status, running: status === 'running' },
  });
}

function row(node: ViewNode, kind: ViewNode['kind'], subject?: string): ViewNode {
  const found = rows(node, kind).find((each) => subject === undefined || each.subject === subject);
  assert.ok(found, `no row ${kind}`);
  return found;
}

function rows(node: ViewNode, kind: ViewNode['kind']): readonly ViewNode[] {
  return withAllBelow(node).filter((each) => each.kind === kind);
}

describe('the lamp of a run', () => {
  const words: readonly (readonly [GuestOwner, source: string, target: string])[] = [
    ['source', 'here', 'on the source'],
    ['target', 'on the target', 'here'],
    ['neither-yet', 'on neither side yet', 'on neither side yet'],
    ['file', 'saved in a file', 'saved in a file'],
    ['nobody', 'lost', 'lost'],
    ['unknown', 'unknown - needs you', 'unknown - needs you'],
  ];
  for (const [owner, onSource, onTarget] of words) {
    it(`says in words on each machine who may run the guest: ${owner}`, () => {
      const run = runOf({ owner });
      for (const [name, expected] of [
        ['a', onSource],
        ['b', onTarget],
      ] as const) {
        const node = buildMachineNode(machine(name), { run });
        assert.ok(node.description?.startsWith(`guest: ${expected} · `), node.description);
        assert.ok(node.spoken.includes(`guest: ${expected}`), node.spoken);
        const lamp = row(node, 'lamp');
        assert.equal(lamp.description, expected);
        assert.match(lamp.spoken, new RegExp(`^Guest: ${expected}\\. .+`));
      }
    });
  }

  it('of a run that is taken up says nothing of the guest before it is found out', () => {
    const run = { ...runOf({ owner: 'unknown' }), takenUp: true };
    const node = buildMachineNode(machine('a'), { run });
    assert.match(node.description ?? '', /^guest: not known yet · /);
    const stuck = { ...runOf({ owner: 'unknown', phase: 'needs-you' }), takenUp: true };
    assert.equal(
      row(buildMachineNode(machine('a'), { run: stuck }), 'lamp').description,
      'unknown - needs you',
    );
  });

  it('of a run with one machine is that machine', () => {
    const run = { ...runOf({ owner: 'target' }), request: inPlace() };
    const node = buildMachineNode(machine('a'), { run });
    assert.match(node.description ?? '', /^guest: here · live update in place · /);
  });

  it('follows the outcome once there is one', () => {
    const run = runOf({ owner: 'source' }, { owner: 'target' });
    assert.equal(row(buildMachineNode(machine('b'), { run }), 'lamp').description, 'here');
  });
});

function inPlace() {
  return requestOf({ target: '/run/a.qmp', method: 'cpr-exec' });
}

describe('a machine after a run', () => {
  const gone = machine('a', 'postmigrate', { status: 'completed' });

  it('that gave its guest away says to whom; it is one to quit, never one to continue', () => {
    const node = buildMachineNode(gone, { run: runOf({}, { owner: 'target' }) });
    assert.match(node.description ?? '', /^gave its guest to b · QEMU /);
    assert.ok(node.tags.includes('left-over'));
    assert.ok(!node.tags.includes('halted') && !node.tags.includes('outgoing'));
    assert.ok(!node.tags.includes('saved'));
    const unknown = buildMachineNode(gone);
    assert.ok(unknown.tags.includes('left-over') && !unknown.tags.includes('halted'));
  });

  it('that has its guest back may be continued', () => {
    const run = runOf({}, { kind: 'failed', owner: 'source', guestRunning: false });
    const node = buildMachineNode(gone, { run });
    assert.ok(node.tags.includes('halted') && !node.tags.includes('left-over'));
  });

  it('whose guest is saved says so, and may have it back', () => {
    const run = {
      ...runOf({}, { owner: 'file' }),
      request: requestOf({
        target: '/run/a.qmp',
        method: 'save',
        options: { file: { path: '/vm/a.save' } },
      }),
    };
    const node = buildMachineNode(gone, { run });
    assert.ok(node.tags.includes('saved') && !node.tags.includes('halted'));
    assert.match(node.description ?? '', /^guest is saved in a file · /);
    assert.match(row(node, 'status').tooltip?.body ?? '', /Do not continue it here/);
    const way = rows(node, 'migration-detail').find(({ label }) => label === 'way');
    assert.equal(way?.description, 'Save to a file · /vm/a.save');
  });

  it('with an unknown end calls for a person, on both sides', () => {
    const run = runOf({}, { kind: 'unknown', owner: 'unknown' });
    for (const name of ['a', 'b']) {
      const node = buildMachineNode(machine(name, 'paused'), { run });
      assert.match(node.description ?? '', /^guest: unknown - needs you · paused · /);
    }
  });

  it('that is lost says who may run the guest where that is not known, or not yet', () => {
    const lost = { state: { kind: 'lost', reason: { kind: 'peer-closed' } } } as const;
    const describe = (run: RunRecord) =>
      buildMachineNode({ ...machine('a'), ...lost }, { run }).description ?? '';
    assert.match(describe(runOf({}, { kind: 'unknown', owner: 'unknown' })), /^guest: unknown/);
    assert.match(describe(runOf({ owner: 'neither-yet' })), /^guest: on neither side yet · lost: /);
    assert.match(describe(runOf({}, { owner: 'target' })), /^lost: /);
  });

  it('that waited and failed is of no use any more; one that waits still is', () => {
    const tags = (status: string) =>
      buildMachineNode(machine('b', 'inmigrate', { status })).tags.includes('left-over');
    assert.deepEqual([tags('failed'), tags('none')], [true, false]);
  });
});

describe('rows of a run under way', () => {
  const active: JsonObject = { status: 'active', ram: { remaining: 5, transferred: 5 } };
  const verdict: ConvergenceVerdict = {
    kind: 'not-converging',
    text: 'guest writes 300 MB/s, channel moves 250: not converging',
    remedies: [
      {
        id: 'longer-pause',
        title: 'Allow a pause of 600 ms',
        explanation: 'The guest stands still for longer.',
        parameters: { 'downtime-limit': 600 },
      },
      {
        id: 'start-postcopy',
        title: 'Start postcopy',
        explanation: 'Needs both QEMUs to the end.',
        parameters: {},
      },
    ],
  };

  function underWay(progress: Partial<RunRecord['progress']>, offers?: readonly ControlOffer[]) {
    return buildMachineNode(machine('a', 'running', active), { run: runOf(progress), offers });
  }

  it('tell whether it ends, with each remedy as a row that is applied', () => {
    const node = underWay({ verdict });
    const found = row(node, 'verdict');
    assert.equal(found.label, 'Not converging');
    assert.equal(found.description, verdict.text);
    assert.deepEqual(
      found.children.map(({ label, subject, click }) => [label, subject, click]),
      [
        ['Allow a pause of 600 ms', 'longer-pause', 'apply-remedy'],
        ['Start postcopy', 'start-postcopy', 'apply-remedy'],
      ],
    );
    assert.match(found.children[0]?.spoken ?? '', /stands still for longer/);
    assert.match(found.children[0]?.tooltip?.fields?.[0]?.[1] ?? '', /downtime-limit/);
  });

  it('offer no remedy where it ends, and tell nothing on the target', () => {
    const ends = underWay({ verdict: { ...verdict, kind: 'converging' } });
    assert.deepEqual(row(ends, 'verdict').children, []);
    const target = buildMachineNode(machine('b', 'inmigrate', active), {
      run: runOf({ verdict }),
    });
    assert.deepEqual(rows(target, 'verdict'), []);
  });

  it('tell what is known of our own run beside what QEMU shows', () => {
    const node = underWay({
      dirtyBytesPerSecond: 1024,
      expectedDowntimeMs: 40,
      downtimeLimitMs: 300,
      throttlePercent: 20,
    });
    const values = Object.fromEntries(
      rows(node, 'migration-detail').map(({ label, description }) => [label, description]),
    );
    assert.equal(values['pause expected'], '40 ms of 300 ms');
    assert.equal(values['guest slowed by'], '20 %');
    assert.match(values['guest writes'] ?? '', /1 KiB\/s/);
  });

  it('stand still where it is held, and are tagged with what can be done', () => {
    const offer = (id: ControlOffer['id'], offered: boolean): ControlOffer => {
      return { id, title: id, explanation: '', offered, refusal: offered ? '' : 'No.' };
    };
    const offers = [offer('release-switchover', true), offer('start-postcopy', false)];
    const node = underWay({ phase: 'held' }, offers);
    for (const each of [node, row(node, 'migration')]) {
      assert.ok(each.tags.includes('can-release-switchover'), each.tags.join());
      assert.ok(!each.tags.includes('can-start-postcopy'));
      assert.doesNotMatch(each.icon?.codicon ?? '', /spin/);
    }
    assert.ok(row(node, 'migration').tags.includes('held'));
  });

  it('say when a cancel has no effect, and offer to yank only where that is possible', () => {
    const yank = { id: 'yank', title: 'Yank', explanation: 'Cuts it.', refusal: '' } as const;
    const with_ = (offered: boolean) =>
      row(underWay({ cancelHangs: true }, [{ ...yank, offered }]), 'hanging').tags;
    assert.ok(with_(true).includes('can-yank'));
    assert.ok(!with_(false).includes('can-yank'));
    assert.deepEqual(rows(underWay({}), 'hanging'), []);
  });

  it('of another program name it; without a migration it is not told', () => {
    const driver = { program: 'qemu-migration on the command line', pid: 77, run: 'r1' };
    const stranger = buildMachineNode(machine('a', 'running', active));
    assert.match(stranger.description ?? '', /^migrating by other hands · running/);
    assert.ok(!stranger.tags.includes('calm'), 'offers to migrate what is migrating');
    const node = buildMachineNode(machine('a', 'running', active), { driver });
    assert.match(
      row(node, 'migration').description ?? '',
      /driven by qemu-migration on the command line, pid 77/,
    );
    assert.equal(row(node, 'driver').description, 'qemu-migration on the command line, pid 77');
    assert.match(node.description ?? '', /pid 77/);
    assert.deepEqual(rows(buildMachineNode(machine('a'), { driver }), 'driver'), []);
    const ours = buildMachineNode(machine('a', 'running', active), { driver, run: runOf({}) });
    assert.deepEqual(rows(ours, 'driver'), []);
  });
});
