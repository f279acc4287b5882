import assert from 'node:assert/strict';
import type { ExecFacts } from '../../../src/migration/methods/execFacts';
import { execObstacles } from '../../../src/migration/methods/execObstacles';
import { rehearsalArgs } from '../../../src/migration/methods/rehearsal';

const plain = ['-m', '1G', '-device', 'virtio-rng-pci,id=rng0', '-drive', 'if=none,id=d,file=/i'];

function factsOf(args: readonly string[] = [], patch: Partial<ExecFacts> = {}): ExecFacts {
  const all = [...plain, ...args];
  return {
    label: 'vm',
    socketPath: '/run/vm.qmp',
    uid: process.getuid?.() ?? 0,
    root: '/',
    cwd: '/',
    program: { path: '/usr/bin/qemu', isOther: false, problem: undefined },
    running: all,
    wanted: all,
    machineType: 'pc-q35-11.1',
    descriptors: [],
    missing: [],
    live: {
      devices: [{ id: 'rng0', named: true }],
      objects: ['pc.ram', 'compat_monitor0'],
      chardevs: ['compat_monitor0', 'serial0'],
      images: [{ file: '/i', named: true }],
      blockJobs: [],
      mainMemory: 'pc.ram',
    },
    rehearsal: undefined,
    ...patch,
  };
}

const idsOf = (facts: ExecFacts): readonly string[] => execObstacles(facts).map(({ id }) => id);
const tap = { target: '/dev/net/tun', closesOnExec: false, tap: 'tap0' } as const;

describe('what forbids replacing a QEMU in its process', () => {
  it('is nothing for a plain one', () => {
    assert.deepEqual(idsOf(factsOf()), []);
  });

  for (const [option, id] of [
    ['-netdev tap,id=n,ifname=tap0,script=no', 'exec-tap'],
    ['-netdev tap,id=n', 'exec-tap'],
    ['-netdev {"type":"tap","id":"n","ifname":"tap0"}', 'exec-tap'],
    ['-netdev bridge,id=n,br=br0', 'exec-tap'],
    ['-nic tap,ifname=tap0', 'exec-tap'],
    ['-netdev vhost-user,id=n,chardev=c', 'exec-unproven'],
    ['-netdev stream,id=n,addr.type=unix,addr.path=/s', 'exec-unproven'],
    ['-netdev socket,id=n,connect=:1', 'exec-unproven'],
    ['-runas nobody', 'exec-option'],
    ['-run-with user=nobody', 'exec-option'],
    ['-readconfig /c', 'exec-option'],
    ['-add-fd fd=3,set=1', 'exec-option'],
    ['-drive if=none,file=/i,snapshot=on', 'exec-option'],
    ['-snapshot', 'exec-option'],
    ['-preconfig', 'exec-option'],
    ['-sandbox on,spawn=deny', 'exec-unproven'],
    ['-device vfio-pci,host=1', 'exec-unproven'],
    ['-chardev socket,id=c,path=/s', 'exec-unproven'],
    ['-chardev socket,id=c,path=/s,server=on', 'exec-unproven'],
    ['-serial unix:/s,server=on', 'exec-unproven'],
    ['-netdev tap,id=n,fd=7', 'exec-descriptor'],
    ['-chardev socket,id=c,fd=7,server=on,wait=off', 'exec-descriptor'],
  ] as const) {
    it(`${option}: ${id}`, () => {
      const at = option.indexOf(' ');
      const words = at < 0 ? [option] : [option.slice(0, at), option.slice(at + 1)];
      assert.ok(idsOf(factsOf(words)).includes(id), JSON.stringify(execObstacles(factsOf(words))));
    });
  }

  for (const option of [
    '-netdev user,id=n,hostfwd=tcp::1-:2',
    '-qmp unix:/run/vm.qmp,server=on',
    '-qmp unix:/other,server=on,wait=off',
    '-chardev socket,id=c,path=/s,reconnect-ms=100',
    '-vnc :1',
    '-sandbox on',
  ]) {
    it(`${option} is no obstacle`, () => {
      const at = option.indexOf(' ');
      assert.deepEqual(idsOf(factsOf([option.slice(0, at), option.slice(at + 1)])), []);
    });
  }

  it('takes an inherited TAP that is still open, and no other descriptor', () => {
    const args = ['-netdev', 'tap,id=n,fd=7'];
    const other = { fd: 7, target: '/dev/null', closesOnExec: false, tap: undefined };
    assert.deepEqual(idsOf(factsOf(args, { descriptors: [{ fd: 7, ...tap }] })), []);
    const closing = [{ fd: 7, ...tap, closesOnExec: true }];
    assert.deepEqual(idsOf(factsOf(args, { descriptors: closing })), ['exec-descriptor']);
    assert.deepEqual(idsOf(factsOf(args, { descriptors: [other] })), ['exec-descriptor']);
  });

  it('sees a TAP that came later', () => {
    assert.deepEqual(idsOf(factsOf([], { descriptors: [{ fd: 9, ...tap }] })), ['exec-tap']);
  });

  for (const [what, live] of [
    [
      'a device',
      {
        devices: [
          { id: 'late', named: true },
          { id: 'rng0', named: true },
        ],
      },
    ],
    [
      'a device without an id',
      {
        devices: [
          { id: 'device[0]', named: false },
          { id: 'rng0', named: true },
        ],
      },
    ],
    ['a device that was unplugged', { devices: [] }],
    ['an object', { objects: ['late'] }],
    ['a character device', { chardevs: ['late'] }],
    ['another image', { images: [{ file: '/overlay', named: false }] }],
    ['what QEMU does not tell', { devices: undefined }],
  ] as const) {
    it(`names ${what}`, () => {
      const facts = factsOf();
      const found = execObstacles({ ...facts, live: { ...facts.live, ...live } });
      assert.deepEqual(
        found.map(({ id }) => id),
        ['exec-hot-plugged'],
        JSON.stringify(found),
      );
    });
  }

  it('refuses another root, a missing file, a program that fails and one that cannot be tried', () => {
    assert.deepEqual(idsOf(factsOf([], { root: '/jail' })), ['exec-process']);
    assert.deepEqual(idsOf(factsOf([], { descriptors: undefined })), ['exec-process']);
    assert.deepEqual(idsOf(factsOf([], { missing: ['/i'] })), ['exec-file']);
    const failed = { kind: 'failed', text: 'no such device' } as const;
    assert.deepEqual(idsOf(factsOf([], { rehearsal: failed })), ['exec-program']);
    const impossible = { kind: 'impossible', why: '-x' } as const;
    assert.deepEqual(idsOf(factsOf([], { rehearsal: impossible })), ['exec-unproven']);
    assert.deepEqual(idsOf(factsOf([], { wanted: [...plain, '-usb'] })), ['exec-unproven']);
  });
});

