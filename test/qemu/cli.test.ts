import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../../scripts/lib/paths';
import { Probe } from '../../scripts/lib/probe';
import {
  provisionQemu,
  startQemu,
  verifyGuestMemory,
  type QemuBuild,
  type QemuOptions,
  type QemuProcess,
} from '../../scripts/lib/qemu';
import { cliBundle, runCliProcess, startCli, type CliEnd } from '../support/cliProcess';

const env = {
  QEMU_MIGRATION_HELPER: join(root, `native/fdpass/build/linux-${process.arch}/fdpass`),
};

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

describe('the command-line program', () => {
  let build: QemuBuild;
  let directory: string;
  let started: QemuProcess[];

  const start = async (name: string, options: Partial<QemuOptions> = {}): Promise<QemuProcess> => {
    const qemu = await startQemu({ build, name, directory, memoryMiB: 128, ...options });
    started.push(qemu);
    return qemu;
  };
  const startPair = async (): Promise<[source: QemuProcess, target: QemuProcess]> => {
    const source = await start('source', { guest: 'dirtying' });
    const target = await start('target', { guest: 'dirtying', incoming: true });
    await source.waitForRounds(1);
    return [source, target];
  };

  before(async function () {
    this.timeout(300_000);
    build = await provisionQemu('11.1');
    await cliBundle();
  });

  beforeEach(async () => {
    started = [];
    directory = await mkdtemp(join(tmpdir(), 'qm-'));
  });

  afterEach(async () => {
    for (const qemu of started) await qemu.stop();
    await rm(directory, { recursive: true });
  });

  it('lists QEMUs without touching their monitors, and asks them with --connect', async () => {
    const name = `listed-${process.pid}`;
    const qemu = await start(name);
    const holder = new Probe(qemu.qmpSocket);
    await holder.execute('query-status');
    const find = (end: CliEnd): Record<string, unknown> | undefined =>
      (documentOf(end)['qemus'] as Record<string, unknown>[]).find(({ pid }) => pid === qemu.pid);
    const quiet = await runCliProcess(['list', '--json']);
    assert.equal(quiet.code, 0);
    assert.deepEqual(
      [find(quiet)?.['name'], find(quiet)?.['status'], find(quiet)?.['sockets']],
      [name, undefined, [qemu.qmpSocket, qemu.probeSocket]],
    );
    // Nobody else queued up at the monitor meanwhile.
    await holder.execute('query-status');
    holder.close();
    // By its name: other QEMUs on this host are left alone.
    const asked = await runCliProcess(['list', '--connect', '--json', '--name', name]);
    assert.equal(find(asked)?.['status'], 'running');
    const text = await runCliProcess(['list']);
    assert.match(text.stdout, new RegExp(`${name} +${qemu.pid} +- +${qemu.qmpSocket}`));
  });

  it('shows what QEMU says', async () => {
    const qemu = await start('shown');
    const document = documentOf(await runCliProcess(['show', '--json', qemu.qmpSocket]));
    assert.deepEqual(
      [document['name'], document['status'], document['pid'], document['machineType']],
      ['shown', 'running', qemu.pid, build.machine],
    );
    const parameters = await qemu.probe('query-migrate-parameters');
    assert.deepEqual(document['parameters'], parameters);
    const text = await runCliProcess(['show', 'shown.qmp'], { cwd: directory });
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /max-bandwidth +128 MiB\/s/);
    assert.ok(text.stdout.includes(build.version));
  });

  it('sets parameters and capabilities, and passes on what QEMU refuses', async () => {
    const qemu = await start('set');
    const rate = await runCliProcess(['set', qemu.qmpSocket, 'max-bandwidth', '1.5 GiB/s']);
    assert.equal(rate.stdout, 'max-bandwidth is 1.5 GiB/s (was 128 MiB/s).\n', rate.stderr);
    const parameters = (await qemu.probe('query-migrate-parameters')) as Record<string, unknown>;
    assert.equal(parameters['max-bandwidth'], 1.5 * 2 ** 30);
    assert.equal((await runCliProcess(['set', qemu.qmpSocket, 'auto-converge', 'on'])).code, 0);
    const capabilities = await qemu.probe('query-migrate-capabilities');
    assert.ok(JSON.stringify(capabilities).includes('{"state":true,"capability":"auto-converge"}'));
    // It wants a dirty ring, of which QMP does not tell: only QEMU can know.
    const refused = await runCliProcess(['set', qemu.qmpSocket, 'dirty-limit', 'on']);
    assert.equal(refused.code, 4, refused.stdout);
    assert.match(refused.stderr, /The QEMU of set refused the change: dirty-limit.*\n.*as it was/);
  });

  it('says that this QEMU has no backend transfer', async () => {
    const qemu = await start('plain');
    const end = await runCliProcess(['backend-transfer', qemu.qmpSocket, 'on']);
    assert.equal(end.code, 4);
    assert.equal(end.stdout, '');
    assert.notEqual(end.stderr, '');
  });

  for (const transport of ['fd', 'unix']) {
    it(`migrates by ${transport}; the guest goes on at the target`, async () => {
      const [source, target] = await startPair();
      const end = await runCliProcess(
        [
          ...['migrate', '--json', '--transport', transport, '--max-bandwidth', 'unlimited'],
          ...[source.qmpSocket, target.qmpSocket],
        ],
        { env },
      );
      const document = documentOf(end);
      assert.equal(end.code, 0, end.stdout + end.stderr);
      assert.deepEqual(
        [document['outcome'], document['owner'], document['guestRunning'], document['transport']],
        ['completed', 'target', true, transport],
      );
      assert.equal(await source.guestStatus(), 'postmigrate');
      assert.equal(await target.guestStatus(), 'running');
      await target.waitForRounds(2);
      await verifyGuestMemory(target);
    });
  }

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`cancels on ${signal}; the guest runs on at the source`, async () => {
      const [source, target] = await startPair();
      const args = ['migrate', '--max-bandwidth', '500KiB/s', source.qmpSocket, target.qmpSocket];
      const cli = await startCli([...args, '--json'], { env });
      await cli.saidOnStderr(/pass 1/);
      cli.child.kill(signal);
      const end = await cli.ended;
      assert.equal(end.code, 6, end.stdout + end.stderr);
      assert.match(end.stderr, /^Cancelling/m);
      const document = documentOf(end);
      assert.deepEqual([document['outcome'], document['owner']], ['cancelled', 'source']);
      assert.equal(await source.guestStatus(), 'running');
      await source.waitForRounds(2);
      await verifyGuestMemory(source);
      const parameters = await source.probe('query-migrate-parameters');
      assert.equal((parameters as Record<string, unknown>)['max-bandwidth'], 2 ** 27);
    });
  }

  it('stops watching at the second SIGINT and says what to look at', async () => {
    const [source, target] = await startPair();
    const args = ['migrate', '--max-bandwidth', '500KiB/s', source.qmpSocket, target.qmpSocket];
    const cli = await startCli(args, { env });
    await cli.saidOnStderr(/pass 1/);
    // A source that answers nobody: the cancel cannot be confirmed.
    source.kill('SIGSTOP');
    cli.child.kill('SIGINT');
    await cli.saidOnStderr(/^Cancelling/m);
    await sleep(300);
    assert.equal(cli.child.exitCode, null);
    cli.child.kill('SIGINT');
    const end = await cli.ended;
    source.kill('SIGCONT');
    assert.equal(end.code, 8, end.stdout + end.stderr);
    assert.match(end.stdout, /Stopped watching/);
    assert.ok(end.stdout.includes(`qemu-migration show ${source.qmpSocket}`));
    await source.waitForRounds(1);
  });

  it('refuses a target that does not wait for a guest; nothing is changed', async () => {
    const source = await start('source', { guest: 'dirtying' });
    const target = await start('target', { guest: 'dirtying' });
    const args = ['migrate', '--json', source.qmpSocket, target.qmpSocket];
    const end = await runCliProcess(args, { env });
    assert.equal(end.code, 4, end.stdout + end.stderr);
    assert.equal(documentOf(end)['outcome'], 'refused');
    for (const qemu of [source, target]) {
      assert.equal(await qemu.guestStatus(), 'running');
      assert.deepEqual(await qemu.probe('query-migrate'), {});
    }
  });

  it('refuses to migrate a QEMU to itself, by whatever path', async () => {
    const second = join(directory, 'second.qmp');
    const extraArgs = ['-qmp', `unix:${second},server=on,wait=off`];
    const source = await start('source', { extraArgs });
    const same = await runCliProcess(['migrate', source.qmpSocket, source.qmpSocket], { env });
    assert.equal(same.code, 2);
    const other = await runCliProcess(['migrate', source.qmpSocket, second], { env });
    assert.equal(other.code, 4, other.stdout + other.stderr);
    assert.deepEqual(await source.probe('query-migrate'), {});
    assert.equal(await source.guestStatus(), 'running');
  });

  it('tells when another client holds the monitor', async () => {
    const qemu = await start('held');
    const holder = new Probe(qemu.qmpSocket);
    await holder.execute('query-status');
    const end = await runCliProcess(['show', qemu.qmpSocket]);
    holder.close();
    assert.equal(end.code, 3, end.stdout);
    assert.match(end.stderr, /monitor|client/i);
  });
});
