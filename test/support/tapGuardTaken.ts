// Run by test/qemu/liveHandOver.test.ts in a network namespace of its own: a second QEMU takes the TAP.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { provisionQemu, qemuVersions, startQemu, type QemuProcess } from '../../scripts/lib/qemu';
import { FdPassError, FdPassHelper } from '../../src/fdpass/helper';
import { TapGuard, type TapState } from '../../src/fdpass/tapGuard';
import { QmpConnection } from '../../src/qmp/connection';
import { launchLike, type LaunchedQemu } from '../../src/vm/launch';
import { readProcess } from '../../src/vm/process';

const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
const helperPath = join(root, `native/fdpass/build/linux-${arch}/fdpass`);

/** The descriptors of a process that are queues of this TAP, in ascending order. */
async function queuesOf(pid: number, ifname: string): Promise<number[]> {
  const directory = `/proc/${pid}/fdinfo`;
  const found: number[] = [];
  for (const fd of await readdir(directory)) {
    const text = await readFile(join(directory, fd), 'utf8').catch(() => '');
    if (text.split('\n').includes(`iff:\t${ifname}`)) found.push(Number(fd));
  }
  return found.sort((a, b) => a - b);
}

async function connect(path: string): Promise<QmpConnection> {
  for (let tries = 0; ; tries++) {
    try {
      return await QmpConnection.connect(path);
    } catch (error) {
      if (tries === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

function assertRight(taps: readonly TapState[], what: string): void {
  for (const tap of taps) {
    assert.equal(tap.headerSize, tap.recordedHeaderSize, `${what}: ${JSON.stringify(tap)}`);
    assert.equal(tap.attached, tap.recordedAttached, `${what}: ${JSON.stringify(tap)}`);
    if (what === 'restored') assert.equal(tap.offloads, 7, JSON.stringify(tap));
  }
}

async function takeOver(version: (typeof qemuVersions)[number], queues: number): Promise<void> {
  const ifname = `g${queues}q${version.replace('.', 'v')}`;
  const directory = await mkdtemp(join(tmpdir(), 'qm-'));
  const build = await provisionQemu(version);
  const multi = queues === 1 ? '' : `,queues=${queues}`;
  let source: QemuProcess | undefined;
  let target: LaunchedQemu | undefined;
  let third: QemuProcess | undefined;
  try {
    source = await startQemu({
      ...{ build, directory, name: 'source', guest: 'dirtying', memoryMiB: 64 },
      extraArgs: [
        ...['-netdev', `tap,id=net0,ifname=${ifname},script=no,downscript=no${multi}`],
        ...['-device', `virtio-net-pci,netdev=net0,id=nic0${queues === 1 ? '' : ',mq=on'}`],
      ],
    });
    const like = (await readProcess(source.pid))!;
    const fds = await queuesOf(source.pid, ifname);
    assert.equal(fds.length, queues);
    await assert.rejects(
      TapGuard.begin(helperPath, like, [{ fd: fds[0]!, ifname: 'other0' }]),
      (error) => error instanceof FdPassError && error.reason === 'notThatTap',
    );
    const held = fds.map((fd) => ({ fd, ifname }));
    // Without a driver in the guest QEMU leaves the size at 10; a guest's would be 12.
    // As a guest's driver asks for: checksums, and segments of TCP.
    const first = await TapGuard.begin(helperPath, like, held);
    await first.guard.restore(new Map(fds.map((fd) => [fd, 7])));
    await first.guard.release();
    const { guard, state } = await TapGuard.begin(
      helperPath,
      like,
      held.map((tap) => ({ ...tap, headerSize: 12 })),
    );
    assert.ok(state.taps.every(({ vnetHeader, known }) => vnetHeader && known));
    assert.ok(state.taps.every(({ recordedOffloads }) => recordedOffloads === 7));
    await guard.restore();
    assertRight((await guard.guard()).taps, 'guarded');
    if (queues > 1) {
      // No driver, so the guest uses one queue; without this the second QEMU aborts.
      assert.deepEqual(
        state.taps.map(({ attached }) => attached),
        fds.map((_, index) => index === 0),
      );
      await guard.lend();
    }
    const qmp = join(directory, 'target.qmp');
    const numbers = fds.map((_, index) => 30 + index);
    target = await launchLike(like, {
      helperPath,
      program: build.binary,
      args: [
        ...build.prefixArgs,
        ...['-M', build.machine, '-accel', 'tcg', '-m', '64', '-nodefaults', '-display', 'none'],
        ...['-netdev', `tap,id=net0,${queues === 1 ? 'fd' : 'fds'}=${numbers.join(':')}`],
        ...['-device', `virtio-net-pci,netdev=net0,id=nic0${queues === 1 ? '' : ',mq=on'}`],
        ...['-qmp', `unix:${qmp},server=on,wait=off`, '-incoming', 'defer'],
      ],
      adopt: fds.map((fd, index) => ({ fd, number: numbers[index]!, ifname })),
      logFile: join(directory, 'target.log'),
    });
    const connection = await connect(qmp).catch(async (error: unknown) => {
      throw new Error((await target!.stderr.lines()).join('\n'), { cause: error });
    });
    assert.deepEqual(await queuesOf(target.process.pid, ifname), numbers);
    const after = await guard.query();
    assertRight(after.taps, 'taken');
    assert.ok(after.taps[0]!.putBack > 1, 'the second QEMU never changed the TAP');
    if (queues === 1) {
      // And by the other way: handed over by name, plugged into a third QEMU.
      third = await startQemu({ build, directory, name: 'third' });
      const other = await QmpConnection.connect(third.qmpSocket);
      const remote = { process: like, fd: fds[0]!, ifname };
      await new FdPassHelper(helperPath).adoptDescriptor(other, 'q', remote);
      await other.execute('netdev_add', { type: 'tap', id: 'net0', fd: 'q' });
      assert.equal((await queuesOf(third.pid, ifname)).length, 1);
      assertRight((await guard.query()).taps, 'plugged');
      await assert.rejects(
        new FdPassHelper(helperPath).adoptDescriptor(other, 'r', { ...remote, ifname: 'other0' }),
        (error) => error instanceof FdPassError && error.reason === 'notThatTap',
      );
      await other.execute('query-status');
      other.close();
    }
    assert.equal(after.taps[0]!.offloads, 0, 'the second QEMU never changed the offloads');
    connection.close();
    await target.kill();
    assertRight((await guard.restore()).taps, 'restored');
    await guard.release();
    assert.deepEqual(await queuesOf(source.pid, ifname), fds);
    await source.waitForRounds(1);
  } finally {
    await target?.kill();
    await third?.stop();
    await source?.stop();
    await rm(directory, { recursive: true });
  }
}

async function main(): Promise<void> {
  for (const version of qemuVersions) {
    for (const queues of [1, 4]) await takeOver(version, queues);
  }
}

void main();
