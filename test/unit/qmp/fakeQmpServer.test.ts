import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { QmpConnection } from '../../../src/qmp/connection';
import { QmpCommandError, QmpTimeoutError } from '../../../src/qmp/errors';
import { isObject, type JsonObject } from '../../../src/qmp/json';
import { FakeQmpServer, FakeRefusal, noReply } from '../../support/fakeQmpServer';
import { builds } from '../../support/recordings';

describe('Fake QMP server', () => {
  let server: FakeQmpServer;
  let connection: QmpConnection;

  async function start(options: Parameters<typeof FakeQmpServer.start>[0]): Promise<void> {
    server = await FakeQmpServer.start(options);
    connection = await QmpConnection.connect(server.path);
  }

  async function desc(command: string, args?: JsonObject): Promise<string> {
    try {
      await connection.execute(command, args);
    } catch (error) {
      assert.ok(error instanceof QmpCommandError, String(error));
      return error.desc;
    }
    return assert.fail(`${command} was accepted`);
  }

  afterEach(() => server.stop());

  for (const build of builds) {
    it(`has the schema and the parameters of ${build}`, async () => {
      await start({ build });
      const schema = await connection.schema();
      assert.equal(
        schema.argument('migrate-set-parameters', build)?.name,
        build === '11.1-stock' ? undefined : build,
      );
      const parameters = await connection.execute('query-migrate-parameters');
      assert.ok(isObject(parameters));
      assert.equal(parameters[build], build === '11.1-stock' ? undefined : false);
    });
  }

  it('listens in a directory of its own', async () => {
    await start({ build: 'local' });
    assert.equal(statSync(path.dirname(server.path)).mode & 0o777, 0o700);
  });

  it('sets parameters all or none, and words refusals as QEMU does', async () => {
    await start({ build: 'local' });
    const set = 'migrate-set-parameters';
    assert.equal(await desc(set, { local: true, nope: 1 }), "Parameter 'nope' is unexpected");
    assert.equal(
      await desc(set, { local: 'maybe' }),
      "Invalid parameter type for 'local', expected: boolean",
    );
    assert.equal(
      await desc(set, { 'max-bandwidth': 'lots' }),
      "Parameter 'max-bandwidth' expects uint64",
    );
    assert.equal(server.qemu.parameters['local'], false);
    await connection.execute(set, { local: true, 'max-bandwidth': 2n ** 64n - 1n });
    const parameters = await connection.execute('query-migrate-parameters');
    assert.ok(isObject(parameters));
    assert.deepEqual([parameters['local'], parameters['max-bandwidth']], [true, 2n ** 64n - 1n]);
  });

  it('keeps capabilities', async () => {
    await start({ build: 'local' });
    await connection.execute('migrate-set-capabilities', {
      capabilities: [{ capability: 'events', state: true }],
    });
    assert.equal(server.qemu.capabilities.get('events'), true);
    assert.equal(server.qemu.capabilities.get('multifd'), false);
  });

  it('refuses unknown commands and out-of-band ones that may not be', async () => {
    await start({ build: 'local' });
    assert.equal(await desc('nope'), 'The command nope has not been found');
    await assert.rejects(
      connection.execute('query-status', undefined, { outOfBand: true }),
      /does not support OOB/,
    );
  });

  it('lets a test answer, refuse, delay and swallow', async () => {
    await start({ build: 'local', overrides: { 'query-name': { name: 'guest' } } });
    let answer: (value: string) => void = () => undefined;
    server.on('slow', () => new Promise((resolve) => (answer = resolve)));
    server.on('silent', () => noReply);
    server.on('cont', () => {
      throw new FakeRefusal('not now');
    });
    const slow = connection.execute('slow');
    assert.deepEqual(await connection.execute('query-name'), { name: 'guest' });
    answer('done');
    assert.equal(await slow, 'done');
    assert.equal(await desc('cont'), 'not now');
    await assert.rejects(connection.execute('silent', {}, { timeoutMs: 5 }), QmpTimeoutError);
    assert.deepEqual(server.commands, ['qmp_capabilities', 'slow', 'query-name', 'cont', 'silent']);
  });

  it('sends text beyond ASCII as QEMU does, escaped', async () => {
    const lines: string[] = [];
    server = await FakeQmpServer.start({ build: 'local', overrides: { x: 'é😀' } });
    connection = await QmpConnection.connect(server.path, {
      onTraffic: (_direction, text) => lines.push(text),
    });
    assert.equal(await connection.execute('x'), 'é😀');
    assert.match(lines.at(-1) ?? '', /"\\u00e9\\ud83d\\ude00"/);
  });

  it('replays a recorded success to a client that never polls', async () => {
    await start({ build: 'local' });
    server.replay('success', 'source');
    const statuses: unknown[] = [];
    const done = new Promise<void>((resolve) => {
      connection.onEvent(({ name, data }) => {
        if (name !== 'MIGRATION') return;
        statuses.push(data['status']);
        if (data['status'] === 'completed') resolve();
      });
    });
    await connection.execute('query-status');
    await connection.execute('migrate-set-parameters', { local: true });
    await connection.execute('migrate', { uri: 'unix:/elsewhere' });
    await done;
    assert.deepEqual(statuses, ['setup', 'active', 'device', 'completed']);
  });

  it('replays a recorded refusal, and the end of a QEMU', async () => {
    await start({ build: 'local' });
    server.replay('tcp-channel', 'source');
    assert.match(await desc('migrate', { uri: 'tcp:x' }), /requires a UNIX domain socket channel/);

    await server.stop();
    await start({ build: 'local' });
    server.replay('ifname-given-on-target', 'target');
    await connection.execute('migrate-set-parameters', { local: true });
    await connection.execute('netdev_add', { type: 'tap', id: 'net0' }).catch(() => undefined);
    await connection.execute('migrate-incoming', { uri: 'unix:/x' }).catch(() => undefined);
    assert.equal((await connection.closed).kind, 'peer-closed');
  });

  it('runs two hundred at once', async () => {
    const servers = await Promise.all(
      Array.from({ length: 200 }, () => FakeQmpServer.start({ build: '11.1-stock' })),
    );
    server = servers[0]!;
    const all = await Promise.all(servers.map(({ path: file }) => QmpConnection.connect(file)));
    connection = all[0]!;
    const replies = await Promise.all(all.map((each) => each.execute('query-status')));
    assert.equal(replies.length, 200);
    await Promise.all(servers.slice(1).map((each) => each.stop()));
  });
});
