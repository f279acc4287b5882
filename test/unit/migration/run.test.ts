import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { Runs } from '../../../src/migration/run/runs';
import type { MigrationRequest } from '../../../src/migration/run/types';
import type { JsonObject } from '../../../src/qmp/json';
import { MachineRegistry } from '../../../src/vm/registry';
import { FakeQmpServer, noReply } from '../../support/fakeQmpServer';

/** What real QEMUs do too seldom, or only at a moment that cannot be met. */
describe('a run between QEMUs that behave oddly', () => {
  let source: FakeQmpServer;
  let target: FakeQmpServer;
  let registry: MachineRegistry;
  let runs: Runs;
  let request: MigrationRequest;

  beforeEach(async () => {
    [source, target] = await Promise.all([
      FakeQmpServer.start({ build: '11.1-stock' }),
      FakeQmpServer.start({ build: '11.1-stock' }),
    ]);
    source.setMigration({});
    source.qemu.status = { status: 'running', running: true };
    target.setMigration({});
    target.qemu.status = { status: 'inmigrate', running: false };
    // Both fakes are one process, this one: better that nothing is known of it.
    const store = { load: () => [], save: () => Promise.resolve() };
    registry = new MachineRegistry({ store, procRoot: '/nonexistent' });
    const locateHelper = (): never => assert.fail('not needed');
    runs = new Runs({ registry, locateHelper });
    await Promise.all([registry.connect(source.path), registry.connect(target.path)]);
    request = {
      source: source.path,
      target: target.path,
      transport: 'unix',
      backendTransfer: 'as-is',
    };
    source.on('migrate', () => {
      source.setMigration({ status: 'active' });
      return {};
    });
    source.on('migrate_cancel', () => {
      source.setMigration({ status: 'cancelled' });
      return {};
    });
    // As QEMU does it: before the migration `stop` only chooses whether the guest is to start.
    target.on('stop', () => {
      if (target.qemu.status['status'] === 'running') target.qemu.status = paused;
      return {};
    });
  });

  afterEach(async () => {
    runs.dispose();
    registry.dispose();
    await Promise.all([source.stop(), target.stop()]);
  });

  const paused: JsonObject = { status: 'paused', running: false };
  const complete = (targetStatus: JsonObject): void => {
    source.qemu.status = { status: 'postmigrate', running: false };
    source.setMigration({ status: 'completed' });
    target.qemu.status = targetStatus;
    target.setMigration({ status: 'completed' });
  };
  const untilSent = async (server: FakeQmpServer, command: string): Promise<void> => {
    for (let i = 0; i < 400 && !server.commands.includes(command); i += 1) await sleep(5);
    assert.ok(server.commands.includes(command), `${command} was never sent`);
  };

  it('goes on watching when the reply of migrate is lost', async () => {
    source.on('migrate', () => {
      source.setMigration({ status: 'active' });
      source.dropClient();
      setTimeout(() => complete({ status: 'running', running: true }), 600);
      return noReply;
    });
    const outcome = await runs.start(request).outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['completed', 'target', true],
      JSON.stringify(outcome),
    );
  });

  it('says that nothing happened when migrate was lost with its reply, and puts back', async () => {
    source.on('migrate', () => {
      source.dropClient();
      return noReply;
    });
    const outcome = await runs.start(request).outcome;
    assert.deepEqual([outcome.kind, outcome.owner], ['failed', 'source'], JSON.stringify(outcome));
    assert.equal(source.qemu.capabilities.get('return-path'), false);
    assert.match(outcome.details.join(' '), /lost on its way/);
    assert.equal(outcome.details.length, 1);
  });

  it('asks for the cancel again when it was lost on the way', async () => {
    let asked = 0;
    source.on('migrate_cancel', () => {
      asked += 1;
      if (asked === 1) source.dropClient();
      else source.setMigration({ status: 'cancelled' });
      return asked === 1 ? noReply : {};
    });
    const run = runs.start(request);
    await untilSent(source, 'migrate');
    run.cancel();
    const outcome = await run.outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, asked],
      ['cancelled', 'source', 2],
      JSON.stringify(outcome),
    );
  });

  it('pauses the guest for the moment of a cancel when the target cannot be asked', async () => {
    const run = runs.start(request);
    await untilSent(source, 'migrate');
    await registry.disconnect(target.path);
    run.cancel();
    const outcome = await run.outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['cancelled', 'source', true],
      JSON.stringify(outcome),
    );
    const order = source.commands.filter((name) => /^(stop|cont|migrate_cancel)$/.test(name));
    assert.deepEqual(order, ['stop', 'migrate_cancel', 'cont']);
  });

  it('does not cut the channel when the source hands over while it is being held', async function () {
    this.timeout(30_000);
    source.on('migrate_cancel', () => ({}));
    const run = runs.start(request);
    await untilSent(source, 'migrate');
    await registry.disconnect(target.path);
    run.cancel();
    while (!run.record.progress.cancelHangs) await sleep(20);
    source.on('stop', () => {
      source.setMigration({ status: 'device' });
      source.qemu.status = { status: 'finish-migrate', running: false };
      return {};
    });
    await assert.rejects(run.control({ id: 'yank' }));
    assert.ok(!source.commands.includes('yank'));
  });

  it('does not cancel when QEMU 7.2 hands over without saying so', async () => {
    const run = runs.start(request);
    await untilSent(source, 'migrate');
    source.qemu.status = { status: 'finish-migrate', running: false };
    await registry.disconnect(target.path);
    run.cancel();
    await sleep(500);
    assert.equal(run.record.outcome, undefined);
    assert.ok(!source.commands.includes('migrate_cancel'));
  });

  it('does not cancel in the moment of a switchover that it released, unless the target is held', async () => {
    source.on('migrate', () => {
      source.qemu.status = { status: 'finish-migrate', running: false };
      source.setMigration({ status: 'pre-switchover' });
      return {};
    });
    const run = runs.start(request);
    await untilSent(source, 'migrate-continue');
    // It shows what was before, and the target cannot be told to stay.
    await registry.disconnect(target.path);
    run.cancel();
    await sleep(400);
    assert.ok(!source.commands.includes('migrate_cancel'));
    await registry.connect(target.path);
    complete({ status: 'running', running: true });
    const outcome = await run.outcome;
    assert.deepEqual([outcome.kind, outcome.owner], ['too-late-to-cancel', 'target']);
  });

  it('continues a target that it held, but not a guest that was paused before', async () => {
    for (const wasRunning of [true, false]) {
      if (!wasRunning) source.qemu.status = paused;
      target.on('stop', () => {
        complete(paused);
        return {};
      });
      const run = runs.start(request);
      await untilSent(source, 'migrate');
      run.cancel();
      const outcome = await run.outcome;
      assert.deepEqual(
        [outcome.kind, outcome.owner, outcome.guestRunning],
        ['too-late-to-cancel', 'target', wasRunning],
        JSON.stringify(outcome),
      );
      source.qemu.status = { status: 'running', running: true };
      source.setMigration({});
      source.transcript.length = 0;
      target.qemu.status = { status: 'inmigrate', running: false };
      target.setMigration({});
    }
  });

  it('waits for the last run state, which follows the word "completed"', async () => {
    source.qemu.status = paused;
    const run = runs.start(request);
    await untilSent(source, 'migrate');
    complete(paused);
    source.qemu.status = { status: 'finish-migrate', running: false };
    const looks = (): number => source.commands.filter((name) => name === 'query-status').length;
    const before = looks();
    for (let i = 0; i < 400 && looks() < before + 3; i += 1) await sleep(5);
    source.qemu.status = { status: 'postmigrate', running: false };
    const outcome = await run.outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['completed', 'target', false],
      JSON.stringify(outcome),
    );
  });

  it('does not cancel while multifd connects, where QEMU 11.1 may hang with its guest', async () => {
    source.on('migrate', () => {
      source.setMigration({ status: 'setup' });
      return {};
    });
    const run = runs.start({ ...request, options: { multifdChannels: 2 } });
    await untilSent(source, 'migrate');
    run.cancel();
    await sleep(600);
    assert.ok(!source.commands.includes('migrate_cancel'));
    source.setMigration({ status: 'active' });
    const outcome = await run.outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['cancelled', 'source', true],
      JSON.stringify(outcome),
    );
  });

  it('cancels all the same when the connections of multifd are not made', async () => {
    source.on('migrate', () => {
      source.setMigration({ status: 'setup' });
      return {};
    });
    const run = runs.start({ ...request, options: { multifdChannels: 2 } });
    await untilSent(source, 'migrate');
    run.cancel();
    const outcome = await run.outcome;
    assert.deepEqual([outcome.kind, outcome.owner], ['cancelled', 'source']);
  }).timeout(10_000);

  it('does not call a guest paused on a target that ended instead of going on', async () => {
    source.on('migrate', () => {
      source.qemu.status = { status: 'finish-migrate', running: false };
      source.setMigration({ status: 'pre-switchover' });
      return {};
    });
    source.on('migrate-continue', () => {
      complete(paused);
      return {};
    });
    target.on('cont', () => {
      target.emitEvent('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
      void target.stop();
      return noReply;
    });
    const outcome = await runs.start(request).outcome;
    assert.ok(target.commands.includes('cont'));
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['unknown', 'unknown', undefined],
      JSON.stringify(outcome),
    );
    assert.ok(!source.commands.includes('cont'));
  });

  it('knows a torn postcopy as lost', async () => {
    const run = runs.start(request);
    await untilSent(source, 'migrate');
    source.qemu.status = { status: 'finish-migrate', running: false };
    source.setMigration({ status: 'postcopy-paused' });
    target.emitEvent('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
    await target.stop();
    const outcome = await run.outcome;
    assert.deepEqual([outcome.kind, outcome.owner], ['failed', 'nobody'], JSON.stringify(outcome));
  });
});
