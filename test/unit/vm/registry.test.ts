import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { explain } from '../../../src/migration/view/words';
import { QmpConnectError } from '../../../src/qmp/errors';
import { ListNotSavedError, type MachineRegistry } from '../../../src/vm/registry';
import { addProcess } from './fakeProc';
import { eventually, MemoryStore, pause, Stage } from './support';

function listOf(registry: MachineRegistry): [string, string, string][] {
  return registry.machines.map(({ id, snapshot }) => [id, snapshot.origin, snapshot.state.kind]);
}

describe('the list of machines', function () {
  // Longer than any of them takes, on a host that is busy with others.
  this.timeout(20_000);

  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  it('does not keep a path that a user mistyped, but keeps and retries one that was known', async () => {
    const store = new MemoryStore([{ socketPath: stage.path('known'), connect: false }]);
    const registry = stage.registry({ store });
    registry.start();
    await assert.rejects(registry.connect(stage.path('typo')), QmpConnectError);
    await assert.rejects(registry.connect(stage.path('known')), QmpConnectError);
    assert.deepEqual(listOf(registry), [[stage.path('known'), 'remembered', 'lost']]);
    const server = await stage.server({ path: stage.path('known') });
    await eventually(() => assert.equal(registry.machines[0]?.snapshot.state.kind, 'ready'), 8000);
    assert.ok(server.commands.includes('query-status'));
  });

  it('is saved with what was connected, and loaded by the next window', async () => {
    const [one, two] = [await stage.server(), await stage.server()];
    const store = new MemoryStore();
    const before = stage.registry({ store });
    await before.connect(one.path);
    await before.connect(two.path);
    await before.disconnect(two.path);
    before.dispose();
    assert.deepEqual(store.saved, [
      { socketPath: one.path, connect: true },
      { socketPath: two.path, connect: false },
    ]);
    const after = stage.registry({ store });
    after.start();
    await eventually(() => assert.equal(after.get(one.path)?.snapshot.state.kind, 'ready'));
    assert.equal(after.get(two.path)?.snapshot.state.kind, 'idle');
    await after.remove(one.path);
    assert.deepEqual(store.saved, [{ socketPath: two.path, connect: false }]);
    assert.deepEqual(
      after.machines.map(({ id }) => id),
      [two.path],
    );
    assert.equal(await connects(one.path), true, 'a removed machine frees its monitor');
  });

  async function connects(file: string): Promise<boolean> {
    return stage
      .registry()
      .connect(file)
      .then(
        () => true,
        () => false,
      );
  }

  it('stays in memory when it cannot be saved, says so once each time, and is saved next time', async () => {
    const [one, two] = [await stage.server(), await stage.server()];
    const store = new MemoryStore();
    const registry = stage.registry({ store });
    const problems: Error[] = [];
    registry.onProblem((problem) => problems.push(problem));
    store.problem = new Error('ENOSPC: no space left on device');
    await registry.connect(one.path);
    await eventually(() => assert.equal(problems.length, 1));
    assert.ok(problems[0] instanceof ListNotSavedError);
    assert.match(explain(problems[0]).detail ?? '', /no space left/);
    assert.deepEqual(listOf(registry), [[one.path, 'remembered', 'ready']]);
    store.problem = undefined;
    await registry.connect(two.path);
    await eventually(() => assert.equal(store.saved.length, 2));
    assert.equal(problems.length, 1);
  });

  it('takes a relative path and its absolute form for one machine', async () => {
    const server = await stage.server();
    const registry = stage.registry();
    await registry.connect(server.path);
    await registry.connect(path.relative(process.cwd(), server.path));
    assert.deepEqual(listOf(registry), [[server.path, 'remembered', 'ready']]);
  });

  describe('by the setting', () => {
    it('takes paths and, of globs, sockets only; and drops what is no longer named', async () => {
      await stage.server({ path: stage.path('a.qmp') });
      await stage.server({ path: stage.path('b.qmp') });
      writeFileSync(stage.path('c.qmp'), 'no socket');
      const registry = stage.registry();
      await registry.setConfigured([stage.path('*.qmp'), stage.path('later'), 'relative.qmp']);
      await eventually(() =>
        assert.deepEqual(listOf(registry), [
          [stage.path('a.qmp'), 'setting', 'ready'],
          [stage.path('b.qmp'), 'setting', 'ready'],
          [stage.path('later'), 'setting', 'lost'],
        ]),
      );
      await registry.setConfigured([stage.path('b.qmp')]);
      assert.deepEqual(listOf(registry), [[stage.path('b.qmp'), 'setting', 'ready']]);
    });

    it('takes a path with the characters of a glob for what it is', async () => {
      await stage.server({ path: stage.path('vm[1].qmp') });
      const registry = stage.registry();
      await registry.setConfigured([stage.path('vm[1].qmp')]);
      assert.deepEqual(
        registry.machines.map(({ id }) => id),
        [stage.path('vm[1].qmp')],
      );
    });

    it('leaves alone what a user connected, and does not save what the setting names', async () => {
      const [mine, set] = [await stage.server(), await stage.server()];
      const store = new MemoryStore();
      const registry = stage.registry({ store });
      await registry.connect(mine.path);
      await registry.setConfigured([set.path]);
      await registry.setConfigured([]);
      assert.deepEqual(listOf(registry), [[mine.path, 'remembered', 'ready']]);
      await registry.setConfigured([set.path]);
      await eventually(() => assert.equal(registry.get(set.path)?.snapshot.state.kind, 'ready'));
      await registry.disconnect(mine.path);
      assert.deepEqual(store.saved, [{ socketPath: mine.path, connect: false }]);
      assert.deepEqual(
        registry.machines.map(({ snapshot }) => snapshot.origin),
        ['setting', 'remembered'],
        'those of the setting come first',
      );
    });

    it('connects what the search had found before', async () => {
      const server = await stage.server();
      addProcess(stage.path('proc'), 5, qemuWith(server.path));
      const registry = stage.registry({ procRoot: stage.path('proc') });
      await registry.discover();
      assert.deepEqual(listOf(registry), [[server.path, 'discovered', 'idle']]);
      await registry.setConfigured([server.path]);
      await eventually(() =>
        assert.deepEqual(listOf(registry), [[server.path, 'setting', 'ready']]),
      );
    });
  });

  describe('by a search', () => {
    let proc: string;
    beforeEach(() => {
      proc = stage.path('proc');
    });

    it('lists a QEMU once, by its first socket, with what the command line says', async () => {
      addProcess(proc, 7, qemuWith('/run/a.qmp', '/run/b.qmp'));
      const registry = stage.registry({ procRoot: proc });
      await registry.discover();
      await registry.discover();
      assert.deepEqual(listOf(registry), [['/run/a.qmp', 'discovered', 'idle']]);
      const { label, process } = registry.machines[0]!.snapshot;
      assert.deepEqual([label, process?.pid], ['vm', 7]);
    });

    it('does not list one that is known by its other socket', async () => {
      const server = await stage.server();
      addProcess(proc, 7, qemuWith('/run/a.qmp', server.path));
      const registry = stage.registry({ procRoot: proc });
      await registry.discover();
      assert.equal(registry.machines[0]?.id, '/run/a.qmp');
      await registry.connect(server.path);
      await registry.discover();
      assert.deepEqual(listOf(registry), [[server.path, 'remembered', 'ready']]);
    });

    it('drops those that are gone, and shows the new process on an old path', async () => {
      addProcess(proc, 7, qemuWith('/run/a.qmp'));
      addProcess(proc, 8, qemuWith('/run/b.qmp'));
      const registry = stage.registry({ procRoot: proc });
      await registry.discover();
      rmSync(`${proc}/7`, { recursive: true });
      rmSync(`${proc}/8`, { recursive: true });
      addProcess(proc, 9, qemuWith('/run/b.qmp'));
      await registry.discover();
      assert.deepEqual(
        registry.machines.map(({ id, snapshot }) => [id, snapshot.process?.pid]),
        [['/run/b.qmp', 9]],
      );
    });

    it('keeps one that was connected and is lost: it is tried again, and remembered', async () => {
      const server = await stage.server();
      addProcess(proc, 7, qemuWith(server.path));
      const store = new MemoryStore();
      const registry = stage.registry({ procRoot: proc, store });
      await registry.discover();
      await registry.connect(server.path);
      assert.deepEqual(store.saved, [{ socketPath: server.path, connect: true }]);
      await server.stop();
      rmSync(`${proc}/7`, { recursive: true });
      await eventually(() => assert.equal(registry.machines[0]?.snapshot.state.kind, 'lost'));
      await registry.discover();
      assert.deepEqual(
        registry.machines.map(({ id }) => id),
        [server.path],
      );
    });

    it('forgets the process of a QEMU that is gone when the new one cannot be told', async () => {
      const server = await stage.server();
      addProcess(proc, 7, qemuWith(server.path));
      const registry = stage.registry({ procRoot: proc });
      await registry.discover();
      const machine = await registry.connect(server.path);
      assert.equal(machine.snapshot.process?.pid, 7, 'it lives and is known from the search');
      rmSync(`${proc}/7`, { recursive: true });
      server.dropClient();
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'lost'));
      await eventually(() => assert.equal(machine.snapshot.state.kind, 'ready'));
      await eventually(() => assert.equal(machine.snapshot.process, undefined));
    });
  });

  it('ends everything when disposed of, in the middle of whatever it does', async () => {
    const server = await stage.server();
    const registry = stage.registry();
    const changes: string[] = [];
    const connecting = registry.connect(server.path).catch(() => undefined);
    registry.dispose();
    registry.onDidChange(({ kind }) => changes.push(kind));
    await connecting;
    await pause(50);
    assert.deepEqual([registry.machines, changes], [[], []]);
    assert.equal(await connects(server.path), true, 'the monitor is free');
  });
});

function qemuWith(...sockets: readonly string[]): readonly string[] {
  return [
    'qemu-system-x86_64',
    '-name',
    'vm',
    ...sockets.flatMap((socket) => ['-qmp', `unix:${socket},server=on`]),
  ];
}
