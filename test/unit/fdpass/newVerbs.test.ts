import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { FdPassError, FdPassHelper, type FdPassReason } from '../../../src/fdpass/helper';
import { launch } from '../../../src/fdpass/launch';
import { TapGuard } from '../../../src/fdpass/tapGuard';
import { FakeHelpers, TwoQemus } from './support';

const like = { pid: 1, startTicks: 5n };
const old = `
printf '{"ok":false,"verb":"none","reason":"usage","errno":null,"destination":null,"destinations":[]}\\n'
exit 64`;

async function failsWith(reason: FdPassReason, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof FdPassError, String(error));
    assert.equal(error.reason, reason, String(error));
    return true;
  });
}

describe('verbs of helper 1.1', () => {
  let helpers: FakeHelpers;
  let qemus: TwoQemus;

  beforeEach(async () => {
    helpers = new FakeHelpers();
    qemus = await TwoQemus.start();
  });

  afterEach(async () => {
    await qemus.stop();
    helpers.dispose();
  });

  it('an older helper: each says so, and connections stay', async () => {
    const path = helpers.script(old);
    const remote = { process: like, fd: 9, ifname: 'tap0' };
    await failsWith('helperTooOld', new FdPassHelper(path).peer(qemus.a));
    await failsWith('helperTooOld', new FdPassHelper(path).adoptDescriptor(qemus.a, 'x', remote));
    await failsWith('helperTooOld', launch(path, { like, program: '/x', args: [], logFd: 1 }));
    await failsWith('helperTooOld', TapGuard.begin(path, like, [remote]));
    await qemus.a.execute('query-status');
  });

  it('a helper that talks nonsense, is killed or is not there', async () => {
    for (const [body, reason] of [
      ['echo nonsense', 'badOutput'],
      ['kill -9 $$', 'crashed'],
      [`echo '{"ok":true,"verb":"peer","peers":[]}'`, 'badOutput'],
    ] as const) {
      await failsWith(reason, new FdPassHelper(helpers.script(body)).peer(qemus.a));
    }
    await failsWith('spawnFailed', new FdPassHelper('/nonexistent').peer(qemus.a));
    await failsWith('spawnFailed', TapGuard.begin('/nonexistent', like, []));
    await failsWith(
      'spawnFailed',
      launch('/nonexistent', { like, program: '/x', args: [], logFd: 1 }),
    );
    await failsWith('crashed', TapGuard.begin(helpers.script('kill -9 $$'), like, []));
    await qemus.a.execute('query-status');
  });

  it('a launch is over when its time is: nothing runs on', async () => {
    const path = helpers.script('echo $$ >"$0.pid"; exec sleep 1000');
    const request = { like, program: '/x', args: [], logFd: 1, timeoutMs: 500 };
    await failsWith('timeout', launch(path, request));
    const alive = spawn('sh', ['-c', `kill -0 $(cat ${path}.pid)`], { stdio: 'ignore' });
    assert.notEqual(await new Promise((resolve) => alive.once('close', resolve)), 0);
  });

  it('the last line of a launch counts: exec failed after all', async () => {
    const path = helpers.script(`
echo '{"ok":true,"verb":"launch","pid":7,"startTicks":"8","missing":[]}'
echo '{"ok":false,"verb":"launch","reason":"execFailed","errno":"ENOENT","destination":null,"detail":"no"}'
exit 25`);
    await failsWith('execFailed', launch(path, { like, program: '/x', args: [], logFd: 1 }));
  });
});
