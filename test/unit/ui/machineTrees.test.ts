import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { Pairs } from '../../../src/migration/pair/pairs';
import { noFilter, type TreeFilter } from '../../../src/migration/view/filter';
import { withAllBelow } from '../../../src/migration/view/nodes';
import { MachineTrees, type Redraw } from '../../../src/ui/tree/machineTrees';
import type { MachineHandle, MachineSnapshot, VmFacts } from '../../../src/vm/types';
import { changed, factsOf, snapshotOf } from '../migration/support';

const facts = factsOf('local');

/** A list of machines whose snapshots a test sets. */
class Machines {
  readonly snapshots = new Map<string, MachineSnapshot>();
  readonly pairs = new Pairs({ load: () => [], save: () => Promise.resolve() });
  readonly trees: MachineTrees;

  constructor(...names: readonly string[]) {
    for (const name of names) this.set(name, facts);
    const { snapshots, pairs } = this;
    const handle = (id: string): MachineHandle | undefined => {
      const snapshot = snapshots.get(id);
      // Of a handle only these two are asked for.
      return snapshot && ({ id, snapshot } as MachineHandle);
    };
    this.trees = new MachineTrees({
      registry: {
        get machines() {
          return [...snapshots.keys()].flatMap((id) => handle(id) ?? []);
        },
        get: handle,
      },
      runs: { last: () => undefined },
      pairs,
    });
  }

  set(name: string, value: VmFacts): void {
    const snapshot = snapshotOf(name, value);
    this.snapshots.set(snapshot.id, snapshot);
  }

  update(names: readonly string[] = [], filter: TreeFilter = noFilter): readonly string[] | string {
    const stale = new Set(names.map((name) => `/run/${name}.qmp`));
    return labels(this.trees, this.trees.update(stale, filter));
  }
}

function labels(trees: MachineTrees, redraw: Redraw): readonly string[] | string {
  return redraw === 'everything'
    ? redraw
    : redraw.map(({ nodeId }) => trees.rows.node(nodeId)?.label ?? nodeId);
}

describe('the trees of all machines', () => {
  it('draw everything when the list changes, and one row when one value does', () => {
    const machines = new Machines('a', 'b');
    assert.equal(machines.update(), 'everything');
    assert.deepEqual(machines.update(), []);
    machines.set('b', changed(facts, { 'downtime-limit': 5 }));
    assert.deepEqual(machines.update(['b']), ['downtime-limit']);
    machines.snapshots.delete('/run/a.qmp');
    assert.equal(machines.update(), 'everything');
    assert.equal(machines.trees.roots.length, 1);
    const rows = machines.trees.roots.flatMap(withAllBelow).length;
    assert.equal(machines.trees.rows.size, rows, 'rows of a machine that went are forgotten');
  });

  it('build a machine’s partner anew with it', async () => {
    const machines = new Machines('a', 'b', 'c');
    machines.update();
    await machines.pairs.set('/run/a.qmp', '/run/b.qmp');
    assert.deepEqual(machines.update(['a', 'b']), ['a', 'b']);
    machines.set('a', changed(facts, { 'max-bandwidth': 0 }));
    assert.deepEqual(machines.update(['a']), ['Pair', 'max-bandwidth', 'Pair']);
    machines.snapshots.delete('/run/b.qmp');
    machines.update();
    const pair = machines.trees.rows.node('vm:/run/a.qmp/pair');
    assert.match(pair?.description ?? '', /^other side not connected/);
  });

  it('keep the object of a row as long as the row is there', () => {
    const machines = new Machines('a');
    machines.update();
    const id = 'vm:/run/a.qmp/parameter/downtime-limit';
    const before = machines.trees.rows.handle(id);
    machines.set('a', changed(facts, { 'downtime-limit': 5 }));
    machines.update(['a']);
    assert.ok(before);
    assert.equal(machines.trees.rows.handle(id), before);
  });

  it('filter what is there, and follow what changes under the filter', () => {
    const machines = new Machines('a', 'b');
    machines.update();
    const changedOnly = { text: '', changedOnly: true };
    assert.equal(machines.update([], changedOnly), 'everything');
    assert.equal(machines.trees.settingCount, 0);
    machines.set('a', changed(facts, { 'downtime-limit': 5 }));
    assert.deepEqual(machines.update(['a'], changedOnly), ['a']);
    assert.equal(machines.trees.settingCount, 1);
    machines.set('a', changed(facts, { 'downtime-limit': 6 }));
    assert.deepEqual(machines.update(['a'], changedOnly), ['downtime-limit']);
    assert.equal(machines.update(), 'everything');
    assert.ok(!machines.trees.filtered);
  });

  it('draw while somebody types only machines whose matches change', () => {
    const machines = new Machines('a', 'b');
    machines.set('b', changed(facts, { 'tls-hostname': 'bandit' }));
    machines.update([], { text: 'ban', changedOnly: false });
    const redrawn = machines.update([], { text: 'band', changedOnly: false });
    assert.deepEqual(redrawn, []);
    assert.deepEqual(machines.update([], { text: 'bandw', changedOnly: false }), ['Parameters']);
  });
});
