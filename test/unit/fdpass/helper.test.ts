import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { FdPassHelper, type FdPassReason } from '../../../src/fdpass/helper';
import { QmpCommandError } from '../../../src/qmp/errors';
import { FakeRefusal, noReply } from '../../support/fakeQmpServer';
import { failing, failsWith, FakeHelpers, goodPair, openDescriptors, TwoQemus } from './support';

/** How a run of the helper may end badly. */
interface Case {
  readonly title: string;
  readonly body: string;
  readonly reason: FdPassReason;
  /** Whether the connections live on: only when nothing, or everything, was surely written. */
  readonly open: boolean;
  readonly timeoutMs?: number;
}

const ownCodes: [number, FdPassReason][] = [
  [10, 'badDestination'],
  [11, 'badDescriptor'],
  [12, 'pairFailed'],
  [13, 'tapFailed'],
  [14, 'timeout'],
  [15, 'peerClosed'],
  [16, 'sendFailed'],
  [17, 'interrupted'],
  [19, 'setupFailed'],
  [64, 'usage'],
];

const cases: Case[] = [
  ...ownCodes.map(([code, reason]) => ({
    title: `exit ${code}`,
    body: failing(code, reason),
    reason,
    open: true,
  })),
  { title: 'exit 18, sent but not told', body: 'exit 18', reason: 'reportFailed', open: false },
  {
    title: 'half a message',
    body: failing(14, 'timeout', ['7', '0']),
    reason: 'timeout',
    open: false,
  },
  { title: 'a crash', body: 'kill -SEGV $$', reason: 'crashed', open: false },
  { title: 'killed before it began', body: 'kill -TERM $$', reason: 'crashed', open: true },
  { title: 'garbage', body: 'echo hello; exit 0', reason: 'badOutput', open: false },
  { title: 'nothing', body: 'exit 0', reason: 'badOutput', open: false },
  { title: 'an unknown exit code', body: 'exit 3', reason: 'badOutput', open: false },
  { title: 'half a line', body: `printf '{"ok":true,'`, reason: 'badOutput', open: false },
  {
    title: 'a line without its end',
    body: `printf '{"ok":true}'`,
    reason: 'badOutput',
    open: false,
  },
  { title: 'two lines', body: `${goodPair}\necho more`, reason: 'badOutput', open: false },
  { title: 'success, but exit 1', body: `${goodPair}\nexit 1`, reason: 'badOutput', open: false },
  { title: 'failure, but exit 0', body: failing(0, 'timeout'), reason: 'badOutput', open: false },
  {
    title: 'success without bytes',
    body: `echo '{"ok":true,"destinations":[]}'`,
    reason: 'badOutput',
    open: false,
  },
  {
    title: 'more bytes than asked',
    body: failing(14, 'timeout', ['999', '0']),
    reason: 'badOutput',
    open: false,
  },
  {
    title: 'a flood',
    body: 'while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyy; done',
    reason: 'badOutput',
    open: false,
  },
  { title: 'hanging', body: 'exec sleep 1000', reason: 'timeout', open: true, timeoutMs: 200 },
  {
    title: 'hanging and deaf',
    body: `trap '' TERM; while :; do sleep 0.05; done`,
    reason: 'timeout',
    open: false,
    timeoutMs: 200,
  },
];

