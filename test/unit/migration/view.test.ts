import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { OutcomeKind } from '../../../src/migration/run/types';
import { buildMachineNode } from '../../../src/migration/view/machineTree';
import {
  changedNodes,
  withAllBelow as rowsIn,
  type ViewNode,
} from '../../../src/migration/view/nodes';
import { QmpCommandError } from '../../../src/qmp/errors';
import type { JsonObject } from '../../../src/qmp/json';
import type { MachineSnapshot } from '../../../src/vm/types';
import { builds } from '../../support/recordings';
import { changed, factsOf, nic, processOf, runOf, snapshotOf } from './support';

function rowOf(node: ViewNode, kind: ViewNode['kind'], label?: string): ViewNode {
  const row = rowsIn(node).find(
    (candidate) => candidate.kind === kind && (label === undefined || candidate.label === label),
  );
  assert.ok(row, `${kind} ${label ?? ''}`);
  return row;
}

/** What must hold for every row of every tree. */
function checkRows(node: ViewNode): void {
  const rows = rowsIn(node);
  const ids = rows.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'ids are unique');
  for (const row of rows) {
    assert.ok(row.label.trim() !== '', row.id);
    assert.ok(row.spoken.trim() !== '', row.id);
    assert.equal(row.machineId, node.machineId);
    assert.equal(row.expansion === 'leaf', row.children.length === 0, row.id);
    const { children, ...bare } = row;
    assert.ok(Array.isArray(children));
    assert.doesNotMatch(JSON.stringify(bare), /undefined|\[object|NaN/, row.id);
  }
}

const running = factsOf('local');

function machineWith(patch: Partial<MachineSnapshot> = {}): MachineSnapshot {
  return snapshotOf('a', running, patch);
}

function migrating(migration: JsonObject, status = 'running'): MachineSnapshot {
  const runState = { status, running: status === 'running' };
  return snapshotOf('a', { ...running, migration, runState });
}

