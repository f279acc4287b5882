import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { MachineContext } from '../../../src/migration/view/context';
import { buildMachineNode } from '../../../src/migration/view/machineTree';
import { changedNodes, withAllBelow, type ViewNode } from '../../../src/migration/view/nodes';
import type { MachineSnapshot, VmFacts } from '../../../src/vm/types';
import type { Build } from '../../support/recordings';
import { changed, factsOf, processOf, runOf, snapshotOf } from './support';

const waiting = { runState: { status: 'inmigrate', running: false } };
const sourceFacts = factsOf('local');
const targetFacts = factsOf('local', waiting);

interface Sides {
  readonly source: MachineSnapshot;
  readonly target: MachineSnapshot;
}

function pairOf(source: VmFacts, target: VmFacts | undefined, patch = {}): Sides {
  return { source: snapshotOf('a', source), target: snapshotOf('b', target, patch) };
}

function treesOf({ source, target }: Sides, context: MachineContext = {}): readonly ViewNode[] {
  return [
    buildMachineNode(source, {
      ...context,
      pair: { role: 'source', otherId: target.id, other: target },
    }),
    buildMachineNode(target, {
      ...context,
      pair: { role: 'target', otherId: source.id, other: source },
    }),
  ];
}

function rowOf(tree: ViewNode | undefined, kind: ViewNode['kind']): ViewNode {
  const found = tree && withAllBelow(tree).find((node) => node.kind === kind);
  assert.ok(found, kind);
  return found;
}

const multifd = changed(sourceFacts, { 'multifd-channels': 4 }, { multifd: true });
const multifdTarget = changed(targetFacts, {}, { multifd: true });

describe('the row of a pair', () => {
  it('is the same below both machines, with ids of their own', () => {
    const [here, there] = treesOf(pairOf(multifd, multifdTarget)).map((tree) =>
      rowOf(tree, 'pair'),
    );
    assert.ok(here && there);
    assert.equal(here.label, 'Pair');
    assert.equal(here.spoken, 'Pair, a to b, 1 difference to resolve');
    assert.deepEqual([here.label, here.description], [there.label, there.description]);
    assert.notEqual(here.id, there.id);
    assert.deepEqual(
      here.children.map(({ label, description }) => [label, description]),
      there.children.map(({ label, description }) => [label, description]),
    );
  });

  it('puts first what must be resolved, and says why with both values', () => {
    const facts = changed(multifd, { 'max-bandwidth': 0 });
    const pair = rowOf(treesOf(pairOf(facts, multifdTarget))[0], 'pair');
    assert.equal(pair.description, '1 of 2 differences to resolve · a → b');
    assert.ok(pair.tags.includes('different') && pair.tags.includes('paired'));
    const [first, second] = pair.children;
    assert.equal(first?.label, 'multifd-channels');
    assert.equal(first.description, '4 | 2 · must be equal');
    assert.equal(first.spoken, 'multifd-channels, 4 on a, 2 on b, must be equal, to be resolved');
    assert.match(first.tooltip?.note ?? '', /hangs/);
    assert.deepEqual(first.tooltip?.fields, [
      ['a (source)', '4'],
      ['b (target)', '2'],
    ]);
    assert.equal(second?.label, 'max-bandwidth');
    assert.match(second.description ?? '', /only the source’s matters$/);
    assert.deepEqual(
      [first, second].map(({ tags }) => [tags.includes('applicable'), tags.includes('problem')]),
      [
        [true, true],
        [true, false],
      ],
    );
  });

  it('says that differences do not matter, or that there are none', () => {
    const bandwidth = changed(sourceFacts, { 'max-bandwidth': 0, 'downtime-limit': 7 });
    const words = (source: VmFacts): string | undefined =>
      rowOf(treesOf(pairOf(source, targetFacts))[0], 'pair').description;
    assert.equal(words(bandwidth), '2 harmless differences · a → b');
    assert.equal(
      words(changed(sourceFacts, { 'max-bandwidth': 0 })),
      '1 harmless difference · a → b',
    );
    assert.equal(words(sourceFacts), 'no differences · a → b');
    const tags = rowOf(treesOf(pairOf(sourceFacts, targetFacts))[0], 'pair').tags;
    assert.ok(!tags.includes('different'), 'offers to apply what is equal');
  });

  it('offers to apply only what the other side can take', () => {
    const other = factsOf('11.1-stock', waiting);
    const source = changed(sourceFacts, { local: true, 'multifd-channels': 4 });
    const pair = rowOf(treesOf(pairOf(source, other))[0], 'pair');
    const applicable = new Map(
      pair.children.map(({ label, tags }) => [label, tags.includes('applicable')]),
    );
    assert.equal(applicable.get('multifd-channels'), true);
    assert.equal(applicable.get('backend transfer'), false);
    const transfer = pair.children.find(({ label }) => label === 'backend transfer');
    assert.match(JSON.stringify(transfer?.tooltip), /does not have it/);
  });

  it('offers to switch backend transfer only where both sides can', () => {
    const offered = (target: VmFacts): readonly boolean[] =>
      treesOf(pairOf(sourceFacts, target)).flatMap((tree) =>
        [tree, rowOf(tree, 'pair')].map(({ tags }) => tags.includes('switchable')),
      );
    assert.deepEqual(offered(targetFacts), [true, true, true, true]);
    assert.deepEqual(offered(factsOf('11.1-stock', waiting)), [false, false, false, false]);
  });

  it('says so while the other side is not there', () => {
    const lost = { kind: 'lost', reason: { kind: 'peer-closed' } } as const;
    for (const sides of [
      pairOf(sourceFacts, undefined, { state: { kind: 'connecting' } }),
      pairOf(sourceFacts, targetFacts, { state: lost }),
    ]) {
      const [tree] = treesOf(sides);
      assert.equal(rowOf(tree, 'pair').description, 'other side not connected · a → b');
      assert.match(rowOf(tree, 'backend-transfer').description ?? '', /^off here, b not connected/);
    }
    const alone = buildMachineNode(snapshotOf('a', sourceFacts), {
      pair: { role: 'source', otherId: '/run/gone.qmp', other: undefined },
    });
    assert.match(rowOf(alone, 'pair').description ?? '', / · a → gone\.qmp$/);
    assert.match(alone.description ?? '', /→ gone\.qmp$/);
  });

  it('is told by the machine too, but not while a run says who goes where', () => {
    const sides = pairOf(sourceFacts, targetFacts);
    const [source, target] = treesOf(sides);
    assert.match(source?.description ?? '', / · → b$/);
    assert.match(source?.spoken ?? '', /paired with the target b$/);
    assert.match(target?.description ?? '', / · ← a$/);
    assert.ok(source?.tags.includes('paired') && !source.tags.includes('unpaired'));
    assert.ok(buildMachineNode(sides.source).tags.includes('unpaired'));
    const run = runOf({ pass: 1 });
    assert.doesNotMatch(treesOf(sides, { run })[0]?.description ?? '', /→/);
  });

  it('marks settings that can be applied to the other side', () => {
    const [tree] = treesOf(pairOf(sourceFacts, targetFacts));
    for (const kind of ['parameter', 'capability', 'backend-transfer'] as const) {
      assert.ok(rowOf(tree, kind).tags.includes('paired'), kind);
      assert.ok(
        !rowOf(buildMachineNode(snapshotOf('a', sourceFacts)), kind).tags.includes('paired'),
      );
    }
  });

  it('is drawn again with its differences, and nothing else but the value that changed', () => {
    const before = treesOf(pairOf(multifd, multifdTarget));
    const after = treesOf(pairOf(changed(multifd, { 'multifd-channels': 8 }), multifdTarget));
    const redrawn = after.map((tree, index) =>
      changedNodes(before[index] ?? tree, tree).map(({ kind, label }) => `${kind} ${label}`),
    );
    assert.deepEqual(redrawn, [
      ['difference multifd-channels', 'parameter multifd-channels'],
      ['difference multifd-channels'],
    ]);
    const equal = treesOf(pairOf(changed(multifd, { 'multifd-channels': 2 }), multifdTarget));
    assert.deepEqual(
      equal.map((tree, index) =>
        changedNodes(before[index] ?? tree, tree).map(({ kind, label }) => `${kind} ${label}`),
      ),
      [['pair Pair', 'parameter multifd-channels'], ['pair Pair']],
    );
  });
});

