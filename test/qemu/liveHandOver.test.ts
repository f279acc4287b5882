import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../../scripts/lib/paths';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  type QemuBuild,
  type QemuProcess,
} from '../../scripts/lib/qemu';
import { FdPassError, FdPassHelper } from '../../src/fdpass/helper';
import { QmpConnection } from '../../src/qmp/connection';
import { launchLike, type LaunchedQemu, type LaunchLikeOptions } from '../../src/vm/launch';
import { Machine } from '../../src/vm/machine';
import { findPeer } from '../../src/vm/peer';
import { isAlive, readProcess } from '../../src/vm/process';

const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
const helperPath = join(root, `native/fdpass/build/linux-${arch}/fdpass`);
const helper = new FdPassHelper(helperPath);

/** A QEMU without devices; `qmp` is its monitor. */
function bareArgs(build: QemuBuild, qmp: string): string[] {
  return [
    ...build.prefixArgs,
    ...['-M', build.machine, '-accel', 'tcg', '-m', '64', '-nodefaults', '-display', 'none'],
    ...['-qmp', `unix:${qmp},server=on,wait=off`, '-incoming', 'defer'],
  ];
}

async function connect(path: string): Promise<QmpConnection> {
  for (let tries = 0; ; tries++) {
    try {
      return await QmpConnection.connect(path);
    } catch (error) {
      if (tries === 400) throw error;
      await sleep(25);
    }
  }
}

/** What has to be alike, as /proc tells it of both. */
async function surroundings(pid: number): Promise<Record<string, unknown>> {
  const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'utf8');
  const kinds = ['user', 'mnt', 'net', 'uts', 'ipc', 'pid', 'cgroup'];
  const status = (await read('status')).split('\n');
  return {
    namespaces: await Promise.all(kinds.map((kind) => readlink(`/proc/${pid}/ns/${kind}`))),
    cgroup: await read('cgroup'),
    limits: await read('limits'),
    oomScore: await read('oom_score_adj'),
    environment: (await read('environ')).split('\0').sort(),
    root: await readlink(`/proc/${pid}/root`),
    cwd: await readlink(`/proc/${pid}/cwd`),
    status: status.filter((line) =>
      /^(Umask|Uid|Gid|Groups|Cap\w+|NoNewPrivs|SigBlk|Cpus_allowed):/.test(line),
    ),
    // After the name in parentheses: priority and nice.
    nice: (await read('stat'))
      .replace(/^.*\) /s, '')
      .split(' ')
      .slice(15, 17),
  };
}

/** A control group of version 2 of our own. */
async function makeCgroup(): Promise<string> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const line = mounts.split('\n').find((each) => each.includes(' - cgroup2 '));
  const own = (await readFile('/proc/self/cgroup', 'utf8')).match(/^0::(.*)$/m)?.[1];
  assert.ok(line !== undefined && own !== undefined, 'needs control groups of version 2');
  const group = join(line.split(' ')[4]!, own, `qm-test-${process.pid}`);
  await mkdir(group);
  return group;
}

