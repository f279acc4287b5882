import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { explain, type Explanation } from '../../../src/migration/view/words';
import { QmpConnectError, type CloseReason } from '../../../src/qmp/errors';
import { Stage } from './support';

describe('what a user reads when a path cannot be connected', function () {
  // Longer than any of them takes, on a host that is busy with others.
  this.timeout(20_000);

  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  /** Tries to connect, as the command "Connect" does, and checks what is always so. */
  async function failing(file: string): Promise<Explanation & { kind: CloseReason['kind'] }> {
    const registry = stage.registry();
    const error: unknown = await registry.connect(file).then(
      () => assert.fail('It connected'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof QmpConnectError, String(error));
    assert.deepEqual(registry.machines, [], 'it is not kept');
    const words = explain(error);
    assert.ok(words.headline.includes(file), words.headline);
    assert.match(words.headline, /[.!?)]$/);
    assert.ok((words.nextStep ?? '') !== '', 'it says what to do');
    return { ...words, kind: error.closeReason.kind };
  }

  it('nothing there: how QEMU makes such a socket', async () => {
    const file = stage.path('missing');
    const { kind, nextStep } = await failing(file);
    assert.equal(kind, 'no-such-file');
    assert.ok(nextStep?.includes(`-qmp unix:${file},server=on,wait=off`), nextStep);
  });

  it('a file and a directory: no sockets', async () => {
    writeFileSync(stage.path('plain'), '{}');
    mkdirSync(stage.path('folder'));
    for (const name of ['plain', 'folder']) {
      const { kind, headline } = await failing(stage.path(name));
      assert.equal(kind, 'not-a-socket');
      assert.match(headline, /is not a socket/);
    }
  });

  it('a socket file whose QEMU was killed', async () => {
    const file = stage.path('stale');
    const script = `require('net').createServer().listen(process.argv[1], () =>
      process.kill(process.pid, 'SIGKILL'))`;
    assert.throws(() => execFileSync(process.execPath, ['-e', script, file]));
    const { kind, headline } = await failing(file);
    assert.equal(kind, 'connection-refused');
    assert.match(headline, /QEMU is gone/);
  });

  it('another program, with what it said', async () => {
    const file = await stage.listen('ssh', (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
    const { kind, headline, nextStep } = await failing(file);
    assert.equal(kind, 'protocol-error');
    assert.match(headline, /does not speak QMP.*SSH-2\.0/);
    assert.match(nextStep ?? '', /-monitor/);
  });

  it('a monitor in use, and one that stops in the middle of its greeting', async () => {
    const { server } = await stage.machine();
    const half = await stage.listen('half', (socket) => socket.write('{"QMP": {"version"'));
    for (const answer of await Promise.all([failing(server.path), failing(half)])) {
      assert.equal(answer.kind, 'greeting-timeout');
      assert.match(answer.headline, /in use by another client/);
      assert.match(answer.nextStep ?? '', /second "-qmp" socket/);
    }
  });

  it('a path that is too long for a socket', async () => {
    const { kind, headline } = await failing(stage.path('x'.repeat(120)));
    assert.equal(kind, 'path-too-long');
    assert.match(headline, /107/);
  });
});
