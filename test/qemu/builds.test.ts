import { strict as assert } from 'node:assert';
import { readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  verifyGuestMemory,
  type QemuProcess,
} from '../../scripts/lib/qemu';

describe('the QEMUs that tests run', () => {
  let temporary: ReturnType<typeof temporaryDirectory>;
  let directory: string;

  beforeEach(() => {
    temporary = temporaryDirectory('builds');
    directory = temporary.path;
  });

  afterEach(async () => {
    await temporary.remove();
  });

  for (const version of qemuVersions) {
    it(`${version} boots the guest, counts, and leaves nothing when stopped`, async () => {
      const build = await provisionQemu(version);
      assert.ok(build.version.startsWith(`${version}.`));
      const qemu = await startQemu({ build, name: 'vm', directory, guest: 'dirtying' });
      try {
        assert.equal(await readlink(`/proc/${qemu.pid}/exe`), build.binary);
        assert.equal(await qemu.guestStatus(), 'running');
        await qemu.waitForRounds(3);
        assert.equal((await verifyGuestMemory(qemu)).pages, 2048);
      } finally {
        await qemu.stop();
      }
      assert.equal((await qemu.exited).signal, 'SIGKILL');
      assert.throws(() => process.kill(qemu.pid, 0), { code: 'ESRCH' });
      assert.deepEqual(await readdir(directory), []);
    });
  }

  it('a target started the same way takes the guest over', async () => {
    const build = await provisionQemu('11.1');
    const started: QemuProcess[] = [];
    try {
      const common = { build, directory, guest: 'dirtying' } as const;
      const source = await startQemu({ ...common, name: 'source' });
      started.push(source);
      const target = await startQemu({ ...common, name: 'target', incoming: true });
      started.push(target);
      await source.waitForRounds(2);
      const rounds = await source.guestWord(0x600);
      const uri = `unix:${join(directory, 'migration')}`;
      await target.probe('migrate-incoming', { uri });
      await source.probe('migrate', { uri });
      while ((await target.guestStatus()) === 'inmigrate') await new Promise(setImmediate);
      await target.waitForRounds(2);
      assert.equal(await source.guestStatus(), 'postmigrate');
      assert.ok((await verifyGuestMemory(target)).rounds > rounds);
    } finally {
      for (const qemu of started) await qemu.stop();
    }
    await rm(join(directory, 'migration'), { force: true });
  });

  it('says why a QEMU does not come up', async () => {
    const build = await provisionQemu('11.1');
    const started = startQemu({ build, name: 'vm', directory, extraArgs: ['-device', 'no-such'] });
    await assert.rejects(started, /vm did not come up: [^]*no-such/);
  });
});
