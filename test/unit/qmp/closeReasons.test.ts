import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { QmpConnection, type ConnectOptions } from '../../../src/qmp/connection';
import { QmpClosedError, QmpConnectError } from '../../../src/qmp/errors';
import { closeReasonOfConnectError } from '../../../src/qmp/transport';
import { FakeQmpServer } from '../../support/fakeQmpServer';

const connectionModule = path.resolve('src/qmp/connection.ts');

async function refusal(file: string, options?: ConnectOptions): Promise<QmpConnectError> {
  const connecting = QmpConnection.connect(file, options);
  const error: unknown = await connecting.then(
    () => assert.fail('It connected'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof QmpConnectError, String(error));
  assert.equal(error.path, file);
  assert.ok(error.message.includes(file));
  return error;
}

describe('QMP close reasons', () => {
  let directory: string;
  const servers: { close(): unknown }[] = [];
  const sockets = new Set<net.Socket>();

  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'qmp-close-'));
  });

  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) server.close();
    rmSync(directory, { recursive: true });
  });

  /** A server of some other kind; returns its path. */
  async function serve(onConnection: (socket: net.Socket) => void): Promise<string> {
    const file = path.join(directory, 'other.sock');
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      onConnection(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(file, resolve));
    return file;
  }

  it('a plain file and a directory are not sockets', async () => {
    const file = path.join(directory, 'plain');
    writeFileSync(file, '{}');
    assert.deepEqual((await refusal(file)).closeReason, { kind: 'not-a-socket' });
    const folder = path.join(directory, 'folder');
    mkdirSync(folder);
    assert.deepEqual((await refusal(folder)).closeReason, { kind: 'not-a-socket' });
  });

  it('a path that leads nowhere', async () => {
    const missing = path.join(directory, 'missing');
    assert.deepEqual((await refusal(missing)).closeReason, { kind: 'no-such-file' });
    writeFileSync(missing, '');
    const below = path.join(missing, 'below');
    assert.deepEqual((await refusal(below)).closeReason, { kind: 'no-such-file' });
  });

  it('a socket that a killed process left behind', async () => {
    const file = path.join(directory, 'stale.sock');
    const script = `require('net').createServer().listen(${JSON.stringify(file)}, () =>
      process.kill(process.pid, 'SIGKILL'))`;
    assert.throws(() => execFileSync(process.execPath, ['-e', script]));
    const error = await refusal(file);
    assert.deepEqual(error.closeReason, { kind: 'connection-refused' });
    assert.ok(error.cause instanceof Error);
  });

  it('a path one byte too long, which Node would cut short', async () => {
    const stem = path.join(directory, 'x');
    const fits = stem.padEnd(107, 'x');
    const server = net.createServer();
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(fits, resolve));
    const error = await refusal(`${fits}y`);
    assert.deepEqual(error.closeReason, { kind: 'path-too-long', bytes: 108 });
    const inBytes = await refusal('/é'.padEnd(106, 'x'));
    assert.equal(inBytes.closeReason.kind, 'no-such-file');
    const accented = await refusal('/'.padEnd(60, 'é'));
    assert.deepEqual(accented.closeReason, { kind: 'path-too-long', bytes: 119 });
  });

  it('no permission', async () => {
    const denied = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
    assert.deepEqual(closeReasonOfConnectError('/x', denied), { kind: 'no-permission' });

    const file = await serve(() => undefined);
    chmodSync(file, 0o500);
    // Root may connect anywhere, so another user tries where we are root.
    const isRoot = process.getuid?.() === 0;
    chmodSync(directory, 0o755);
    // In one piece, for that user may not even enter the folder of this project.
    const { outputFiles } = await build({
      stdin: {
        contents: `import { QmpConnection } from ${JSON.stringify(connectionModule)};
          const connecting = QmpConnection.connect(${JSON.stringify(file)});
          connecting.catch((error) => console.log(error.closeReason.kind));`,
        resolveDir: directory,
      },
      bundle: true,
      minify: true,
      platform: 'node',
      write: false,
    });
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['-e', outputFiles[0]?.text ?? ''],
      isRoot ? { uid: 65534, cwd: '/' } : {},
    );
    assert.equal(stdout.trim(), 'no-permission');
  }).timeout(20_000);

  it('a QEMU that is killed', async () => {
    const file = path.join(directory, 'killed.sock');
    const script = `require('net').createServer((socket) => {
        socket.write('{"QMP":{"version":{"qemu":{"micro":0,"minor":0,"major":9},"package":""},' +
          '"capabilities":[]}}\\r\\n');
        socket.once('data', () => socket.write('{"return":{},"id":1}\\r\\n'));
      }).listen(process.argv[1], () => process.stdout.write('ready'))`;
    const child = spawn(process.execPath, ['-e', script, file]);
    await once(child.stdout, 'data');
    const connection = await QmpConnection.connect(file);
    const waiting = connection.execute('query-status');
    child.kill('SIGKILL');
    await assert.rejects(waiting, QmpClosedError);
    assert.deepEqual(await connection.closed, { kind: 'peer-closed' });
  });

  for (const [name, banner] of [
    ['an SSH server', 'SSH-2.0-OpenSSH_9.2p1 Debian\r\n'],
    ['an HTTP error', 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'],
    ["QEMU's human monitor", "QEMU 10.2.2 monitor - type 'help' for more information\r\n(qemu) "],
    ['some JSON service', '{"jsonrpc":"2.0"}\n'],
  ] as const) {
    it(`${name} is told apart from QMP, with an excerpt`, async () => {
      const file = await serve((socket) => socket.write(banner));
      const { closeReason, message } = await refusal(file);
      assert.ok(closeReason.kind === 'protocol-error');
      assert.equal(closeReason.error.problem, 'not-qmp');
      assert.ok(message.includes(banner.slice(0, 12)), message);
    });
  }

  it('half a greeting and then silence', async () => {
    const file = await serve((socket) => socket.write('{"QMP": {"version"'));
    const { closeReason } = await refusal(file, { greetingTimeoutMs: 20 });
    assert.deepEqual(closeReason, { kind: 'greeting-timeout', timeoutMs: 20 });
  });

  it('a greeting and then silence', async () => {
    const file = await serve((socket) => {
      socket.write('{"QMP": {"version": {"qemu": {"micro":0,"minor":0,"major":9}}}}\r\n');
    });
    const { closeReason } = await refusal(file, { greetingTimeoutMs: 20 });
    assert.deepEqual(closeReason, { kind: 'greeting-timeout', timeoutMs: 20 });
  });

  it('a server that hangs up before it greets', async () => {
    const file = await serve((socket) => socket.destroy());
    assert.deepEqual((await refusal(file)).closeReason, { kind: 'peer-closed' });
  });

  it('aborted, at once and while waiting for the greeting', async () => {
    const file = await serve(() => undefined);
    const before = await refusal(file, { signal: AbortSignal.abort('no') });
    assert.deepEqual([before.closeReason.kind, before.cause], ['closed-by-us', 'no']);
    const controller = new AbortController();
    const waiting = refusal(file, { signal: controller.signal });
    setImmediate(() => controller.abort('changed my mind'));
    const during = await waiting;
    assert.deepEqual([during.closeReason.kind, during.cause], ['closed-by-us', 'changed my mind']);
  });

  it('a monitor that another client holds, until that client leaves', async () => {
    const server = await FakeQmpServer.start({ build: 'local' });
    const first = await QmpConnection.connect(server.path);
    const { closeReason, message } = await refusal(server.path, { greetingTimeoutMs: 20 });
    assert.equal(closeReason.kind, 'greeting-timeout');
    assert.match(message, /another client/);
    first.close();
    const second = await QmpConnection.connect(server.path);
    assert.deepEqual(await second.execute('query-name'), {});
    await server.stop();
    assert.deepEqual(await second.closed, { kind: 'peer-closed' });
  });

  it('a backlog that is full of other clients', async () => {
    const file = path.join(directory, 'full.sock');
    const child = await listenWithoutAccepting(file);
    try {
      const waiting = Array.from({ length: 8 }, () =>
        net.connect(file).on('error', () => undefined),
      );
      waiting.forEach((socket) => sockets.add(socket));
      await new Promise(setImmediate);
      const { closeReason } = await refusal(file, { greetingTimeoutMs: 60 });
      assert.deepEqual(closeReason, { kind: 'greeting-timeout', timeoutMs: 60 });
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('a QEMU that quits, by its own account', async () => {
    const server = await FakeQmpServer.start({ build: 'local' });
    const connection = await QmpConnection.connect(server.path);
    assert.deepEqual(await connection.execute('quit'), {});
    assert.deepEqual(await connection.closed, {
      kind: 'qemu-quit',
      guest: false,
      reason: 'host-qmp-quit',
    });
    assert.equal((await refusal(server.path)).closeReason.kind, 'no-such-file');
  });
});

/** A process that listens, with hardly any backlog, and is then stopped. */
async function listenWithoutAccepting(file: string): Promise<ChildProcess> {
  const script = `require('net').createServer().listen({ path: process.argv[1], backlog: 1 }, () =>
    process.stdout.write('ready'))`;
  const child = spawn(process.execPath, ['-e', script, file]);
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  return child;
}