for (const version of qemuVersions) {
  describe(`a second QEMU beside QEMU ${version}`, () => {
    let directory: string;
    let build: QemuBuild;
    let source: QemuProcess;
    let launched: LaunchedQemu | undefined;

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'qm-'));
      build = await provisionQemu(version);
    });

    afterEach(async () => {
      await launched?.kill();
      launched = undefined;
      await source.stop();
      await rm(directory, { recursive: true });
    });

    it('is told from the first one when its socket gets the name of the first', async () => {
      source = await startQemu({ build, directory, name: 'old' });
      const first = (await readProcess(source.pid))!;
      const old = await QmpConnection.connect(source.qmpSocket);
      const before = await findPeer(old, helper);
      assert.deepEqual(
        [before.process?.pid, before.by, before.disagrees, before.listener?.pid],
        [source.pid, 'socket', false, source.pid],
      );
      assert.equal(before.credentials?.startTicks, first.startTicks);
      assert.equal(before.credentials.uid, process.getuid?.());
      old.close();

      const qmp = join(directory, 'new.qmp');
      launched = await launchLike(first, {
        ...{ helperPath, program: build.binary, args: bareArgs(build, qmp) },
        logFile: join(directory, 'new.log'),
      });
      (await connect(qmp)).close();
      await rename(qmp, source.qmpSocket);
      const machine = new Machine({
        ...{ socketPath: source.qmpSocket, origin: 'setting', devicePermissions: [] },
        ...{ autoReconnect: false, findHelper: () => Promise.resolve(helper) },
      });
      try {
        await machine.connect();
        assert.equal((await machine.identify())?.pid, launched.process.pid);
        assert.equal((await machine.identify())?.startTicks, launched.process.startTicks);
        // By the path alone it would still be the first one, which lives on.
        const found = await findPeer(machine.connection(), helper);
        assert.deepEqual(
          [found.process?.pid, found.listener?.pid, found.disagrees],
          [launched.process.pid, source.pid, true],
        );
        const blind = await findPeer(machine.connection(), undefined);
        assert.deepEqual([blind.process?.pid, blind.by], [source.pid, 'path']);
      } finally {
        machine.dispose();
      }
    });

    it('lives in the same surroundings: user, groups, namespaces, control group, limits', async () => {
      const group = await makeCgroup();
      try {
        // The first one is another user's, in a network namespace of its own.
        const wrapper = join(directory, 'wrapped');
        const become = 'setpriv --reuid=4242 --regid=4243 --groups=4243,4250 --no-new-privs';
        await writeFile(
          wrapper,
          `#!/bin/sh\numask 027; ulimit -n 512; cd /usr\nexport QM_MARK=here\n` +
            `exec unshare -n -u -i nice -n 3 ${become} ${build.binary} "$@"\n`,
          { mode: 0o755 },
        );
        await chmod(directory, 0o777);
        const disguised = { ...build, binary: wrapper };
        source = await startQemu({ build: disguised, directory, name: 'old' });
        await writeFile(join(group, 'cgroup.procs'), String(source.pid));
        await writeFile(`/proc/${source.pid}/oom_score_adj`, '123');
        const first = (await readProcess(source.pid))!;
        const qmp = join(directory, 'new.qmp');
        const logFile = join(directory, 'new.log');
        launched = await launchLike(first, {
          ...{ helperPath, program: build.binary, logFile, args: bareArgs(build, qmp) },
        });
        const connection = await connect(qmp);
        const { pid } = launched.process;
        assert.deepEqual(await surroundings(pid), await surroundings(source.pid));
        assert.deepEqual(launched.missing, []);
        assert.equal(launched.process.uid, 4242);
        assert.equal((await findPeer(connection, helper)).process?.pid, pid);
        // Nothing of ours leaked into it; its output goes where we can read it.
        const links = await Promise.all(
          ['0', '1', '2'].map((fd) => readlink(`/proc/${pid}/fd/${fd}`)),
        );
        assert.deepEqual(links, ['/dev/null', logFile, logFile]);
        assert.equal((await stat(logFile)).mode & 0o777, 0o600);
        connection.close();
        await launched.kill();
      } finally {
        await source.stop();
        for (let tries = 0; ; tries++) {
          try {
            await rmdir(group);
            break;
          } catch (error) {
            if (tries === 100) throw error;
            await sleep(20);
          }
        }
      }
    });

    it('goes on when the program that started it is killed', async () => {
      source = await startQemu({ build, directory, name: 'old' });
      const qmp = join(directory, 'new.qmp');
      const child = spawn(
        process.execPath,
        [
          ...['--import', 'tsx', join(root, 'test/support/killedLauncher.ts'), helperPath],
          ...[String(source.pid), join(directory, 'new.log'), build.binary],
          ...bareArgs(build, qmp),
        ],
        { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      const pid = Number(said.toString());
      try {
        child.kill('SIGKILL');
        await once(child, 'close');
        const connection = await connect(qmp);
        await connection.execute('query-status');
        assert.equal((await findPeer(connection, helper)).process?.pid, pid);
        connection.close();
      } finally {
        process.kill(pid, 'SIGKILL');
      }
    });

    it('says why it did not start, in its own words or the kernel’s', async () => {
      source = await startQemu({ build, directory, name: 'old' });
      const first = (await readProcess(source.pid))!;
      const common = { helperPath, program: build.binary, logFile: join(directory, 'new.log') };
      const refused: readonly [FdPassError['reason'], Partial<LaunchLikeOptions>, bigint?][] = [
        ['execFailed', { program: '/nonexistent' }],
        ['processGone', {}, 7n],
        ['badDescriptor', { adopt: [{ fd: 900, number: 9 }] }],
        ['notThatTap', { adopt: [{ fd: 0, number: 9, ifname: 'tap0' }] }],
      ];
      for (const [reason, options, startTicks = first.startTicks] of refused) {
        await assert.rejects(
          launchLike({ ...first, startTicks }, { ...common, args: [], ...options }),
          (error) => error instanceof FdPassError && error.reason === reason,
          reason,
        );
      }
      // No log is left behind, so the same name serves again.
      launched = await launchLike(first, { ...common, args: ['-no-such-option'] });
      assert.deepEqual(await launched.exited, { exitCode: 1 });
      assert.match((await launched.stderr.lines()).join('\n'), /-no-such-option/);
      assert.deepEqual(await launched.stderr.end(), { exitCode: 1 });
      assert.equal(await isAlive(launched.process), false);
    });
  });
}

describe('who answers on an inherited socket', () => {
  it('is the QEMU, not whoever made the socket for it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'qm-'));
    const build = await provisionQemu('11.1');
    const path = join(directory, 'given.qmp');
    // As libvirt does: it listens, and QEMU inherits the socket.
    const server = net.createServer().listen(path);
    await once(server, 'listening');
    const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
    const child = spawn(
      build.binary,
      [
        ...build.prefixArgs,
        ...['-M', build.machine, '-accel', 'tcg', '-m', '64', '-nodefaults', '-display', 'none'],
        ...['-chardev', 'socket,id=m,fd=3,server=on,wait=off', '-mon', 'chardev=m,mode=control'],
      ],
      { stdio: ['ignore', 'ignore', 'ignore', fd], env: { ...process.env, ...build.env } },
    );
    try {
      // Closed here it would be removed by its name.
      await rename(path, join(directory, 'moved.qmp'));
      server.close();
      const connection = await connect(join(directory, 'moved.qmp'));
      const found = await findPeer(connection, helper);
      assert.deepEqual(
        [found.credentials?.pid, found.process?.pid, found.by],
        [process.pid, child.pid, 'socket'],
      );
      connection.close();
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
      await rm(directory, { recursive: true });
    }
  });
});

describe('a TAP that a second QEMU takes', () => {
  it('serves the first one as before, with one queue and with several', async () => {
    // unshare: a namespace of its own, in which this file's other half runs.
    const child = spawn(
      'unshare',
      ['-n', process.execPath, '--import', 'tsx', join(root, 'test/support/tapGuardTaken.ts')],
      { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
    );
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0);
  });
});
