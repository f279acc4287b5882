import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import { root } from '../../scripts/lib/paths';
import {
  provisionQemu,
  startQemu,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import {
  cliBundle,
  runCliProcess,
  startCli,
  type CliEnd,
  type CliProcess,
} from '../support/cliProcess';
import { startCprPair } from '../support/cprPair';
import { startInPlace } from '../support/inPlace';

const helper = join(root, `native/fdpass/build/linux-${process.arch}/fdpass`);

interface Document {
  readonly exitCode: number;
  readonly [key: string]: unknown;
}

function documentOf(end: CliEnd): Document {
  try {
    return JSON.parse(end.stdout) as Document;
  } catch {
    throw new Error(`No JSON:\n${end.stdout}\n${end.stderr}`);
  }
}

describe('the command line and the ways to move a guest', () => {
  let directory: string;
  let started: QemuProcess[];
  let env: Record<string, string>;

  const start = async (
    name: string,
    options: Partial<QemuOptions> & { readonly version?: QemuVersionName } = {},
  ): Promise<QemuProcess> => {
    const { version = '11.1', ...rest } = options;
    const build = await provisionQemu(version);
    const qemu = await startQemu({ build, name, directory, guest: 'dirtying', ...rest });
    started.push(qemu);
    return qemu;
  };
  const startPair = async (
    options: Partial<QemuOptions> & { readonly version?: QemuVersionName } = {},
  ): Promise<[source: QemuProcess, target: QemuProcess]> => {
    const source = await start('source', options);
    const target = await start('target', { incoming: true, ...options });
    await source.waitForRounds(1);
    return [source, target];
  };
  const run = (...args: readonly string[]): Promise<CliEnd> => runCliProcess(args, { env });
  const typing = (...args: readonly string[]): Promise<CliProcess> =>
    startCli(args, { env, typed: true });

  before(async function () {
    this.timeout(300_000);
    await cliBundle();
  });

  beforeEach(async () => {
    started = [];
    directory = await mkdtemp(join(tmpdir(), 'qm-'));
    env = { QEMU_MIGRATION_HELPER: helper, QEMU_MIGRATION_STATE: join(directory, 'state') };
  });

  afterEach(async () => {
    for (const qemu of started) await qemu.stop();
    await rm(directory, { recursive: true });
  });

  it('says which methods a QEMU offers, and why not the others', async () => {
    const [old, now] = [await start('old', { version: '7.2' }), await start('now')];
    const text = await run('methods', old.qmpSocket);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^postcopy .* offered$/m);
    assert.match(text.stdout, /^cpr-transfer .* not offered: .*old/m);
    const { methods } = documentOf(await run('methods', '--json', now.qmpSocket));
    const offered = (methods as { method: string; offered: boolean }[]).filter(
      (one) => one.offered,
    );
    assert.equal(offered.length, 8);
  });

  describe('with controls that are typed', () => {
    const slow = { guest: 'fast-dirtying' } as const;

    it('starts postcopy, after it refused what cannot be done', async () => {
      const [source, target] = await startPair(slow);
      const args = ['--method', 'postcopy', '--interactive', '--max-bandwidth', '30MiB/s'];
      const cli = await typing('migrate', '--json', ...args, source.qmpSocket, target.qmpSocket);
      await cli.saidOnStderr(/pass 1|MiB\/s/);
      cli.child.stdin?.write('nonsense\nrelease\nhelp\n');
      await cli.saidOnStderr(/yank: yank connections/);
      cli.child.stdin?.write('set max-bandwidth=0\npostcopy\n');
      // Nobody is there any more; the migration goes on.
      cli.child.stdin?.end();
      const end = await cli.ended;
      assert.equal(end.code, 0, end.stderr);
      assert.match(end.stderr, /"nonsense" is no control/);
      assert.match(end.stderr, /release: not done\..*The migration goes on/);
      assert.match(end.stderr, /postcopy: done/);
      assert.match(end.stderr, /the guest is on target/);
      const { method, owner } = documentOf(end);
      assert.deepEqual([method, owner], ['postcopy', 'target']);
      await target.waitForRounds(1);
    });

    it('says that it will not end, and what to type so that it does', async () => {
      const [source, target] = await startPair(slow);
      const cli = await typing(
        ...['migrate', '--interactive', '--max-bandwidth', '60MiB/s'],
        ...[source.qmpSocket, target.qmpSocket],
      );
      await cli.saidOnStderr(
        /It will not end like this[\s\S]*type: {2}set [^\n]*max-bandwidth[^\n]*\n/,
      );
      const typed = await firstLineToType(cli, /max-bandwidth/);
      cli.child.stdin?.write(`${typed}\nset downtime-limit=20s\n`);
      const end = await cli.ended;
      assert.equal(end.code, 0, end.stderr);
      await target.waitForRounds(1);
      const now = await source.probe('query-migrate-parameters');
      // Borrowed for this run.
      assert.equal((now as Record<string, unknown>)['downtime-limit'], 300);
    });

    it('holds the switchover until it is released', async () => {
      const [source, target] = await startPair();
      const both = [source.qmpSocket, target.qmpSocket];
      const alone = await run('migrate', '--hold-switchover', ...both);
      assert.equal(alone.code, 2, alone.stderr);
      assert.match(alone.stderr, /--interactive/);

      const cli = await typing('migrate', '--hold-switchover', '--interactive', ...both);
      await cli.saidOnStderr(/standing still before the switchover/);
      assert.equal(await target.guestStatus(), 'inmigrate');
      cli.child.stdin?.write('release\n');
      const end = await cli.ended;
      assert.equal(end.code, 0, end.stderr);
      await target.waitForRounds(1);
    });

    it('cancels by a word, and names the guest', async () => {
      const [source, target] = await startPair(slow);
      const cli = await typing(
        ...['migrate', '--interactive', '--max-bandwidth', '30MiB/s'],
        ...[source.qmpSocket, target.qmpSocket],
      );
      await cli.saidOnStderr(/MiB\/s/);
      cli.child.stdin?.write('cancel\n');
      const end = await cli.ended;
      assert.equal(end.code, 6, end.stderr);
      await source.waitForRounds(1);
    });
  });

  it('goes over TCP only with consent, and says where it listened', async () => {
    const [source, target] = await startPair();
    const args = ['--listen', '127.0.0.1:0', source.qmpSocket, target.qmpSocket];
    const refused = await run('migrate', ...args);
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stdout, /add --allow-plain-tcp/);
    assert.equal(await source.guestStatus(), 'running');
    const end = await run('migrate', '--allow-plain-tcp', ...args);
    assert.equal(end.code, 0, end.stderr);
    await target.waitForRounds(1);
  });

  it('updates a QEMU whose successor answers only later (cpr-transfer)', async () => {
    const pair = await startCprPair('11.1');
    try {
      const { source, target, cprSocket, registry } = pair;
      await source.waitForRounds(1);
      // The monitor has room for one.
      registry.dispose();
      const args = ['--method', 'cpr-transfer', '--cpr-socket', cprSocket];
      const end = await run('migrate', '--json', ...args, source.qmpSocket, target.qmpSocket);
      assert.equal(end.code, 0, end.stdout + end.stderr);
      const { owner, method } = documentOf(end);
      assert.deepEqual([owner, method], ['target', 'cpr-transfer']);
      const status = (await target.probe('query-status')) as { status: string };
      assert.equal(status.status, 'running');
    } finally {
      await pair.dispose();
    }
  });

  it('saves a guest, restores it, and quits what is not needed any more', async () => {
    const source = await start('source');
    await source.waitForRounds(1);
    const file = join(directory, 'web.saved');
    const saved = await run('migrate', '--method', 'save', '--file', file, source.qmpSocket);
    assert.equal(saved.code, 0, saved.stdout + saved.stderr);
    const kept = await run('continue', source.qmpSocket);
    assert.equal(kept.code, 4, kept.stdout);
    assert.match(kept.stderr, /web\.saved[\s\S]*--discard-saved/);

    const target = await start('target', { incoming: true });
    const restored = await run('migrate', '--method', 'restore', '--file', file, target.qmpSocket);
    assert.equal(restored.code, 0, restored.stdout + restored.stderr);
    await target.waitForRounds(1);
    const both = await run('continue', '--discard-saved', file, source.qmpSocket);
    assert.equal(both.code, 4, both.stdout);
    assert.match(both.stderr, /restored into target/);

    await rm(file);
    const quit = await run('quit', source.qmpSocket);
    assert.equal(quit.code, 0, quit.stderr);
    await source.exited;
    await target.waitForRounds(1);

    const listed = await run('runs');
    assert.match(listed.stdout, /save +source -> .*web\.saved +completed/);
    assert.match(listed.stdout, /restore +.*web\.saved -> target +completed/);
  });

  it('takes a saved guest back by removing its file', async () => {
    const source = await start('source');
    await source.waitForRounds(1);
    const file = join(directory, 'web.saved');
    const saved = await run('migrate', '--method', 'save', '--file', file, source.qmpSocket);
    assert.equal(saved.code, 0, saved.stdout + saved.stderr);
    const end = await run('continue', '--discard-saved', file, source.qmpSocket);
    assert.equal(end.code, 0, end.stderr);
    await source.waitForRounds(1);
  });

  it('continues and quits only what is proven, others of the host included', async () => {
    const [source, target] = await startPair();
    await source.probe('stop');
    const paused = await run('quit', source.qmpSocket);
    assert.equal(paused.code, 4, paused.stdout);
    const resumed = documentOf(await run('continue', '--json', source.qmpSocket));
    assert.deepEqual([resumed.exitCode, resumed['status']], [0, 'running']);

    const moved = await run('migrate', source.qmpSocket, target.qmpSocket);
    assert.equal(moved.code, 0, moved.stderr);
    const again = await run('continue', source.qmpSocket);
    assert.equal(again.code, 4, again.stdout);
    assert.match(again.stderr, /went to target[\s\S]*Never continue source/);
    const quit = await run('quit', '--json', source.qmpSocket);
    assert.equal(documentOf(quit)['quit'], true, quit.stdout);
    await source.exited;
    await target.waitForRounds(1);
  });

  it('looks for the same guest in QEMUs that nobody named', async () => {
    const uuid = '6f2d3c1e-8f0a-4d51-9b1e-2a4f3c5d6e7f';
    const source = await start('source', { uuid });
    await start('twin', { uuid });
    await source.probe('stop');
    const end = await run('continue', source.qmpSocket);
    assert.equal(end.code, 4, end.stdout);
    assert.match(end.stderr, /twin runs the same guest/);
    assert.equal(await source.guestStatus(), 'paused');
  });

  it('goes on in spite of what can be forced, and keeps the reason', async () => {
    const [source, target] = [
      await start('source', { extraArgs: ['-device', 'virtio-rng-pci,id=rng0,addr=0x8'] }),
      await start('target', { incoming: true }),
    ];
    await source.waitForRounds(1);
    const both = [source.qmpSocket, target.qmpSocket];
    const refused = await run('migrate', ...both);
    assert.equal(refused.code, 4, refused.stdout);
    assert.match(refused.stdout, /--force/);
    const reason = 'the guest has no driver for it';
    const forced = await run('migrate', '--json', '--force', reason, ...both);
    const { forceReason, exitCode } = documentOf(forced);
    // QEMU finds it late, and the guest goes on where it is.
    assert.deepEqual([exitCode, forceReason], [5, reason], forced.stdout);
    await source.waitForRounds(1);
    const listed = await run('runs');
    assert.match(listed.stdout, new RegExp(`was forced: ${reason}`));
  });

  it('replaces QEMU in its process, and executes nothing without consent (cpr-exec)', async () => {
    const place = await startInPlace();
    try {
      const { qemu, registry } = place;
      await qemu.waitForRounds(1);
      // The monitor has room for one.
      registry.dispose();
      const how = ['migrate', '--json', '--method', 'cpr-exec', qemu.qmpSocket];
      const refused = await run(...how);
      assert.equal(refused.code, 4, refused.stdout);
      assert.match(refused.stdout, /--allow-exec/);

      const nowhere = ['--exec-command', '--allow-exec', '--', '/nowhere/qemu', '--json'];
      const missing = await run(...how, ...nowhere);
      assert.equal(missing.code, 4, missing.stdout);
      assert.match(missing.stdout, /\/nowhere\/qemu/);

      const again = ['--exec-command', '--allow-exec', '--', ...qemu.commandLine];
      for (const args of [['--allow-exec'], again]) {
        const end = await run(...how, ...args);
        assert.equal(end.code, 0, end.stdout + end.stderr);
        assert.equal(documentOf(end)['owner'], 'target');
        await qemu.waitForRounds(1);
      }
      const quit = await run('quit', qemu.qmpSocket);
      assert.equal(quit.code, 4, quit.stdout);
      assert.match(quit.stderr, /guest of vm runs/);
    } finally {
      await place.dispose();
    }
  });
});

/** What the program said is to be typed. */
async function firstLineToType(cli: CliProcess, what: RegExp): Promise<string> {
  await cli.saidOnStderr(/type: {2}/);
  const found = cli
    .stderr()
    .split('\n')
    .map((line) => /type: {2}(.*)/.exec(line)?.[1])
    .find((line) => line !== undefined && what.test(line));
  assert.ok(found !== undefined, cli.stderr());
  return found;
}
