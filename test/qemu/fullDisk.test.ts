import assert from 'node:assert/strict';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { root } from '../../scripts/lib/paths';
import { provisionQemu, startQemu, type QemuProcess } from '../../scripts/lib/qemu';
import { run } from '../../scripts/lib/steps';
import { runCliProcess, startCli, type CliEnd } from '../support/cliProcess';

describe('a run whose journal is on a disk that is full', () => {
  let folder: ReturnType<typeof temporaryDirectory>;
  let disk: string;
  let started: QemuProcess[];

  beforeEach(async () => {
    folder = temporaryDirectory('full-disk');
    disk = join(folder.path, 'disk');
    started = [];
    await mkdir(disk, { recursive: true, mode: 0o700 });
    // Only root may; a disk that is merely said to be full is in the unit tests.
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'none', disk]);
  });

  afterEach(async () => {
    await Promise.all(started.map((qemu) => qemu.stop()));
    await run('umount', [disk]);
    await folder.remove();
  });

  const start = async (name: string, incoming: boolean): Promise<QemuProcess> => {
    const build = await provisionQemu('11.1');
    const directory = folder.path;
    const qemu = await startQemu({
      ...{ build, name, directory, incoming, memoryMiB: 128, guest: 'dirtying' },
    });
    started.push(qemu);
    return qemu;
  };
  const env = (): Record<string, string> => ({
    QEMU_MIGRATION_STATE: join(disk, 'state'),
    QEMU_MIGRATION_HELPER: join(root, `native/fdpass/build/linux-${process.arch}/fdpass`),
  });
  const cli = (...args: string[]): Promise<CliEnd> => runCliProcess(args, { env: env() });
  const filler = (): string => join(disk, 'filler');
  const fill = async (): Promise<void> => {
    await assert.rejects(writeFile(filler(), Buffer.alloc(128 * 1024)), /ENOSPC/);
    assert.ok((await stat(filler())).size > 0);
  };

  it('goes on, says that the journal is not whole, and is told apart when there is room again', async () => {
    const source = await start('source', false);
    const target = await start('target', true);
    await source.waitForRounds(1);
    // The kernel gives room by pages of 4 KiB: the journal is to be near the end of its first.
    const force = ['--force', 'x'.repeat(2150)];
    const slowly = ['--max-bandwidth', '500KiB/s'];
    const args = ['migrate', ...force, ...slowly, source.qmpSocket, target.qmpSocket];
    const migration = await startCli(args, { env: env() });
    await migration.saidOnStderr(/pass 1/);
    await fill();
    await source.probe('migrate-set-parameters', { 'max-bandwidth': 0 });
    const end = await migration.ended;
    assert.equal(end.code, 0, end.stdout + end.stderr);
    assert.match(end.stdout, /runs on target/);
    assert.match(end.stdout, /journal of this run .* is incomplete: .*no space left/i);
    assert.equal(await target.guestStatus(), 'running');
    await target.waitForRounds(1);
    await rm(filler());
    assert.match((await cli('runs')).stdout, /unfinished/);
    const again = await cli('resume', '--all');
    assert.equal(again.code, 0, again.stdout + again.stderr);
    assert.match(again.stdout, /runs on target/);
    assert.match((await cli('runs', '--unfinished')).stdout, /No migration is unfinished/);
  });

  it('is not begun where the journal cannot be, and nothing is sent', async () => {
    const source = await start('source', false);
    const target = await start('target', true);
    await source.waitForRounds(1);
    const before = await source.probe('query-migrate-capabilities');
    await fill();
    const end = await cli('migrate', source.qmpSocket, target.qmpSocket);
    assert.notEqual(end.code, 0, end.stdout + end.stderr);
    assert.match(end.stdout + end.stderr, /no space left/i);
    assert.deepEqual(await source.probe('query-migrate'), {});
    assert.deepEqual(await source.probe('query-migrate-capabilities'), before);
    assert.equal(await source.guestStatus(), 'running');
    await rm(filler());
    // What could not be written whole stays no obstacle.
    const left = await readdir(join(disk, 'state', 'locks')).catch(() => []);
    assert.deepEqual(left, []);
    const again = await cli('migrate', source.qmpSocket, target.qmpSocket);
    assert.equal(again.code, 0, again.stdout + again.stderr);
    assert.equal(await target.guestStatus(), 'running');
  });
});
