import assert from 'node:assert/strict';
import {
  descriptorsIn,
  filesIn,
  isSameCommand,
  keptOptions,
  newCommand,
  readCommandLine,
  valuesOf,
} from '../../../src/migration/methods/commandLine';

const incoming = 'file:/run/x/state';
const made = (...args: string[]): readonly string[] =>
  newCommand({ program: '/usr/bin/qemu', args, incoming }).slice(1);
const end = ['-incoming', incoming];

describe('the command line of a QEMU that is replaced', () => {
  it('keeps every argument in its place, blanks, commas and dashes included', () => {
    const args = [
      ...['-name', 'a b,,c', '--m', '256', '-device', 'virtio-rng-pci', '-nographic'],
      ...['-append', '-S -incoming x', '-k', '', 'disk.img', '-usb'],
    ];
    assert.deepEqual(made(...args), [...args, ...end]);
  });

  for (const [what, args] of [
    ['-incoming', ['-incoming', 'tcp:0:4444']],
    ['--incoming', ['--incoming', 'defer']],
    ['several, one of them JSON', ['-incoming', 'defer', '-incoming', '{"channel-type":"cpr"}']],
    ['-incoming with nothing behind it', ['-incoming']],
    ['-S', ['-S']],
    ['--daemonize', ['--daemonize']],
    ['-loadvm', ['-loadvm', 'snapshot1']],
  ] as const) {
    it(`leaves out ${what}`, () => {
      assert.deepEqual(made('-m', '1G', ...args), ['-m', '1G', ...end]);
      const options = keptOptions([...args, '-m', '1G']);
      // What stands last takes no value from the next option.
      const rest = args.length === 1 && args[0] === '-incoming' ? [] : ['m'];
      assert.deepEqual(
        options.flatMap(({ name }) => (name === '1G' || name === '' ? [] : [name])),
        rest,
      );
    });
  }

  it('is not led astray by values that look like options', () => {
    const args = ['-name', '-incoming', '-serial', '-S', '-m', '1G'];
    assert.deepEqual(made(...args), [...args, ...end]);
  });

  it('takes a word without a dash for a disk', () => {
    assert.deepEqual(
      readCommandLine(['disk.img', '-S', 'other.img']).map(({ name, value }) => [name, value]),
      [
        ['', 'disk.img'],
        ['S', undefined],
        ['', 'other.img'],
      ],
    );
  });

  it('names the versioned machine to another program, once', () => {
    const machineType = 'pc-q35-11.1';
    const other = (args: readonly string[]): readonly string[] =>
      newCommand({ program: '/q', args, incoming, machineType }).slice(1);
    const first = other(['-M', 'q35,accel=kvm']);
    assert.deepEqual(first, ['-M', 'q35,accel=kvm', '-machine', `type=${machineType}`, ...end]);
    assert.deepEqual(other(first), first);
    assert.deepEqual(other(['-M', machineType]), ['-M', machineType, ...end]);
  });

  it('can be made from the line that it made', () => {
    const once = made('-m', '1G', '-S');
    assert.deepEqual(made(...once), once);
    assert.ok(isSameCommand(['-S', '-m', '1G'], once));
    assert.ok(!isSameCommand(['-m', '1G'], ['-m', '2G']));
    assert.ok(!isSameCommand(['-m', '1G'], ['-m', '1G', '-usb']));
  });

  it('reads values from JSON and from keys, however deep', () => {
    const [json] = readCommandLine([
      '-blockdev',
      '{"driver":"qcow2","file":{"driver":"file","filename":"/a,b"},"read-only":true}',
    ]);
    assert.ok(json !== undefined);
    assert.deepEqual(valuesOf(json), [
      ['driver', 'qcow2'],
      ['file.driver', 'file'],
      ['file.filename', '/a,b'],
      ['read-only', 'on'],
    ]);
  });

  it('finds the files that have to be there', () => {
    const files = filesIn(
      readCommandLine([
        ...['-drive', 'if=none,file=/img/a,,b.raw', '-drive', 'file=nbd:host:1'],
        ...['-blockdev', 'driver=qcow2,file.driver=file,file.filename=./rel.qcow2,node-name=n'],
        ...['-blockdev', 'driver=qcow2,file=node0,node-name=top'],
        ...['-drive', 'file=json:{"driver":"raw"}', '-kernel', '/boot/k', '-cdrom', '/iso/x.iso'],
        ...['-object', 'memory-backend-file,id=m,mem-path=/dev/shm/m,size=1G'],
        ...['-chardev', 'file,id=c,path=/log/new', '-serial', 'file:/log/other'],
      ]),
    );
    assert.deepEqual(files, [
      ...['/img/a,b.raw', './rel.qcow2', '/boot/k', '/iso/x.iso', '/dev/shm/m'],
    ]);
  });

  it('finds inherited descriptors, one or several an option', () => {
    const found = descriptorsIn(
      readCommandLine([
        ...['-netdev', 'tap,id=a,fds=3:4,vhost=on,vhostfd=5', '-netdev', 'tap,id=b,fd=6'],
        ...['-netdev', '{"type":"tap","id":"c","fd":"7"}', '-chardev', 'socket,id=d,fd=8'],
        ...['-netdev', 'tap,id=e,fd=named'],
      ]),
    );
    assert.deepEqual(
      found.map(({ fd }) => fd),
      [3, 4, 5, 6, 7, 8],
    );
  });
});