describe('the rows of a machine', () => {
  for (const build of builds) {
    it(`have unique ids that stay the same when values change (${build})`, () => {
      const facts = factsOf(build);
      const node = buildMachineNode(snapshotOf('a', facts));
      checkRows(node);
      assert.ok(rowsIn(node).length > 60);
      const other = changed(facts, { 'downtime-limit': 1 }, { xbzrle: true });
      const after = buildMachineNode(
        snapshotOf('a', { ...other, runState: { status: 'paused', running: false } }),
        undefined,
      );
      checkRows(after);
      assert.deepEqual(
        rowsIn(after).map(({ id }) => id),
        rowsIn(node).map(({ id }) => id),
      );
    });

    it(`hold each capability with QEMU's own state (${build})`, () => {
      const facts = changed(factsOf(build), {}, { xbzrle: true });
      const node = buildMachineNode(snapshotOf('a', facts));
      const { children, description } = rowOf(node, 'capabilities');
      assert.deepEqual(
        children.map(({ label, checked }) => ({ name: label, enabled: checked })),
        [...facts.capabilities].sort((x, y) => x.name.localeCompare(y.name)),
      );
      assert.equal(description, String(children.length));
    });
  }

  it('say first what a setting is, then what to know of it', () => {
    const rows = rowsIn(buildMachineNode(machineWith()));
    for (const [label, summary] of [
      ['max-bandwidth', /^The most that the source sends per second/],
      ['multifd', /^Send memory over several connections at once\.\n\n/],
    ] as const) {
      assert.match(rows.find((row) => row.label === label)?.tooltip?.body ?? '', summary);
    }
  });

  it('of two machines never share an id', () => {
    const trees = ['a', 'b'].map((name) => buildMachineNode(snapshotOf(name, running)));
    const ids = trees.flatMap((tree) => rowsIn(tree).map(({ id }) => id));
    assert.equal(new Set(ids).size, ids.length);
  });

  describe('that changed', () => {
    const before = buildMachineNode(machineWith());
    const changes = (snapshot: MachineSnapshot): string[] =>
      changedNodes(before, buildMachineNode(snapshot)).map(({ label }) => label);

    it('are none when nothing did', () => {
      assert.deepEqual(changes(machineWith({ facts: { ...running } })), []);
    });

    it('are the one row of a parameter', () => {
      const facts = changed(running, { 'downtime-limit': 5 });
      assert.deepEqual(changes(machineWith({ facts })), ['downtime-limit']);
    });

    it('are two rows for two parameters of different groups', () => {
      const facts = changed(running, { 'downtime-limit': 5, 'tls-hostname': 'x' });
      assert.deepEqual(changes(machineWith({ facts })).sort(), ['downtime-limit', 'tls-hostname']);
    });

    it('are the one row of a capability, also where other settings need it', () => {
      const facts = changed(running, {}, { multifd: true });
      assert.deepEqual(changes(machineWith({ facts })), ['multifd']);
    });

    it('are the parent where a row came or went', () => {
      assert.deepEqual(changes(machineWith({ facts: { ...running, devices: [] } })), [
        'Backend transfer',
      ]);
      const facts = changed(running, { 'x-new': 1 });
      assert.deepEqual(changes(machineWith({ facts })), ['Parameters']);
    });

    it('are the whole machine where its own row says something else', () => {
      const runState = { status: 'paused', running: false };
      assert.deepEqual(changes(machineWith({ facts: { ...running, runState } })), ['a']);
    });
  });

  describe('by state', () => {
    const lost = { kind: 'lost', reason: { kind: 'peer-closed' } } as const;
    for (const [what, patch, description] of [
      [
        'found',
        { state: { kind: 'idle' }, origin: 'discovered' },
        /^found, not connected · pid 9$/,
      ],
      ['disconnected', { state: { kind: 'idle' } }, /^not connected$/],
      ['connecting', { state: { kind: 'connecting' } }, /connecting/],
      ['closing', { state: { kind: 'closing' } }, /disconnecting/],
      ['lost', { state: lost }, /^lost: QEMU closed the connection/],
      ['ready', {}, /^running · QEMU 11\.1\.0$/],
      ['ready, not read', { facts: undefined }, /^connected$/],
    ] as const) {
      it(`${what}: ${String(description)}`, () => {
        const snapshot = machineWith({ process: processOf(9), ...patch });
        const node = buildMachineNode(snapshot);
        checkRows(node);
        assert.match(node.description ?? '', description);
        assert.equal(node.tags[1], snapshot.state.kind);
        assert.ok(node.spoken.includes(node.description ?? 'nothing'));
      });
    }

    it('a click connects what is not connected, and retries what is lost', () => {
      const idle = buildMachineNode(machineWith({ state: { kind: 'idle' } }));
      assert.equal(idle.click, 'connect');
      const node = buildMachineNode(machineWith({ state: lost }));
      assert.deepEqual([node.click, node.children[0]?.click], [undefined, 'retry']);
      assert.equal(buildMachineNode(machineWith()).click, undefined);
    });

    it('does not call one that has quit lost, nor say that it is tried again', () => {
      const reason = { kind: 'qemu-quit', guest: false, reason: 'host-qmp-quit' } as const;
      const node = buildMachineNode(machineWith({ state: { kind: 'lost', reason } }));
      assert.equal(node.description, 'QEMU has quit');
      assert.deepEqual(node.children, []);
      assert.notEqual(node.icon?.color, 'problemsWarningIcon.foreground');
      const shut = { kind: 'lost', reason: { ...reason, guest: true } } as const;
      assert.match(buildMachineNode(machineWith({ state: shut })).description ?? '', /shut down/);
    });

    it('warns of continuing a source that gave its guest away', () => {
      const node = buildMachineNode(migrating({ status: 'completed' }, 'postmigrate'));
      assert.match(node.description ?? '', /^gave its guest away/);
      assert.match(rowOf(node, 'status').tooltip?.body ?? '', /Do not continue it here/);
      assert.ok(!node.tags.includes('outgoing'), 'offers to migrate a guest that is not there');
    });

    it('shows a waiting target as incoming, and run states nobody has heard of', () => {
      const node = buildMachineNode(migrating({}, 'inmigrate'));
      assert.match(node.description ?? '', /waiting for a migration/);
      assert.ok(node.tags.includes('incoming'));
      checkRows(buildMachineNode(migrating({}, 'x-new')));
    });
  });

  it('say which part could not be read, and show the rest', () => {
    const failure = new QmpCommandError('query', 'GenericError', 'not today');
    const failures = {
      parameters: failure,
      capabilities: failure,
      migration: failure,
      status: failure,
    };
    const node = buildMachineNode(machineWith({ facts: { ...running, failures } }));
    checkRows(node);
    for (const kind of ['parameters', 'capabilities', 'migration'] as const) {
      assert.equal(rowOf(node, kind).description, 'could not be read');
    }
    for (const kind of ['parameters', 'capabilities', 'migration', 'status'] as const) {
      assert.match(rowOf(node, kind).tooltip?.warnings?.join() ?? '', /not today/);
    }
  });

  describe('of backend transfer', () => {
    const look = (snapshot: MachineSnapshot): ViewNode =>
      rowOf(buildMachineNode(snapshot), 'backend-transfer');
    const permitted = processOf(5, {
      args: ['-netdev', 'tap,id=net0,ifname=tap0,x-permit-local-migration=on'],
    });

    it('tell its state, its name in this QEMU, and each device', () => {
      const on = look(
        machineWith({ facts: changed(running, { local: true }), process: permitted }),
      );
      assert.equal(on.description, 'on · parameter "local"');
      assert.deepEqual(on.copyText, 'true');
      assert.deepEqual(
        on.children.map(({ label, description }) => [label, description]),
        [['nic0 ← net0 (tap tap0)', 'permitted']],
      );
      assert.equal(look(machineWith()).description, 'off · parameter "local"');
      const forbidden = { process: processOf(5, { args: ['-netdev', 'tap,id=net0'] }) };
      const row = look(machineWith(forbidden)).children[0];
      assert.equal(row?.description, 'not permitted');
      assert.match(row.tooltip?.body ?? '', /x-permit-local-migration=on/);
      assert.equal(look(machineWith()).children[0]?.description, 'permission not readable');
    });

    it('count the devices where only some may be handed over', () => {
      const device = (id: string, may: boolean): typeof nic => ({
        ...nic,
        id,
        permissions: { 'backend-transfer': may },
      });
      const facts = changed(
        factsOf('backend-transfer', { devices: [device('x', true), device('y', false)] }),
        { 'backend-transfer': true },
      );
      assert.equal(
        look(snapshotOf('a', facts)).description,
        'mixed (1 of 2 permitted) · parameter "backend-transfer"',
      );
    });

    it('say plainly when this QEMU has none, and what it has instead', () => {
      const row = look(snapshotOf('a', factsOf('11.1-stock')));
      assert.equal(row.description, 'not in this QEMU · has cpr-reboot, cpr-transfer, cpr-exec');
      assert.deepEqual([row.children, row.tags.includes('boolean')], [[], false]);
    });
  });
});

