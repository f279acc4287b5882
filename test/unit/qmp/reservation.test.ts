import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import net from 'node:net';
import { QmpConnection } from '../../../src/qmp/connection';
import { QmpAbortedError, QmpClosedError, QmpError } from '../../../src/qmp/errors';
import { isObject, parseJson, type JsonObject } from '../../../src/qmp/json';
import { FakeQmpServer } from '../../support/fakeQmpServer';
import { FakeTransport } from '../../support/fakeTransport';

async function open(): Promise<{ transport: FakeTransport; connection: QmpConnection }> {
  const transport = new FakeTransport({ socket: new net.Socket() });
  return { transport, connection: await QmpConnection.open(transport, '/fake') };
}

function messageIn(bytes: Buffer): JsonObject {
  const message = parseJson(bytes.toString());
  assert.ok(isObject(message));
  return message;
}

describe('QMP reservation', () => {
  it('holds other commands until release, while replies and events are read on', async () => {
    const { transport, connection } = await open();
    const before = connection.execute('before');
    const reservation = await connection.reserve('getfd', { fdname: 'm' });
    const during = connection.execute('during');
    let events = 0;
    connection.onEvent(() => events++);

    transport.reply(transport.command('before'), 1);
    transport.receive({ event: 'STOP' });
    assert.equal(await before, 1);
    assert.equal(events, 1);
    assert.equal(transport.sent.at(-1)?.['execute'], 'before');

    reservation.release('all');
    const command = messageIn(reservation.message);
    assert.deepEqual(command['arguments'], { fdname: 'm' });
    assert.equal(reservation.message.at(-1), 0x0a);
    transport.reply(command, 'got it');
    transport.reply(transport.command('during'), 2);
    assert.equal(await reservation.reply, 'got it');
    assert.equal(await during, 2);
  });

  it('waits until everything sent before has left', async () => {
    const { transport, connection } = await open();
    const unblock = transport.blockDrain();
    let reserved = false;
    const reserving = connection.reserve('getfd', {}).then((reservation) => {
      reserved = true;
      return reservation;
    });
    await new Promise(setImmediate);
    assert.equal(reserved, false);
    unblock();
    (await reserving).release('none');
  });

  it('lets one go at a time, in order', async () => {
    const { connection } = await open();
    const first = await connection.reserve('getfd', {});
    const order: string[] = [];
    const second = connection.reserve('getfd', {}).then((r) => (order.push('second'), r));
    const third = connection.reserve('getfd', {}).then((r) => (order.push('third'), r));
    await new Promise(setImmediate);
    assert.deepEqual(order, []);
    first.release('none');
    first.release('none');
    (await second).release('none');
    (await third).release('none');
    assert.deepEqual(order, ['second', 'third']);
  });

  it("'none' rejects the reply with the given error, and the connection goes on", async () => {
    const { transport, connection } = await open();
    const reservation = await connection.reserve('getfd', {});
    const after = connection.execute('after');
    const error = new Error('helper did not start');
    reservation.release('none', error);
    await assert.rejects(reservation.reply, error);
    transport.reply(transport.command('after'), 1);
    assert.equal(await after, 1);
  });

  it("'unknown' closes the connection, and all that waits fails", async () => {
    const { transport, connection } = await open();
    const reservation = await connection.reserve('getfd', {});
    const after = connection.execute('after');
    const next = connection.reserve('getfd', {});
    const error = new Error('helper died');
    reservation.release('unknown', error);
    await assert.rejects(
      reservation.reply,
      (reason) => reason instanceof QmpClosedError && reason.cause === error,
    );
    await assert.rejects(after, QmpClosedError);
    await assert.rejects(next, QmpClosedError);
    assert.ok(transport.isClosed);
    assert.deepEqual(connection.closeReason, { kind: 'closed-by-us' });
  });

  it('does not send what was aborted while it was held', async () => {
    const { transport, connection } = await open();
    const reservation = await connection.reserve('getfd', {});
    const controller = new AbortController();
    const held = connection.execute('held', undefined, { signal: controller.signal });
    controller.abort();
    await assert.rejects(held, QmpAbortedError);
    reservation.release('none');
    assert.ok(!transport.sent.some((message) => message['execute'] === 'held'));
  });

  it('can be aborted while it waits its turn, and the next one gets it', async () => {
    const { connection } = await open();
    const first = await connection.reserve('getfd', {});
    const controller = new AbortController();
    const second = connection.reserve('getfd', {}, { signal: controller.signal });
    const third = connection.reserve('getfd', {});
    controller.abort();
    await assert.rejects(second, QmpAbortedError);
    first.release('none');
    (await third).release('none');
  });

  it('ends with the connection, without an unhandled rejection', async () => {
    const { transport, connection } = await open();
    const reservation = await connection.reserve('getfd', {});
    transport.end();
    await new Promise(setImmediate);
    reservation.release('all');
    await assert.rejects(reservation.reply, QmpClosedError);
    await assert.rejects(connection.reserve('getfd', {}), QmpClosedError);
  });

  it('needs a real socket', async () => {
    const connection = await QmpConnection.open(new FakeTransport(), '/fake');
    await assert.rejects(connection.reserve('getfd', {}), QmpError);
    const reply = connection.execute('still-alive');
    connection.close();
    await assert.rejects(reply, QmpClosedError);
  });

  it('lets a child write the command, and reads the reply here', async () => {
    const server = await FakeQmpServer.start({ build: 'local' });
    try {
      const connection = await QmpConnection.connect(server.path);
      const reservation = await connection.reserve('getfd', { fdname: 'migration' });
      const held = connection.execute('query-status');
      const script = `require('fs').writeSync(3, process.argv[1])`;
      const child = spawn(process.execPath, ['-e', script, reservation.message.toString()], {
        stdio: ['ignore', 'ignore', 'inherit', reservation.socket],
      });
      reservation.socket.resume();
      await new Promise((resolve) => child.once('exit', resolve));
      reservation.release('all');
      assert.deepEqual(await reservation.reply, {});
      assert.deepEqual(await held, { status: 'running', running: true });
      assert.deepEqual(server.commands, ['qmp_capabilities', 'getfd', 'query-status']);
      assert.ok(server.qemu.descriptors.has('migration'));
      connection.close();
    } finally {
      await server.stop();
    }
  });
});
