import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import {
  Pairs,
  PairsNotSavedError,
  suggestPartner,
  type Pair,
} from '../../../src/migration/pair/pairs';
import { explain, explanationText } from '../../../src/migration/view/words';
import type { MachineSnapshot, VmFacts } from '../../../src/vm/types';
import { factsOf, snapshotOf } from './support';

class Memory {
  readonly saved: (readonly Pair[])[] = [];
  fails = false;
  private readonly first: readonly Pair[];

  constructor(first: readonly Pair[] = []) {
    this.first = first;
  }

  load(): readonly Pair[] {
    return this.first;
  }

  save(pairs: readonly Pair[]): Promise<void> {
    if (this.fails) return Promise.reject(new Error('ENOSPC'));
    this.saved.push(pairs);
    return Promise.resolve();
  }
}

const pair = (source: string, target: string): Pair => ({ source, target });

describe('pairs', () => {
  it('are remembered, each machine with its role', async () => {
    const memory = new Memory();
    const pairs = new Pairs(memory);
    await pairs.set('/a', '/b');
    assert.deepEqual(pairs.of('/a'), { pair: pair('/a', '/b'), role: 'source' });
    assert.deepEqual(pairs.of('/b'), { pair: pair('/a', '/b'), role: 'target' });
    assert.equal(pairs.of('/c'), undefined);
    assert.deepEqual(new Pairs(new Memory(memory.saved.at(-1))).all, [pair('/a', '/b')]);
  });

  it('end when one of theirs gets another partner, and say so for everybody concerned', async () => {
    const memory = new Memory([pair('/a', '/b'), pair('/c', '/d'), pair('/e', '/f')]);
    const pairs = new Pairs(memory);
    const told: string[][] = [];
    pairs.onDidChange((ids) => told.push([...ids].sort()));
    await pairs.set('/a', '/d');
    assert.deepEqual(pairs.all, [pair('/e', '/f'), pair('/a', '/d')]);
    assert.deepEqual(told, [['/a', '/b', '/c', '/d']]);
    assert.deepEqual(memory.saved, [pairs.all]);
  });

  it('can be turned round; the same pair again is no change', async () => {
    const pairs = new Pairs(new Memory([pair('/a', '/b')]));
    let changes = 0;
    pairs.onDidChange(() => (changes += 1));
    await pairs.set('/a', '/b');
    assert.equal(changes, 0);
    await pairs.set('/b', '/a');
    assert.deepEqual([pairs.all, pairs.of('/a')?.role, changes], [[pair('/b', '/a')], 'target', 1]);
  });

  it('are ended from either side; a machine without one is left alone', async () => {
    const memory = new Memory([pair('/a', '/b')]);
    const pairs = new Pairs(memory);
    await pairs.remove('/c');
    assert.deepEqual(memory.saved, []);
    await pairs.remove('/b');
    assert.deepEqual([pairs.all, memory.saved], [[], [[]]]);
  });

  it('refuse a machine with itself', async () => {
    const pairs = new Pairs(new Memory());
    await assert.rejects(pairs.set('/a', '/a'), RangeError);
    assert.deepEqual(pairs.all, []);
  });

  it('that a store holds against the rules are not taken', () => {
    const stored = [pair('/a', '/a'), pair('/a', '/b'), pair('/b', '/c'), pair('/c', '/d')];
    assert.deepEqual(new Pairs(new Memory(stored)).all, [pair('/a', '/b'), pair('/c', '/d')]);
  });

  it('that cannot be saved are kept, and the problem is told in words', async () => {
    const memory = new Memory();
    memory.fails = true;
    const pairs = new Pairs(memory);
    const problems: Error[] = [];
    pairs.onProblem((problem) => problems.push(problem));
    await pairs.set('/a', '/b');
    assert.deepEqual(pairs.all, [pair('/a', '/b')]);
    assert.ok(problems[0] instanceof PairsNotSavedError);
    assert.match(explanationText(explain(problems[0])), /pairs could not be saved.*ENOSPC/);
    memory.fails = false;
    await pairs.remove('/a');
    assert.deepEqual(memory.saved, [[]], 'the next change saves again');
  });
});

describe('a partner is suggested', () => {
  const uuid = '6f5a8cb2-52c9-4c7e-8a52-8f8a3e6a4a50';
  const machine = (
    id: string,
    status: string,
    facts: Partial<VmFacts>,
    patch: Partial<MachineSnapshot> = {},
  ): MachineSnapshot => {
    const runState = { status, running: status === 'running' };
    return snapshotOf(id, factsOf('local', { runState, ...facts }), patch);
  };
  const source = machine('source', 'running', { name: 'web', uuid });

  it('when it has the same UUID or name and waits for the guest', () => {
    const other = machine('other', 'inmigrate', { name: 'db' });
    for (const facts of [{ uuid }, { name: 'web' }, { name: 'renamed', uuid }]) {
      const target = machine('target', 'inmigrate', facts);
      assert.equal(suggestPartner(source, [other, source, target]), target.id);
      assert.equal(suggestPartner(target, [source, other]), source.id, 'in both directions');
    }
    const noNames = machine('x', 'inmigrate', {});
    assert.equal(suggestPartner(machine('y', 'running', {}), [noNames]), undefined);
  });

  it('not when both have a guest, or it gave it away, or is not connected', () => {
    const same = { name: 'web', uuid };
    for (const other of [
      machine('b', 'running', same),
      machine('b', 'paused', same),
      machine('b', 'inmigrate', same, { state: { kind: 'connecting' } }),
      snapshotOf('b', undefined),
    ]) {
      assert.equal(suggestPartner(source, [other]), undefined);
    }
    const gone = machine('a', 'postmigrate', same);
    assert.equal(suggestPartner(gone, [machine('b', 'inmigrate', same)]), undefined);
  });

  it('not by a name alone when the UUIDs differ', () => {
    const other = machine('b', 'inmigrate', { name: 'web', uuid: uuid.replace('6', '7') });
    assert.equal(suggestPartner(source, [other]), undefined);
  });

  it('only when no other could be meant, on either side', () => {
    const one = machine('one', 'inmigrate', { name: 'web' });
    const two = machine('two', 'inmigrate', { name: 'web' });
    assert.equal(suggestPartner(source, [one, two]), undefined);
    const twin = machine('twin', 'running', { name: 'web' });
    assert.equal(suggestPartner(source, [one, twin]), undefined);
    const exact = machine('exact', 'inmigrate', { name: 'web', uuid });
    assert.equal(suggestPartner(source, [one, exact]), exact.id, 'a UUID says more than a name');
  });
});