describe('backend transfer of a pair', () => {
  const transfer = (source: VmFacts, target: VmFacts): string | undefined =>
    rowOf(treesOf(pairOf(source, target))[0], 'backend-transfer').description;

  it('tells the state of both sides', () => {
    const on = { local: true };
    assert.equal(transfer(sourceFacts, targetFacts), 'off · both sides · parameter "local"');
    assert.equal(
      transfer(changed(sourceFacts, on), targetFacts),
      'on here, off on b · parameter "local"',
    );
    assert.match(
      transfer(changed(sourceFacts, on), changed(targetFacts, on)) ?? '',
      /^on · both sides · /,
    );
  });

  it('tells a side that has none', () => {
    const stock = factsOf('11.1-stock', waiting);
    assert.equal(
      transfer(sourceFacts, stock),
      'off here, not in this QEMU on b · parameter "local"',
    );
  });

  it('has the order and what is in the way in its tooltip, and advice on the devices', () => {
    const builds: readonly Build[] = ['local', 'backend-transfer'];
    for (const build of builds) {
      const name = build === 'local' ? 'local' : 'backend-transfer';
      const args = ['-netdev', 'tap,id=net0', '-device', 'virtio-net-pci,netdev=net0,id=nic0'];
      const source = snapshotOf('a', changed(factsOf(build), { [name]: true }), {
        process: processOf(5, { args }),
      });
      const target = snapshotOf('b', factsOf(build, waiting));
      const [tree] = treesOf({ source, target });
      const node = rowOf(tree, 'backend-transfer');
      assert.ok((node.tooltip?.steps ?? []).length > 3, build);
      assert.match(node.tooltip?.warnings?.join() ?? '', /on at a only/);
      if (build === 'local') {
        assert.match(node.children[0]?.tooltip?.note ?? '', /x-permit-local-migration=on/);
      }
    }
  });
});