describe('a rehearsal', () => {
  const textOf = (args: readonly string[]): string => {
    const result = rehearsalArgs(args);
    return 'args' in result ? result.args.join(' ') : `impossible: ${result.impossible}`;
  };

  it('opens nothing that the guest uses', () => {
    const text = textOf([
      ...[
        '-M',
        'q35,memory-backend=ram0',
        '-qmp',
        'unix:/run/vm.qmp,server=on',
        '-pidfile',
        '/run/p',
      ],
      ...[
        '-object',
        'memory-backend-file,id=ram0,size=1G,mem-path=/dev/shm/ram,share=on,discard-data=on',
      ],
      ...['-drive', 'if=none,id=d,file=/img/disk', '-netdev', 'tap,id=n,fd=3', '-vnc', ':1'],
      ...['-blockdev', 'driver=file,node-name=f,filename=/img/other', '-S', '-incoming', 'x'],
      ...['-chardev', 'socket,id=c,path=/run/c,server=on', '-device', 'virtio-blk-pci,drive=d'],
    ]);
    assert.doesNotMatch(text, /\/run|\/img|shm|fd=3|vnc|discard|tap|socket/);
    assert.match(text, /memory-backend-ram,id=ram0,size=1G/);
    assert.match(text, /virtio-blk-pci,drive=d/);
    assert.match(text, /-S -incoming defer -qmp stdio$/);
  });

  it('is not possible with what takes a device of the host, or is not known', () => {
    assert.match(textOf(['-device', 'vfio-pci,host=1']), /^impossible: -device vfio-pci/);
    assert.match(textOf(['-tpmdev', 'passthrough,id=t']), /^impossible/);
    assert.match(textOf(['-no-such-option', 'x']), /^impossible: -no-such-option/);
  });
});
