import assert from 'node:assert/strict';
import fc from 'fast-check';
import { QmpConnection, type ConnectOptions, type QmpEvent } from '../../../src/qmp/connection';
import {
  QmpAbortedError,
  QmpClosedError,
  QmpCommandError,
  QmpConnectError,
  QmpError,
  QmpProtocolError,
  QmpTimeoutError,
} from '../../../src/qmp/errors';
import { FakeTransport, fakeGreeting } from '../../support/fakeTransport';

async function open(
  options?: ConnectOptions,
): Promise<{ transport: FakeTransport; connection: QmpConnection }> {
  const transport = new FakeTransport();
  return { transport, connection: await QmpConnection.open(transport, '/fake', options) };
}

/** What a promise rejects with, of the given class. */
async function rejection<E extends Error>(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => E,
): Promise<E> {
  const error: unknown = await promise.then(
    () => assert.fail('It resolved'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, String(error));
  return error;
}

describe('QMP connection', () => {
  it('greets, negotiates oob where it is offered, and knows the version', async () => {
    const { transport, connection } = await open();
    assert.deepEqual(connection.version, { major: 10, minor: 2, micro: 2, package: 'fake' });
    assert.ok(connection.outOfBand);
    assert.deepEqual(transport.sent[0]?.['arguments'], { enable: ['oob'] });
  });

  it('does not ask for oob where it is not offered', async () => {
    const transport = new FakeTransport({ negotiates: false });
    const opening = QmpConnection.open(transport, '/fake');
    transport.receive({
      QMP: { version: { qemu: { major: 2, minor: 1, micro: 0 }, package: '' }, capabilities: [] },
    });
    await new Promise(setImmediate);
    assert.equal(transport.command('qmp_capabilities')['arguments'], undefined);
    transport.reply(transport.command('qmp_capabilities'), {});
    assert.equal((await opening).outOfBand, false);
  });

  it('matches replies by id, whatever their order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(30), { minLength: 1 }), async (order) => {
        const { transport, connection } = await open();
        const replies = new Map(order.map((n) => [n, connection.execute(`c${n}`)]));
        for (const n of [...order].sort((a, b) => a - b)) {
          transport.reply(transport.command(`c${n}`), n);
        }
        for (const [n, reply] of replies) assert.equal(await reply, n);
      }),
      { numRuns: 30 },
    );
  });

  it('sends arguments as given, big integers exactly, and out of band when asked', async () => {
    const { transport, connection } = await open();
    void connection.execute('migrate-set-parameters', { 'max-bandwidth': 2n ** 64n - 1n });
    void connection.execute('yank', { instances: [] }, { outOfBand: true });
    const [, parameters, yank] = transport.sent;
    assert.deepEqual(parameters?.['arguments'], { 'max-bandwidth': 2n ** 64n - 1n });
    assert.equal(yank?.['exec-oob'], 'yank');
  });

  it('hands events on in order, before the reply that follows them', async () => {
    const { transport, connection } = await open();
    const seen: string[] = [];
    connection.onEvent((event) => seen.push(event.name));
    const cont = connection.execute('cont').then(() => seen.push('reply'));
    transport.receive({ event: 'STOP', timestamp: { seconds: 1, microseconds: 2 } });
    transport.receive({ event: 'RESUME', timestamp: { seconds: 1, microseconds: 3 } });
    transport.reply(transport.command('cont'), {});
    await cont;
    assert.deepEqual(seen, ['STOP', 'RESUME', 'reply']);
  });

  it('reads an event: its data, and its time in microseconds', async () => {
    const { transport, connection } = await open();
    const seen: QmpEvent[] = [];
    connection.onEvent((event) => seen.push(event));
    const data = { status: 'active' };
    const timestamp = { seconds: 1795427734, microseconds: 330600 };
    transport.receive({ event: 'MIGRATION', data, timestamp });
    transport.receive({ event: 'STOP', timestamp: { seconds: -1, microseconds: -1 } });
    assert.deepEqual(seen, [
      { name: 'MIGRATION', data, timestampUs: 1795427734330600 },
      { name: 'STOP', data: {}, timestampUs: NaN },
    ]);
  });

  it('goes on when listeners throw', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const { transport, connection } = await open({
      onTraffic: () => {
        throw new Error('broken log');
      },
    });
    let heard = 0;
    connection.onEvent(() => {
      throw new Error('broken listener');
    });
    connection.onEvent(() => heard++);
    transport.receive({ event: 'STOP' });
    const reply = connection.execute('query-name');
    transport.reply(transport.command('query-name'), {});
    assert.deepEqual(await reply, {});
    assert.equal(heard, 1);
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    assert.ok(warnings.some(({ message }) => message === 'broken listener'));
  });

  it("keeps QEMU's refusal, the command and the caller's stack", async () => {
    const { transport, connection } = await open();
    async function theCaller(): Promise<void> {
      await connection.execute('migrate', { uri: 'nonsense' });
    }
    const failing = rejection(theCaller(), QmpCommandError);
    const error = { class: 'GenericError', desc: 'unknown migration protocol: nonsense' };
    transport.receive({ id: transport.command('migrate')['id'] ?? null, error });
    const refused = await failing;
    assert.equal(refused.command, 'migrate');
    assert.equal(refused.errorClass, 'GenericError');
    assert.equal(refused.desc, 'unknown migration protocol: nonsense');
    assert.match(refused.stack ?? '', /^QmpCommandError: migrate: unknown.*\n[^]*theCaller/);
  });

  it('times a command out, drops its late reply, and goes on', async () => {
    const { transport, connection } = await open();
    const error = await rejection(
      connection.execute('slow', undefined, { timeoutMs: 1 }),
      QmpTimeoutError,
    );
    assert.equal(error.command, 'slow');
    assert.equal(error.timeoutMs, 1);
    transport.reply(transport.command('slow'), 'late');
    transport.receive({ return: {}, id: 'not ours' });
    const reply = connection.execute('next');
    transport.reply(transport.command('next'), 1);
    assert.equal(await reply, 1);
  });

  it('aborts before sending and while waiting, and then no more', async () => {
    const { transport, connection } = await open();
    const early = connection.execute('a', undefined, { signal: AbortSignal.abort('why') });
    assert.equal((await rejection(early, QmpAbortedError)).cause, 'why');
    assert.equal(transport.sent.length, 1);

    const controller = new AbortController();
    const { signal } = controller;
    const waiting = connection.execute('b', undefined, { signal });
    const done = connection.execute('c', undefined, { signal });
    transport.reply(transport.command('c'), 1);
    controller.abort();
    assert.equal((await rejection(waiting, QmpAbortedError)).command, 'b');
    assert.equal(await done, 1);
    transport.reply(transport.command('b'), 'late');
    assert.equal(connection.closeReason, undefined);
  });

  it('refuses arguments that cannot be sent, and sends nothing', async () => {
    const { transport, connection } = await open();
    const error = await rejection(connection.execute('x', { n: NaN }), QmpError);
    assert.ok(error.cause instanceof TypeError);
    assert.equal(transport.sent.length, 1);
    assert.equal(connection.closeReason, undefined);
  });

  it('closes on an error that answers no command: something we sent was broken', async () => {
    const { transport, connection } = await open();
    const waiting = rejection(connection.execute('query-status'), QmpClosedError);
    transport.receive({ error: { class: 'GenericError', desc: 'JSON parse error, x' } });
    const { closeReason, cause } = await waiting;
    assert.ok(closeReason.kind === 'protocol-error');
    assert.equal(closeReason.error.problem, 'unexpected');
    assert.match(closeReason.error.excerpt, /JSON parse error/);
    assert.equal(cause, closeReason.error);
    assert.ok(transport.isClosed);
    assert.equal(await connection.closed, closeReason);
  });

  for (const [name, bytes] of [
    ['garbage', 'hello\r\n'],
    ['half a message and then nonsense', '{"return": {{{{]]]]}'],
    ['an unknown kind of message', '{"warning": "x"}\r\n'],
    ['a malformed event', '{"event": 1}\r\n'],
    ['a second greeting', JSON.stringify(fakeGreeting)],
  ] as const) {
    it(`closes on ${name}, and fails what waits`, async () => {
      const { transport, connection } = await open();
      const waiting = rejection(connection.execute('query-status'), QmpClosedError);
      transport.receiveBytes(bytes);
      assert.equal((await waiting).closeReason.kind, 'protocol-error');
      assert.ok(transport.isClosed);
      const after = await rejection(connection.execute('again'), QmpClosedError);
      assert.equal(after.closeReason.kind, 'protocol-error');
    });
  }

  it('ends any connection that gets garbage and then an end with a reason', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array()), async (chunks) => {
        const { transport, connection } = await open();
        const waiting = rejection(connection.execute('query-status'), QmpClosedError);
        for (const chunk of chunks) transport.receiveBytes(Buffer.from(chunk));
        transport.end();
        assert.match((await waiting).closeReason.kind, /^(protocol-error|peer-closed)$/);
        assert.equal(await connection.closed, connection.closeReason);
      }),
    );
  });

  it('says that QEMU quit when it said so, and only while that holds', async () => {
    const shutdown = { event: 'SHUTDOWN', data: { guest: true, reason: 'guest-shutdown' } };
    const first = await open();
    first.transport.receive(shutdown);
    first.transport.end(Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
    assert.deepEqual(await first.connection.closed, {
      kind: 'qemu-quit',
      guest: true,
      reason: 'guest-shutdown',
    });

    const second = await open();
    second.transport.receive(shutdown);
    second.transport.receive({ event: 'RESUME' });
    second.transport.end();
    assert.deepEqual(await second.connection.closed, { kind: 'peer-closed' });
  });

  it('names the error of a connection that broke', async () => {
    const { transport, connection } = await open();
    transport.end(Object.assign(new Error('read EIO'), { code: 'EIO' }));
    assert.deepEqual(await connection.closed, {
      kind: 'io-error',
      code: 'EIO',
      message: 'read EIO',
    });
  });

  it('closes once, by us, and ignores what comes after', async () => {
    const { transport, connection } = await open();
    let events = 0;
    connection.onEvent(() => events++);
    const waiting = rejection(connection.execute('query-status'), QmpClosedError);
    connection.close();
    connection.close();
    transport.receive({ event: 'STOP' });
    transport.end();
    assert.deepEqual((await waiting).closeReason, { kind: 'closed-by-us' });
    assert.equal(events, 0);
  });

  it('ends on a message beyond the bound without keeping its bytes', async () => {
    const { transport, connection } = await open();
    const waiting = rejection(connection.execute('query-qmp-schema'), QmpClosedError);
    const megabyte = Buffer.alloc(1024 * 1024, 'x');
    transport.receiveBytes('{"return": "');
    for (let i = 0; i < 100; i++) transport.receiveBytes(megabyte);
    const { closeReason } = await waiting;
    assert.ok(closeReason.kind === 'protocol-error');
    assert.equal(closeReason.error.problem, 'too-large');
    assert.equal(connection.closeReason, closeReason);
  });

  it('reads the schema once', async () => {
    const { transport, connection } = await open();
    const both = Promise.all([connection.schema(), connection.schema()]);
    transport.reply(transport.command('query-qmp-schema'), [
      { 'meta-type': 'command', name: 'migrate' },
    ]);
    const [one, other] = await both;
    assert.equal(one, other);
    assert.ok((await connection.schema()).hasCommand('migrate'));
    assert.equal(transport.sent.length, 2);
  });

  it('asks for the schema again after a failure', async () => {
    const { transport, connection } = await open();
    const failing = rejection(connection.schema(), QmpProtocolError);
    transport.reply(transport.command('query-qmp-schema'), 'nonsense');
    await failing;
    const again = connection.schema();
    transport.reply(transport.command('query-qmp-schema'), []);
    assert.equal((await again).counts.entries, 0);
  });

  it('shows the traffic in both directions, as text', async () => {
    const lines: string[] = [];
    const { transport, connection } = await open({
      onTraffic: (direction, text) => lines.push(`${direction} ${text}`),
    });
    const reply = connection.execute('query-name');
    transport.reply(transport.command('query-name'), {});
    await reply;
    assert.deepEqual(lines.slice(-2), [
      'out {"execute":"query-name","id":2}',
      'in {"return":{},"id":2}',
    ]);
  });

  it('fails to open, with a reason, when the negotiation is refused', async () => {
    const transport = new FakeTransport({ negotiates: false });
    const opening = rejection(QmpConnection.open(transport, '/fake'), QmpConnectError);
    transport.receive(fakeGreeting);
    await new Promise(setImmediate);
    const error = { class: 'CommandNotFound', desc: 'already complete' };
    transport.receive({ id: transport.command('qmp_capabilities')['id'] ?? null, error });
    const { closeReason, cause } = await opening;
    assert.equal(closeReason.kind, 'protocol-error');
    assert.ok(cause instanceof QmpCommandError);
    assert.ok(transport.isClosed);
  });
});