describe('the rows of a migration', () => {
  const ram = { total: 1000, remaining: 290, transferred: 710, mbps: 8, 'dirty-sync-count': 3 };
  const active = migrating({ status: 'active', 'total-time': 1500, ram });

  it('before any run', () => {
    const row = rowOf(buildMachineNode(machineWith()), 'migration');
    assert.deepEqual([row.description, row.children], ['no run yet', []]);
  });

  it('of our own run name the other side on both machines', () => {
    const run = runOf({ pass: 3, fraction: 0.71 });
    const source = buildMachineNode(active, { run });
    checkRows(source);
    assert.match(source.description ?? '', /^guest: here · to b · pass 3 · 71 %/);
    assert.ok(source.tags.includes('migrating') && !source.tags.includes('calm'));
    assert.ok(rowOf(source, 'migration').tags.includes('running'));
    const target = buildMachineNode(snapshotOf('b', active.facts), { run });
    assert.match(target.description ?? '', /^guest: on the source · coming from a · /);
    assert.equal(rowOf(source, 'migration-detail', 'memory left').description, '290 B');
    assert.equal(rowOf(source, 'migration-detail', 'total time').description, '1.5 s');
  });

  it("of somebody else's migration are shown as such", () => {
    const row = rowOf(buildMachineNode(active), 'migration');
    assert.ok(row.tags.includes('foreign') && !row.tags.includes('running'));
    assert.match(row.description ?? '', /^active · .*71 %/);
    assert.ok(row.spoken.includes(row.description ?? 'nothing'));
  });

  const outcomes: readonly OutcomeKind[] = [
    'completed',
    'refused',
    'failed',
    'cancelled',
    'too-late-to-cancel',
    'unknown',
  ];
  for (const kind of outcomes) {
    it(`after a run that ended as "${kind}" tell how and what to do`, () => {
      const run = runOf(
        { phase: 'ended' },
        {
          kind,
          headline: `It ended as ${kind}.`,
          details: ['b says: no', 'a was put back'],
          nextStep: 'Look.',
          ...(kind === 'completed' && { downtimeMs: 12, totalTimeMs: 900, transferredBytes: 2048 }),
        },
      );
      const node = buildMachineNode(migrating({ status: 'none' }), { run });
      checkRows(node);
      const row = rowOf(node, 'migration');
      assert.equal(row.description, kind.replaceAll('-', ' '));
      assert.ok(row.icon && row.tags.includes('ended') && node.tags.includes('calm'));
      assert.deepEqual(
        row.children.map(({ label, description }) => [label, description]),
        [
          ['guest', 'on the target'],
          ['result', `It ended as ${kind}.`],
          ['details', 'b says: no'],
          ['details 2', 'a was put back'],
          ['next', 'Look.'],
          ['way', 'a → b · UNIX socket'],
          ...(kind === 'completed'
            ? [
                ['pause', '12 ms'],
                ['total time', '900 ms'],
                ['transferred', '2 KiB'],
              ]
            : []),
        ],
      );
    });
  }
});
