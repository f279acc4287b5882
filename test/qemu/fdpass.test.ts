import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  type QemuOptions,
  type QemuProcess,
} from '../../scripts/lib/qemu';
import { root } from '../../scripts/lib/paths';
import { FdPassError, FdPassHelper } from '../../src/fdpass/helper';
import { QmpConnection } from '../../src/qmp/connection';

const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
const program = join(root, `native/fdpass/build/linux-${arch}/fdpass`);
const helper = new FdPassHelper(program);

/** What a QEMU holds of this kind, as /proc/PID/fd says it. */
async function descriptorsOf(qemu: QemuProcess, kind: string): Promise<number> {
  const directory = `/proc/${qemu.pid}/fd`;
  const links = await Promise.all(
    (await readdir(directory)).map((fd) => readlink(join(directory, fd)).catch(() => '')),
  );
  return links.filter((link) => link.startsWith(kind)).length;
}

function ownDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

async function waitForMigration(connection: QmpConnection): Promise<void> {
  for (;;) {
    const info = (await connection.execute('query-migrate')) as { status?: string };
    if (info.status === 'completed') return;
    assert.notEqual(info.status, 'failed');
    await sleep(20);
  }
}

for (const version of qemuVersions) {
  describe(`descriptors for QEMU ${version}`, () => {
    let directory: string;
    let source: QemuProcess;
    let target: QemuProcess;
    let a: QmpConnection;
    let b: QmpConnection;

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'qm-'));
      const build = await provisionQemu(version);
      const common: Omit<QemuOptions, 'name'> = { build, directory, memoryMiB: 64 };
      [source, target] = await Promise.all([
        startQemu({ ...common, name: 'a', guest: 'dirtying' }),
        startQemu({ ...common, name: 'b', guest: 'dirtying', incoming: true }),
      ]);
      [a, b] = (await Promise.all(
        [source, target].map(({ qmpSocket }) => QmpConnection.connect(qmpSocket)),
      )) as [QmpConnection, QmpConnection];
    });

    afterEach(async () => {
      a.close();
      b.close();
      await Promise.all([source.stop(), target.stop()]);
      await rm(directory, { recursive: true });
    });

    function pair(fdname = 'm', timeoutMs = 5000): Promise<void> {
      const sides = [a, b].map((connection) => ({ connection, fdname }));
      return helper.pair(sides[0]!, sides[1]!, { timeoutMs });
    }

    it('a migration completes over a pair', async () => {
      await pair();
      await b.execute('migrate-incoming', { uri: 'fd:m' });
      await a.execute('migrate', { uri: 'fd:m' });
      await waitForMigration(a);
      // Without a return path the source is done some ms before the target, and before its run state.
      for (let waits = 0; (await target.guestStatus()) !== 'running'; waits++) {
        assert.ok(waits < 500, 'the target never ran');
        await sleep(10);
      }
      assert.equal(await source.guestStatus(), 'postmigrate');
    });

    it('after 100 pairs the connections work and nobody holds more than before', async () => {
      await pair();
      await Promise.all([a, b].map((c) => c.execute('closefd', { fdname: 'm' })));
      const before = [
        ownDescriptors(),
        await descriptorsOf(source, 'socket:'),
        await descriptorsOf(target, 'socket:'),
      ];
      const started = performance.now();
      // A known name is replaced, and its old descriptor closed.
      for (let round = 0; round < 100; round++) await pair();
      const perPairMs = (performance.now() - started) / 100;
      await Promise.all([a, b].map((c) => c.execute('closefd', { fdname: 'm' })));
      assert.deepEqual(
        [
          ownDescriptors(),
          await descriptorsOf(source, 'socket:'),
          await descriptorsOf(target, 'socket:'),
        ],
        before,
      );
      if (process.env['FDPASS_TIMES'] !== undefined) {
        process.stdout.write(`      ${perPairMs.toFixed(2)} ms a pair\n`);
      }
    });

    it('many at once on one connection each get their own', async () => {
      const files = ['/dev/null', '/dev/zero', '/dev/full', '/dev/urandom'];
      const opened = files.map((file) => openSync(file, 'r'));
      try {
        await Promise.all(
          opened.map((fd, index) =>
            helper.sendDescriptor(
              a,
              { command: 'add-fd', fdsetId: index, opaque: files[index]! },
              fd,
            ),
          ),
        );
        const sets = (await a.execute('query-fdsets')) as unknown as {
          'fdset-id': number;
          fds: { fd: number; opaque: string }[];
        }[];
        assert.equal(sets.length, files.length);
        for (const { fds } of sets) {
          assert.equal(fds.length, 1);
          assert.equal(await readlink(`/proc/${source.pid}/fd/${fds[0]!.fd}`), fds[0]!.opaque);
        }
      } finally {
        for (const fd of opened) closeSync(fd);
      }
    });

    it('a QEMU refuses the name: the other keeps none', async () => {
      const before = await descriptorsOf(source, 'socket:');
      await assert.rejects(
        helper.pair({ connection: a, fdname: 'good' }, { connection: b, fdname: '1bad' }),
        (error) => error instanceof FdPassError && error.reason === 'refused',
      );
      assert.equal(await descriptorsOf(source, 'socket:'), before);
      await pair();
    });

    it('a stopped QEMU, its socket full: nothing was sent, and all goes on when it does', async () => {
      const before = await descriptorsOf(source, 'socket:');
      target.kill('SIGSTOP');
      const junk = { dummy: 'x'.repeat(2000) };
      const pending = Array.from({ length: 120 }, () =>
        b.execute('query-status', junk).catch((error: unknown) => error),
      );
      const started = performance.now();
      await assert.rejects(
        pair('m', 700),
        (error) => error instanceof FdPassError && error.reason === 'timeout',
      );
      assert.ok(performance.now() - started < 2500);
      assert.equal(await descriptorsOf(source, 'socket:'), before);
      target.kill('SIGCONT');
      await Promise.all(pending);
      await pair();
    });

    it('a stopped QEMU takes the command late: its name is taken back', async () => {
      target.kill('SIGSTOP');
      await assert.rejects(
        pair('m', 500),
        (error) => error instanceof FdPassError && error.reason === 'timeout',
      );
      target.kill('SIGCONT');
      await b.execute('query-status');
      // Gone on both sides, that is: closed already.
      await assert.rejects(a.execute('closefd', { fdname: 'm' }), /not.*found/);
      await assert.rejects(b.execute('closefd', { fdname: 'm' }), /not.*found/);
    });

    it('a QEMU that was killed: the other keeps none, and works', async () => {
      const before = await descriptorsOf(source, 'socket:');
      target.kill('SIGKILL');
      await assert.rejects(pair(), FdPassError);
      assert.equal(await descriptorsOf(source, 'socket:'), before);
      await a.execute('query-status');
    });

    it('the helper killed by a stranger: both connections are given up, both QEMUs live', async () => {
      target.kill('SIGSTOP');
      const path = join(directory, 'killed');
      await writeFile(path, `#!/bin/sh\n"${program}" "$@" >/dev/null\nkill -9 $$\n`, {
        mode: 0o700,
      });
      const sides = [a, b].map((connection) => ({ connection, fdname: 'm' }));
      await assert.rejects(
        new FdPassHelper(path).pair(sides[0]!, sides[1]!),
        (error) => error instanceof FdPassError && error.reason === 'crashed',
      );
      await Promise.all([a.closed, b.closed]);
      target.kill('SIGCONT');
      a = await QmpConnection.connect(source.qmpSocket);
      b = await QmpConnection.connect(target.qmpSocket);
      await pair();
    });
  });
}

describe('TAP queues for a QEMU', () => {
  it('are opened in the namespace of the caller and work as a netdev', async () => {
    // unshare: a namespace of its own, in which this file's other half runs.
    const child = spawn(
      'unshare',
      ['-n', process.execPath, '--import', 'tsx', join(root, 'test/support/tapInNamespace.ts')],
      { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
    );
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0);
  });
});
