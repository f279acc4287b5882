import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { discoverQemus, readQmpOptions } from '../../../src/vm/discovery';
import { findListener } from '../../../src/vm/listener';
import { isAlive, readProcess } from '../../../src/vm/process';
import { addProcess } from './fakeProc';
import { Stage } from './support';

function socketsIn(...args: string[]): readonly string[] {
  return readQmpOptions(args).sockets;
}

describe('QMP options of a command line', () => {
  for (const [what, args, sockets] of [
    ['server=on', ['-qmp', 'unix:/run/a.qmp,server=on,wait=off'], ['/run/a.qmp']],
    ['the old flags', ['-qmp', 'unix:/run/a.qmp,server,nowait'], ['/run/a.qmp']],
    ['other words for on', ['-qmp', 'unix:/run/a.qmp,server=yes'], ['/run/a.qmp']],
    ['-qmp-pretty', ['-qmp-pretty', 'unix:/run/p.qmp,server=on'], ['/run/p.qmp']],
    ['two dashes', ['--qmp', 'unix:/run/a.qmp,server=on'], ['/run/a.qmp']],
    ['the path by its name', ['-qmp', 'unix:path=/run/a.qmp,server=on'], ['/run/a.qmp']],
    ['a comma in the path', ['-qmp', 'unix:/run/a,,b.qmp,server=on'], ['/run/a,b.qmp']],
    ['a client', ['-qmp', 'unix:/run/a.qmp'], []],
    ['server=off', ['-qmp', 'unix:/run/a.qmp,server=off'], []],
    ['server=false', ['-qmp', 'unix:/run/a.qmp,server=false'], []],
    ['an abstract name', ['-qmp', 'unix:/run/a.qmp,server=on,abstract=on'], []],
    ['TCP', ['-qmp', 'tcp:127.0.0.1:4444,server=on,wait=off'], []],
    ['stdio', ['-qmp', 'stdio'], []],
    ['an option without its value', ['-qmp'], []],
    ['a human monitor', ['-monitor', 'unix:/run/hmp,server=on'], []],
    [
      '-mon with its -chardev',
      ['-chardev', 'socket,id=c0,path=/run/c,,0,server=on', '-mon', 'chardev=c0,mode=control'],
      ['/run/c,0'],
    ],
    [
      '-mon before its -chardev, the first word left out',
      ['-mon', 'c0,mode=control', '-chardev', 'socket,id=c0,path=/run/c,server'],
      ['/run/c'],
    ],
    [
      '-mon for people',
      ['-chardev', 'socket,id=c0,path=/run/c,server=on', '-mon', 'chardev=c0,mode=readline'],
      [],
    ],
    [
      'a chardev that is a client',
      ['-chardev', 'socket,id=c0,path=/run/c', '-mon', 'chardev=c0,mode=control'],
      [],
    ],
    [
      'a chardev of another kind',
      ['-chardev', 'pty,id=c0,path=/run/c', '-mon', 'chardev=c0,mode=control'],
      [],
    ],
    [
      'JSON',
      [
        '-chardev',
        '{"backend":"socket","id":"c0","path":"/run/j","server":true,"wait":false}',
        '-mon',
        '{"chardev":"c0","mode":"control","pretty":false}',
      ],
      ['/run/j'],
    ],
    ['broken JSON', ['-mon', '{"chardev":', '-qmp', 'unix:/run/a,server=on'], ['/run/a']],
    [
      '-qmp chardev:',
      ['-qmp', 'chardev:c0', '-chardev', 'socket,id=c0,path=/run/c,server=on'],
      ['/run/c'],
    ],
    [
      'the same socket twice',
      ['-qmp', 'unix:/run/a,server=on', '-qmp', 'unix:/run/a,server=on'],
      ['/run/a'],
    ],
    [
      'two monitors, in their order',
      ['-qmp', 'unix:/run/b,server=on', '-qmp', 'unix:/run/a,server=on'],
      ['/run/b', '/run/a'],
    ],
  ] as const) {
    it(`${what}: ${sockets.length === 0 ? 'none' : sockets.join(' and ')}`, () => {
      assert.deepEqual(socketsIn('qemu-system-x86_64', ...args), sockets);
    });
  }

  it('reads the name in every form', () => {
    const nameIn = (value: string): string | undefined => readQmpOptions(['-name', value]).name;
    assert.equal(nameIn('vm1'), 'vm1');
    assert.equal(nameIn('guest=a,,b,debug-threads=on'), 'a,b');
    assert.equal(nameIn('debug-threads=on,guest=c'), 'c');
    assert.equal(nameIn('d,process=x'), 'd');
    assert.equal(readQmpOptions(['-m', '1G']).name, undefined);
  });
});

