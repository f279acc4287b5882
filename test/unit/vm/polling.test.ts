import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'mocha';
import type { FakeQmpServer } from '../../support/fakeQmpServer';
import { commandsDuring, eventually, factsOf, pause, Stage } from './support';

describe('a machine while a migration runs', function () {
  // Longer than any of them takes, on a host that is busy with others.
  this.timeout(20_000);

  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  const active = { status: 'active', ram: { total: 100, remaining: 50, transferred: 50 } };

  it('is not polled unless somebody watches', async () => {
    const { server } = await stage.machine();
    server.setMigration(active);
    server.emitEvent('MIGRATION', { status: 'active' });
    await pause(120);
    assert.deepEqual(await commandsDuring(server, () => undefined, 700), []);
  });

  it('is polled while watched, for migration and status only, and no longer after', async () => {
    const { server, machine } = await stage.machine();
    server.setMigration(active);
    await machine.refresh(['migration']);
    const held = machine.watch();
    const before = server.commands.length;
    await eventually(() => server.commands.length >= before + 4);
    assert.deepEqual([...new Set(server.commands.slice(before))].sort(), [
      'query-migrate',
      'query-status',
    ]);
    held.dispose();
    held.dispose();
    await pause(50);
    assert.deepEqual(await commandsDuring(server, () => undefined, 700), []);
  });

  it('is no longer polled when the migration has ended, and again in the next one', async () => {
    const { server, machine } = await stage.machine();
    const held = machine.watch();
    for (const status of ['completed', 'failed', 'cancelled']) {
      server.setMigration(active);
      await machine.refresh(['migration']);
      server.setMigration({ status });
      // The poll finds the end by itself.
      await eventually(() => assert.equal(factsOf(machine).migration['status'], status));
    }
    assert.deepEqual(await commandsDuring(server, () => undefined, 700), []);
    held.dispose();
  });

  /** The most polls that were on their way at one time; one loop waits for its answers. */
  function countOverlap(server: FakeQmpServer): () => number {
    let now = 0;
    let most = 0;
    server.on('query-migrate', async () => {
      most = Math.max(most, ++now);
      await pause(100);
      now--;
      return active;
    });
    return () => most;
  }

  it('is polled once for two that watch, and until the second lets go', async () => {
    const { server, machine } = await stage.machine();
    const overlap = countOverlap(server);
    await machine.refresh(['migration']);
    const [a, b] = [machine.watch(), machine.watch()];
    const polls = (): number => server.commands.filter((name) => name === 'query-migrate').length;
    const before = polls();
    await eventually(() => polls() > before);
    a.dispose();
    const then = polls();
    await eventually(() => polls() >= then + 2);
    assert.equal(overlap(), 1);
    b.dispose();
  });

  it('is not polled twice over when a watch is let go and taken while a poll is out', async () => {
    const { server, machine } = await stage.machine();
    const overlap = countOverlap(server);
    await machine.refresh(['migration']);
    const held = machine.watch();
    const polls = (): number => server.commands.filter((name) => name === 'query-migrate').length;
    const before = polls();
    await eventually(() => polls() > before);
    held.dispose();
    const again = machine.watch();
    await eventually(() => polls() >= before + 4);
    assert.equal(overlap(), 1);
    again.dispose();
  });
});
