import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Probe } from '../../scripts/lib/probe';
import { root } from '../../scripts/lib/paths';
import {
  provisionQemu,
  startQemu,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import type { LiveUpdatePlan } from '../../src/migration/liveUpdate/types';
import { cliBundle, runCliProcess, startCli, type CliEnd } from '../support/cliProcess';

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

describe('live updates of real QEMUs from the command line', function () {
  this.timeout(180_000);

  let directory: string;
  let started: QemuProcess[];
  /** QEMUs that the program has started. */
  let heirs: number[];
  let env: Record<string, string>;

  const start = async (
    name: string,
    options: Partial<QemuOptions> & { readonly version?: QemuVersionName } = {},
  ): Promise<QemuProcess> => {
    const { version = '11.1', ...rest } = options;
    const build = await provisionQemu(version);
    const qemu = await startQemu({ build, name, directory, guest: 'dirtying', ...rest });
    started.push(qemu);
    await qemu.waitForRounds(1);
    return qemu;
  };
  const run = (...args: readonly string[]): Promise<CliEnd> => runCliProcess(args, { env });
  const statusOf = async (path: string): Promise<string> => {
    const probe = new Probe(path);
    try {
      return ((await probe.execute('query-status')) as { status: string }).status;
    } finally {
      probe.close();
    }
  };
  /** Remembers what the program started, to end it. */
  const ended = (document: Record<string, unknown>): void => {
    if (typeof document['targetPid'] === 'number') heirs.push(document['targetPid']);
  };

  before(async () => {
    await cliBundle();
  });

  beforeEach(async () => {
    started = [];
    heirs = [];
    directory = await mkdtemp(join(tmpdir(), 'qm-'));
    env = { QEMU_MIGRATION_HELPER: helper, QEMU_MIGRATION_STATE: join(directory, 'state') };
  });

  afterEach(async () => {
    for (const pid of heirs) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    for (const qemu of started) await qemu.stop();
    await rm(directory, { recursive: true });
  });

  it('plans without touching anything: document, script, arguments, JSON', async () => {
    const qemu = await start('web-1');
    const before = await readdir(directory);
    const { binary } = qemu.build;
    const dry = await run('live-update', qemu.qmpSocket, '--qemu', binary, '--dry-run');
    assert.equal(dry.code, 0, `${dry.stdout}${dry.stderr}`);
    assert.match(dry.stdout, /web-1/);
    assert.match(dry.stdout, /migrate-incoming/);
    const script = await run('live-update', qemu.qmpSocket, '--qemu', binary, '--script');
    assert.equal(script.code, 0, script.stderr);
    assert.match(script.stdout, /^#!/);
    const args = await run('live-update', qemu.qmpSocket, '--qemu', binary, '--print-args');
    assert.match(args.stdout, /^-incoming defer$/m);
    const document = documentOf(
      await run('live-update', qemu.qmpSocket, '--qemu', binary, '--dry-run', '--json'),
    );
    const plan = document['plan'] as LiveUpdatePlan;
    assert.equal(plan.sourceVersion, plan.targetVersion);
    assert.equal(plan.request.machine, qemu.qmpSocket);
    assert.deepEqual(await readdir(directory), before);
    assert.equal(await qemu.guestStatus(), 'running');
  });

  it('updates, tells the pause and the descriptors, and the old path answers', async () => {
    const qemu = await start('web-1');
    const document = documentOf(
      await run('live-update', qemu.qmpSocket, '--qemu', qemu.build.binary, '--json'),
    );
    ended(document);
    assert.deepEqual(
      [document.exitCode, document['outcome']],
      [0, 'updated'],
      String(document['headline']),
    );
    const times = document['times'] as Record<string, number>;
    assert.ok((times['downtimeMs'] ?? -1) >= 0);
    assert.ok((times['blackoutMs'] ?? -1) >= 0);
    assert.deepEqual(document['leftovers'], []);
    await qemu.exited;
    assert.equal(await statusOf(qemu.qmpSocket), 'running');
    const runs = await run('runs');
    assert.match(runs.stdout, /live update/);
  });

  it('takes edited arguments, and says before anything begins what is wrong with them', async () => {
    const qemu = await start('web-1');
    const { binary } = qemu.build;
    const args = await run('live-update', qemu.qmpSocket, '--qemu', binary, '--print-args');
    const file = join(directory, 'args');
    await writeFile(file, args.stdout.replace('-incoming defer\n', ''));
    const wrong = await run('live-update', qemu.qmpSocket, '--qemu', binary, '--args', file);
    assert.equal(wrong.code, 4, wrong.stdout);
    assert.match(wrong.stderr, /-incoming/);
    await writeFile(file, `${args.stdout}-no-such-option\n`);
    const unknown = await run('live-update', qemu.qmpSocket, '--qemu', binary, '--args', file);
    assert.equal(unknown.code, 4, unknown.stdout);
    assert.match(unknown.stderr, /no-such-option/);
    assert.equal(await qemu.guestStatus(), 'running');
  });

  it('refuses when the guest writes to another image than it was started with', async () => {
    const qemu = await start('web-1');
    const disks = (await qemu.probe('query-block')) as { device: string; inserted?: object }[];
    const device = disks.find(({ inserted }) => inserted !== undefined)?.device;
    const snapshot = join(directory, 'snap.qcow2');
    await qemu.probe('blockdev-snapshot-sync', {
      ...{ device, 'snapshot-file': snapshot, format: 'qcow2' },
    });
    const refused = await run('live-update', qemu.qmpSocket, '--qemu', qemu.build.binary);
    assert.equal(refused.code, 4, refused.stdout);
    assert.match(refused.stderr, /uses \S*snap\.qcow2, which is not in the command line/);
    assert.equal(await qemu.guestStatus(), 'running');
  });

  it('refuses a program that is no QEMU, and one that is not there', async () => {
    const qemu = await start('web-1');
    const none = await run('live-update', qemu.qmpSocket, '--qemu', '/nowhere/qemu');
    assert.equal(none.code, 4);
    assert.match(none.stderr, /There is no program at \/nowhere\/qemu/);
    const shell = await run('live-update', qemu.qmpSocket, '--qemu', '/bin/sh', '--json');
    assert.equal(documentOf(shell).exitCode, 4);
    assert.equal(await qemu.guestStatus(), 'running');
  });

  it('cancels at Ctrl+C: the guest stays, and nothing is left behind', async () => {
    const qemu = await start('web-1', { guest: 'fast-dirtying' });
    const before = (await readdir(directory)).filter((name) => name !== 'state');
    const cli = await startCli(
      [
        ...['live-update', qemu.qmpSocket, '--qemu', qemu.build.binary, '--json'],
        ...['--method', 'plain', '--max-bandwidth', '10MiB/s'],
      ],
      { env },
    );
    await cli.saidOnStderr(/pass|MiB\/s|transferring/);
    cli.child.kill('SIGINT');
    const end = await cli.ended;
    const document = documentOf(end);
    assert.deepEqual([document.exitCode, document['outcome']], [6, 'cancelled'], end.stderr);
    assert.deepEqual(document['leftovers'], []);
    assert.equal(await qemu.guestStatus(), 'running');
    const after = (await readdir(directory)).filter((name) => name !== 'state');
    assert.deepEqual(after, before);
    assert.ok(existsSync(qemu.qmpSocket));
  });

  it('updates two machines, the first one alone, and stops where a pause is too long', async () => {
    const [one, two] = [await start('web-1'), await start('web-2')];
    const { binary } = one.build;
    const both = [one.qmpSocket, two.qmpSocket, '--qemu', binary, '--json'];
    const strict = documentOf(await run('live-update', ...both, '--canary-limit', '0'));
    const ends = strict['machines'] as Record<string, unknown>[];
    ends.forEach(ended);
    assert.equal(strict.exitCode, 10, JSON.stringify(strict));
    assert.deepEqual(
      ends.map(({ outcome }) => outcome),
      ['updated', 'not-begun'],
    );
    assert.equal(await two.guestStatus(), 'running');
    const all = documentOf(await run('live-update', ...both, '--canary-limit', '60s'));
    assert.ok('machines' in all, JSON.stringify(all));
    (all['machines'] as Record<string, unknown>[]).forEach(ended);
    assert.equal(all.exitCode, 0, JSON.stringify(all));
    assert.equal(await statusOf(one.qmpSocket), 'running');
    assert.equal(await statusOf(two.qmpSocket), 'running');
  });
});