describe('discovery', function () {
  // Longer than any of them takes, on a host that is busy with others.
  this.timeout(20_000);

  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  async function found(): Promise<[number, string | undefined, readonly string[]][]> {
    const qemus = await discoverQemus({ procRoot: stage.directory });
    return qemus.map(({ process, name, sockets }) => [process.pid, name, sockets]);
  }

  it('lists QEMUs with a socket by pid, and nothing else', async () => {
    const root = stage.directory;
    const qmp = ['-qmp', 'unix:/run/a.qmp,server=on'];
    addProcess(root, 20, ['qemu-system-x86_64', '-name', 'b', '-qmp', 'unix:b,server']);
    addProcess(root, 3, ['/usr/libexec/qemu-kvm', ...qmp], { cwd: '/srv' });
    addProcess(root, 4, ['renamed', ...qmp], { executable: '/opt/qemu-system-aarch64' });
    addProcess(root, 5, ['socat', ...qmp], { executable: '/usr/bin/socat' });
    addProcess(root, 6, ['qemu-img', ...qmp]);
    addProcess(root, 7, ['qemu-system-x86_64', ...qmp], { state: 'Z' });
    addProcess(root, 8, ['qemu-system-x86_64', '-m', '1G']);
    addProcess(root, 9, []);
    mkdirSync(path.join(root, '10'));
    mkdirSync(path.join(root, 'self'));
    assert.deepEqual(await found(), [
      [3, undefined, ['/run/a.qmp']],
      [4, undefined, ['/run/a.qmp']],
      [20, 'b', ['/b']],
    ]);
  });

  it('takes relative paths from the directory of the process', async () => {
    const args = ['qemu-system-x86_64', '-qmp', 'unix:../q/a.qmp,server=on'];
    addProcess(stage.directory, 11, args, { cwd: '/srv/vm' });
    assert.deepEqual(await found(), [[11, undefined, ['/srv/q/a.qmp']]]);
  });

  it('is not confused by spaces and parentheses in the name of a process', async () => {
    const args = ['qemu-system-x86_64', '-qmp', 'unix:/a,server=on'];
    addProcess(stage.directory, 12, args, { name: 'a) Z 1 (b' });
    const [qemu] = await discoverQemus({ procRoot: stage.directory });
    assert.equal(qemu?.process.startTicks, 1200n);
    assert.equal(await isAlive({ pid: 12, startTicks: 1200n }, stage.directory), true);
    assert.equal(await isAlive({ pid: 12, startTicks: 1n }, stage.directory), false);
    assert.equal(await isAlive({ pid: 13, startTicks: 1200n }, stage.directory), false);
  });

  it('finds nothing where there is no /proc', async () => {
    assert.deepEqual(await discoverQemus({ procRoot: stage.path('missing') }), []);
  });

  it('finds a real process by its own name, and no longer once it has ended', async () => {
    // A shell that waits for input, under the name of a QEMU; what follows are its arguments.
    const program = stage.path('qemu-system-x86_64');
    copyFileSync('/bin/sh', program);
    const start = (...args: string[]): ChildProcess => {
      const child = spawn(program, ['-c', 'echo ready; read line', ...args]);
      stage.onEnd(() => child.kill('SIGKILL'));
      return child;
    };
    const socket = stage.path('real.qmp');
    const real = start('-name', 'real', '-qmp', `unix:${socket},server=on`);
    const without = start('-name', 'without');
    for (const { stdout } of [real, without]) if (stdout !== null) await once(stdout, 'data');
    const pids = async (): Promise<readonly number[]> =>
      (await discoverQemus()).map(({ process }) => process.pid);
    const qemu = (await discoverQemus()).find(({ process }) => process.pid === real.pid);
    assert.deepEqual([qemu?.name, qemu?.sockets], ['real', [socket]]);
    assert.ok(!(await pids()).includes(without.pid ?? 0), 'it has no monitor');
    const before = await readProcess(real.pid ?? 0);
    assert.deepEqual([before?.uid, before?.executable], [process.getuid?.(), program]);
    real.kill('SIGKILL');
    await once(real, 'exit');
    assert.ok(!(await pids()).includes(real.pid ?? 0));
    assert.equal(before && (await isAlive(before)), false);
  });
});

describe('the process behind a socket', function () {
  // Longer than any of them takes, on a host that is busy with others.
  this.timeout(20_000);

  let stage: Stage;
  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.dispose());

  it('is found by the path, and by other ways to the same file', async () => {
    const file = await stage.listen('a b.sock', () => undefined);
    symlinkSync(stage.directory, `${stage.directory}-link`);
    stage.onEnd(() => unlinkSync(`${stage.directory}-link`));
    assert.equal((await findListener(file))?.pid, process.pid);
    assert.equal((await findListener(`${stage.directory}-link/a b.sock`))?.pid, process.pid);
    symlinkSync(file, stage.path('other-name'));
    assert.equal((await findListener(stage.path('other-name')))?.pid, process.pid);
  });

  it('is found when it was bound with a relative path', async () => {
    const child = spawn(
      process.execPath,
      ['-e', 'require("net").createServer().listen("rel.sock", () => console.log("ready"))'],
      { cwd: stage.directory },
    );
    stage.onEnd(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    assert.equal((await findListener(stage.path('rel.sock')))?.pid, child.pid);
    mkdirSync(stage.path('elsewhere'));
    writeFileSync(stage.path('elsewhere/rel.sock'), '');
    assert.equal(await findListener(stage.path('elsewhere/rel.sock')), undefined);
  });

  it('is not told when nobody listens, or for a plain file', async () => {
    writeFileSync(stage.path('plain'), '');
    assert.equal(await findListener(stage.path('plain')), undefined);
    assert.equal(await findListener(stage.path('missing')), undefined);
  });

  it('is not told when a second one took the path over, for both still listen', async () => {
    const script = `require("fs").rmSync(process.argv[1]);
      require("net").createServer().listen(process.argv[1], () => console.log("ready"))`;
    const file = await stage.listen('taken.sock', () => undefined);
    assert.equal((await findListener(file))?.pid, process.pid);
    const child = spawn(process.execPath, ['-e', script, file]);
    stage.onEnd(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    assert.equal(await findListener(file), undefined);
  });
});
