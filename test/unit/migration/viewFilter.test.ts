import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { filterTree, isFiltering, noFilter } from '../../../src/migration/view/filter';
import { buildMachineNode } from '../../../src/migration/view/machineTree';
import { withAllBelow, type ViewNode } from '../../../src/migration/view/nodes';
import { changed, factsOf, snapshotOf } from './support';

const facts = changed(
  factsOf('local'),
  { 'max-bandwidth': 2 ** 30, 'tls-hostname': 'Node-7' },
  { multifd: true },
);
const machine = buildMachineNode(snapshotOf('a', facts));

function found(text: string, changedOnly = false): string[] {
  return settingsIn(filterTree(machine, { text, changedOnly }));
}

function settingsIn(node: ViewNode): string[] {
  return withAllBelow(node)
    .filter(({ kind }) => ['parameter', 'capability', 'backend-transfer'].includes(kind))
    .map(({ label }) => label);
}

describe('the filter of the tree', () => {
  it('finds settings by a part of their name, in any case, with all the words typed', () => {
    assert.deepEqual(found('BAND'), [
      'avail-switchover-bandwidth',
      'max-bandwidth',
      'max-postcopy-bandwidth',
    ]);
    assert.deepEqual(found('  band   max- post'), ['max-postcopy-bandwidth']);
  });

  it('finds them by their value, as it is shown', () => {
    assert.deepEqual(found('1 gib/s'), ['max-bandwidth']);
    assert.deepEqual(found('node-7'), ['tls-hostname']);
  });

  it('finds them by what they are for', () => {
    const names = found('hostname');
    assert.ok(names.includes('tls-hostname'));
    assert.deepEqual(found('the most that the source sends'), ['max-bandwidth']);
  });

  it('finds backend transfer by the idea, whatever this QEMU calls it', () => {
    const names = found('backend transfer');
    assert.equal(names[0], 'Backend transfer');
    assert.ok(names.includes('local'));
  });

  it('shows only what is changed, and of that only what matches', () => {
    assert.deepEqual(found('', true), ['max-bandwidth', 'tls-hostname', 'multifd']);
    assert.deepEqual(found('host', true), ['tls-hostname']);
    assert.deepEqual(found('downtime', true), []);
  });

  it('leaves out containers without a match, opens the others and counts what they hold', () => {
    const tree = filterTree(machine, { text: 'band', changedOnly: false });
    assert.deepEqual(
      withAllBelow(tree).map(({ label }) => label),
      [
        'a',
        'Parameters',
        'Speed and pause',
        'avail-switchover-bandwidth',
        'max-bandwidth',
        'max-postcopy-bandwidth',
      ],
    );
    const containers = withAllBelow(tree).filter(({ children }) => children.length > 0);
    assert.ok(containers.every(({ expansion }) => expansion === 'expanded'));
    assert.deepEqual(
      containers.slice(1).map(({ description }) => description),
      ['3', '3'],
    );
    assert.equal(containers[1]?.spoken, 'Parameters, 3 found');
  });

  it('gives rows ids of their own, so that closed ones open and come back as they were', () => {
    const whole = new Set(withAllBelow(machine).map(({ id }) => id));
    const filtered = withAllBelow(filterTree(machine, { text: 'e', changedOnly: false }));
    assert.ok(filtered.length > 20);
    assert.ok(filtered.every(({ id }) => !whole.has(id)));
    assert.equal(new Set(filtered.map(({ id }) => id)).size, filtered.length);
    assert.equal(filterTree(machine, noFilter), machine);
    assert.equal(filterTree(machine, { text: ' ', changedOnly: false }), machine);
  });

  it('says where nothing matches, and keeps every machine with what is wrong with it', () => {
    const none = filterTree(machine, { text: 'no such thing', changedOnly: false });
    assert.deepEqual(
      withAllBelow(none).map(({ kind }) => kind),
      ['machine', 'no-match'],
    );
    assert.match(none.children[0]?.spoken ?? '', /No setting matches on a/);
    const plain = buildMachineNode(snapshotOf('b', factsOf('local')));
    const unchanged = filterTree(plain, { text: '', changedOnly: true });
    assert.equal(unchanged.children[0]?.label, 'No setting is changed');

    const idle = buildMachineNode(snapshotOf('c', undefined, { state: { kind: 'idle' } }));
    assert.deepEqual(filterTree(idle, { text: 'x', changedOnly: true }).children, []);
    const reason = { kind: 'peer-closed' } as const;
    const lost = buildMachineNode(snapshotOf('d', facts, { state: { kind: 'lost', reason } }));
    const kept = filterTree(lost, { text: 'band', changedOnly: false });
    assert.deepEqual(
      kept.children.map(({ kind }) => kind),
      ['failure'],
    );
  });

  it('takes blanks for no filter at all', () => {
    assert.equal(isFiltering({ text: ' \t', changedOnly: false }), false);
    assert.equal(isFiltering({ text: 'x', changedOnly: false }), true);
    assert.equal(isFiltering({ text: '', changedOnly: true }), true);
  });
});
