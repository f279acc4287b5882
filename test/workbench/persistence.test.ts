import assert from 'node:assert/strict';
import { commands } from 'vscode';
import type { Memento } from 'vscode';
import { CommandId, StateKey } from '../../src/ui/ids';
import { MementoMachineStore } from '../../src/ui/machineStore';
import { Bench, eventually } from './support/extension';

/** A memory in place of `globalState`. */
class FakeMemento implements Memento {
  readonly values = new Map<string, unknown>();

  keys(): readonly string[] {
    return [...this.values.keys()];
  }

  get<T>(key: string, fallback?: T): T | undefined {
    return this.values.has(key) ? (this.values.get(key) as T) : fallback;
  }

  update(key: string, value: unknown): Promise<void> {
    this.values.set(key, value);
    return Promise.resolve();
  }
}

describe('remembered machines', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  it('outlive the window, with whether they were connected', async () => {
    const server = await bench.server({ build: 'local' });
    await commands.executeCommand(CommandId.connect, server.path);
    const store = new MementoMachineStore(bench.access.globalState, {
      warn: (text: string) => {
        throw new Error(text);
      },
    });
    await eventually(() =>
      assert.deepEqual(store.load(), [{ socketPath: server.path, connect: true }]),
    );
    await commands.executeCommand(CommandId.disconnect, server.path);
    await eventually(() =>
      assert.deepEqual(store.load(), [{ socketPath: server.path, connect: false }]),
    );
    await commands.executeCommand(CommandId.remove, server.path);
    await eventually(() => assert.deepEqual(store.load(), []));
  });

  it('sets a damaged list aside instead of losing it', () => {
    const memento = new FakeMemento();
    const damaged = { version: 1, machines: [{ socketPath: 7 }] };
    memento.values.set(StateKey.machines, damaged);
    const warnings: unknown[] = [];
    const store = new MementoMachineStore(memento, { warn: (text) => warnings.push(text) });
    assert.deepEqual(store.load(), []);
    assert.deepEqual(memento.values.get(StateKey.damagedMachines), damaged);
    assert.equal(warnings.length, 1);
  });

  it('does not touch what a newer version wrote', () => {
    const memento = new FakeMemento();
    const newer = { version: 2, machines: 'something else' };
    memento.values.set(StateKey.machines, newer);
    const warnings: string[] = [];
    const store = new MementoMachineStore(memento, { warn: (text) => warnings.push(text) });
    assert.deepEqual(store.load(), []);
    assert.deepEqual(memento.values.get(StateKey.damagedMachines), newer);
    assert.match(warnings.join(), /newer version/);
  });

  it('go on when the list cannot be saved, with one message only', async () => {
    const { globalState } = bench.access;
    const full = () => Promise.reject(new Error('ENOSPC: no space left on device'));
    Reflect.set(globalState, 'update', full);
    try {
      const [a, b] = [
        await bench.server({ build: 'local' }),
        await bench.server({ build: '11.1-stock' }),
      ];
      await commands.executeCommand(CommandId.connect, a.path);
      await commands.executeCommand(CommandId.connect, b.path);
      await eventually(() => assert.equal(bench.prompts.messages.length, 1));
      assert.match(bench.prompts.onlyMessage.text, /sav/i);
      assert.deepEqual(
        bench.api.machines().map(({ id, state }) => [id, state]),
        [
          [a.path, 'ready'],
          [b.path, 'ready'],
        ],
      );
    } finally {
      Reflect.deleteProperty(globalState, 'update');
    }
  });
});