describe('FdPassHelper', () => {
  let helpers: FakeHelpers;
  let qemus: TwoQemus;

  beforeEach(async () => {
    helpers = new FakeHelpers();
    qemus = await TwoQemus.start();
    qemus.takeCommands();
  });

  afterEach(async () => {
    await qemus.stop();
    helpers.dispose();
  });

  function pairOver(
    path: string,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<void> {
    const { a, b } = qemus;
    return new FdPassHelper(path).pair(
      { connection: a, fdname: 'x' },
      { connection: b, fdname: 'y' },
      options,
    );
  }

  async function stillWorks(): Promise<void> {
    for (const connection of [qemus.a, qemus.b]) {
      await connection.execute('query-status', undefined, { timeoutMs: 2000 });
    }
  }

  it('gives each side its command, and the connections go on', async () => {
    await pairOver(helpers.script(goodPair));
    await stillWorks();
    const expected = (name: string) => [`getfd ${name}`, 'query-status'];
    assert.deepEqual(qemus.takeCommands(), [expected('x'), expected('y')]);
  });

  it('leaves no descriptor behind in 100 runs', async () => {
    const path = helpers.script(goodPair);
    await pairOver(path);
    const before = openDescriptors();
    for (let round = 0; round < 100; round++) await pairOver(path);
    assert.equal(openDescriptors(), before);
    await stillWorks();
  }).timeout(20_000);

  for (const { title, body, reason, open, timeoutMs } of cases) {
    it(`${title}: ${reason}, connections ${open ? 'stay' : 'end'}`, async () => {
      const path = helpers.script(body);
      const before = openDescriptors();
      await failsWith(reason, pairOver(path, timeoutMs === undefined ? {} : { timeoutMs }));
      if (open) {
        await stillWorks();
        assert.equal(openDescriptors(), before);
        assert.deepEqual(qemus.takeCommands(), [['query-status'], ['query-status']]);
      } else {
        await qemus.a.closed;
      }
    });
  }

  it('tells exit code, errno and what the helper said', async () => {
    const error = await failsWith('tapFailed', pairOver(helpers.script(failing(13, 'tapFailed'))));
    assert.equal(error.exitCode, 13);
    assert.equal(error.errno, 'EIO');
    assert.equal(error.stderr, 'fdpass: it failed\n');
    assert.match(error.message, /it failed/);
  });

  for (const [title, make] of [
    ['missing', () => '/nonexistent/fdpass'],
    ['not executable', () => helpers.script(goodPair, 0o644)],
  ] as const) {
    it(`${title}: spawnFailed, connections stay`, async () => {
      const path = make();
      const before = openDescriptors();
      for (let round = 0; round < 5; round++) await failsWith('spawnFailed', pairOver(path));
      await stillWorks();
      assert.equal(openDescriptors(), before);
    });
  }

  it('does not wait for others that keep its output open', async () => {
    const started = performance.now();
    await pairOver(helpers.script(`sleep 3 &\n${goodPair}`));
    assert.ok(performance.now() - started < 2000);
  });

  it('one QEMU refuses: the other gets its name taken back', async () => {
    qemus.servers[1].on('getfd', () => {
      throw new FakeRefusal('No file descriptor supplied via SCM_RIGHTS');
    });
    const error = await failsWith('refused', pairOver(helpers.script(goodPair)));
    assert.ok(error.cause instanceof QmpCommandError);
    assert.deepEqual(qemus.takeCommands(), [['getfd x', 'closefd x'], ['getfd y']]);
    await stillWorks();
  });

  it('only one command went out: its name is taken back', async () => {
    const body = `printf '%s' "$6" >&3\n${failing(15, 'peerClosed', ['${#6}', '0'])}`;
    await failsWith('peerClosed', pairOver(helpers.script(body)));
    assert.deepEqual(qemus.takeCommands(), [['getfd x', 'closefd x'], []]);
    await stillWorks();
  });

  it('a QEMU that does not answer: time-out, and both names are taken back', async () => {
    qemus.servers[1].on('getfd', () => noReply);
    await failsWith('timeout', pairOver(helpers.script(goodPair), { timeoutMs: 300 }));
    const names = (name: string) => [`getfd ${name}`, `closefd ${name}`];
    assert.deepEqual(qemus.takeCommands(), [names('x'), names('y')]);
  });

  it('the caller gives up: before, during, and after the helper', async () => {
    const given = AbortSignal.abort();
    await failsWith('aborted', pairOver(helpers.script(goodPair), { signal: given }));
    const hanging = { signal: AbortSignal.timeout(100) };
    await failsWith('aborted', pairOver(helpers.script('exec sleep 1000'), hanging));
    await stillWorks();
    qemus.takeCommands();
    qemus.servers[0].on('getfd', () => noReply);
    const waiting = { signal: AbortSignal.timeout(200) };
    await failsWith('aborted', pairOver(helpers.script(goodPair), waiting));
    assert.deepEqual(qemus.takeCommands()[0], ['getfd x', 'closefd x']);
  });

  it('crossing pairs do not lock each other out', async () => {
    const helper = new FdPassHelper(helpers.script(goodPair));
    const { a, b } = qemus;
    const sides = [
      { connection: a, fdname: 'x' },
      { connection: b, fdname: 'y' },
    ] as const;
    const options = { timeoutMs: 20_000 };
    await Promise.all(
      Array.from({ length: 10 }, (_, round) =>
        round % 2 === 0
          ? helper.pair(sides[0], sides[1], options)
          : helper.pair(sides[1], sides[0], options),
      ),
    );
    await stillWorks();
  }).timeout(20_000);

  it('a descriptor waits until the one before it is answered', async () => {
    let running = 0;
    let most = 0;
    qemus.servers[0].on('getfd', async () => {
      most = Math.max(most, ++running);
      await sleep(30);
      running--;
      return {};
    });
    const path = helpers.script(goodPair);
    await Promise.all([pairOver(path), pairOver(path), pairOver(path)]);
    assert.equal(most, 1);
  });

  it('giving up in the queue leaves the queue intact', async () => {
    qemus.servers[0].on('getfd', () => sleep(200).then(() => ({})));
    const path = helpers.script(goodPair);
    const first = pairOver(path);
    await failsWith('aborted', pairOver(path, { signal: AbortSignal.timeout(50) }));
    await first;
    await pairOver(path);
  });

  it('the connection ends: says so', async () => {
    qemus.a.close();
    await failsWith('connectionClosed', pairOver(helpers.script(goodPair)));
    await qemus.b.execute('query-status');
  });

  it('refuses a pair with itself', async () => {
    const side = { connection: qemus.a, fdname: 'x' };
    await failsWith('sameConnection', new FdPassHelper('/bin/false').pair(side, side));
  });

  it('passes our own descriptor and returns the answer', async () => {
    const body = `
[ "$7" = --fd ] && [ "$8" = 4 ] && [ -e /proc/self/fd/4 ] || exit 3
printf '%s' "$6" >&3
printf '{"ok":true,"verb":"send","destinations":[{"bytes":%d,"bytesWritten":%d}]}\\n' "\${#6}" "\${#6}"`;
    qemus.servers[0].on('add-fd', () => ({ 'fdset-id': 7, fd: 23 }));
    const reply = await new FdPassHelper(helpers.script(body)).sendDescriptor(
      qemus.a,
      { command: 'add-fd', fdsetId: 7, opaque: 'disk' },
      0,
    );
    assert.deepEqual(reply, { 'fdset-id': 7, fd: 23 });
    assert.deepEqual(qemus.servers[0].transcript[0]?.arguments, { 'fdset-id': 7, opaque: 'disk' });
  });

  it('a TAP: one run for each queue; what was given is taken back when one fails', async () => {
    let count = 0;
    qemus.servers[0].on('getfd', () => {
      if (++count === 2) throw new FakeRefusal('no more');
      return {};
    });
    const body = `
[ "$1 $2 $3 $4" = "tap tap0 --multi-queue --vnet-hdr" ] || exit 3
printf '%s' "$9" >&3
printf '{"ok":true,"verb":"tap","destinations":[{"bytes":%d,"bytesWritten":%d}]}\\n' "\${#9}" "\${#9}"`;
    const tap = { ifname: 'tap0', fdnames: ['q0', 'q1', 'q2'], vnetHdr: true };
    const helper = new FdPassHelper(helpers.script(body));
    await failsWith('refused', helper.openTap(qemus.a, tap));
    assert.deepEqual(qemus.takeCommands()[0], ['getfd q0', 'getfd q1', 'closefd q0']);
  });
});
