import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { readCharacterDevice } from '../../../../src/vm/commandLine/characterDevice';
import {
  isKnown,
  makeOption,
  printCommandLine,
  readCommandLine,
} from '../../../../src/vm/commandLine/commandLine';
import { takesArgument } from '../../../../src/vm/commandLine/optionTable';
import { makeValue, parseValue, readValue } from '../../../../src/vm/commandLine/optionValue';
import { readConfigFile } from '../../../../src/vm/commandLine/readConfig';
import { readCorpus } from '../../../support/commandLineCorpus';

describe("QEMU's command line", () => {
  for (const { name, what, args } of readCorpus()) {
    it(`is printed as it was read: ${name} (${what})`, () => {
      const options = readCommandLine(args);
      assert.deepEqual(printCommandLine(options), args);
      for (const option of options) {
        const value = readValue(option);
        if (value !== undefined) assert.equal(value.print(), option.value);
      }
      const unknown = options.filter((option) => !isKnown(option)).map((option) => option.name);
      const gone = { dangerous: ['turbo-boost'], 'hand-old-style': ['soundhw'] }[name] ?? [];
      assert.deepEqual(unknown, gone);
    });
  }

  it('is printed as it was read, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (words) => {
        assert.deepEqual(printCommandLine(readCommandLine(words)), words);
      }),
    );
  });

  it('knows which options have no argument', () => {
    for (const flag of [
      'S',
      's',
      'daemonize',
      'nographic',
      'preconfig',
      'snapshot',
      'usb',
      'jitdump',
    ])
      assert.equal(takesArgument(flag), false, flag);
    for (const name of ['incoming', 'D', 'd', 'shim', 'seed', 'chroot', 'xen-domid', 'qtest-log'])
      assert.equal(takesArgument(name), true, name);
    assert.equal(takesArgument('turbo-boost'), undefined);
  });

  it('is not taken for known where the last argument is missing', () => {
    const [last] = readCommandLine(['-incoming']);
    assert.ok(last !== undefined && !isKnown(last));
  });
});

const key = fc.stringMatching(/^[a-z][a-z-]{0,6}$/).filter((name) => !name.startsWith('no'));

describe('the value of an option', () => {
  it('is read as it was made, commas, equals signs and blanks included', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(key, fc.string()), { minLength: 1, selector: ([name]) => name }),
        (entries) => {
          const [[first] = ['']] = entries;
          for (const implied of ['', first]) {
            const value = parseValue(makeValue(entries, implied), implied);
            assert.deepEqual(value?.entries, entries);
          }
        },
      ),
    );
  });

  it('keeps everything else as it was when one is changed or left out', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(key, fc.string()), { minLength: 2, selector: ([name]) => name }),
        fc.string(),
        (entries, text) => {
          const value = parseValue(makeValue(entries), '');
          const [[name] = [''], ...rest] = entries;
          assert.deepEqual(value?.with(name, text).entries, [[name, text], ...rest]);
          assert.deepEqual(value.without(name).entries, rest);
          assert.equal(parseValue(value.with(name, text).print(), '')?.get(name), text);
        },
      ),
    );
  });

  for (const [text, implied, entries] of [
    ['a,,b,c=d', 'x', { x: 'a,b', c: 'd' }],
    ['a,,b=c', 'x', { x: 'a,b=c' }],
    ['a=b,,,c=d', 'x', { a: 'b,', c: 'd' }],
    ['virtio-net-pci,id=a', 'driver', { driver: 'virtio-net-pci', id: 'a' }],
    ['driver=x,id=a', 'driver', { driver: 'x', id: 'a' }],
    ['path,server,nowait', 'path', { path: 'path', server: 'on', nowait: 'on' }],
    ['{"a":{"b":[1,true]},"c":"d,e"}', 'x', { 'a.b.0': '1', 'a.b.1': 'on', c: 'd,e' }],
  ] as const) {
    it(`reads ${text}`, () => {
      assert.deepEqual(Object.fromEntries(parseValue(text, implied)?.entries ?? []), entries);
    });
  }

  it('takes the last of several, and "nowait" for "wait=off"', () => {
    const value = parseValue('unix,wait=on,x=1,x=2,nowait', 'path');
    assert.equal(value?.get('wait'), 'off');
    assert.equal(value.get('x'), '2');
    assert.equal(value.without('wait').print(), 'unix,x=1,x=2');
  });

  it('changes JSON in JSON, and leaves its types alone', () => {
    const value = parseValue('{"type":"tap","vhost":true,"queues":4,"id":"n"}', 'type');
    assert.equal(
      value?.with('queues', '2').with('vhost', 'off').with('fd', '30').print(),
      '{"type":"tap","vhost":false,"queues":2,"id":"n","fd":"30"}',
    );
    assert.equal(value.without('vhost', 'queues').print(), '{"type":"tap","id":"n"}');
    assert.equal(parseValue('{"broken"', 'type'), undefined);
  });
});

describe('a character device', () => {
  for (const [name, value, shown] of [
    ['serial', 'mon:stdio', 'stdio mux'],
    ['serial', 'unix:/run/a,,b,server=on,wait=off', 'unix:/run/a,b server'],
    ['qmp', 'unix:/run/a,server', 'unix:/run/a server waits'],
    ['qmp', 'tcp:[::1]:4444,server,nowait', 'tcp:::1:4444 server'],
    ['monitor', 'telnet::4444,server=on,wait=off', 'tcp::4444 server telnet'],
    ['gdb', 'tcp::1234', 'tcp::1234 server'],
    ['serial', 'file:/log/a,b', 'file /log/a,b'],
    ['serial', 'chardev:c0', 'chardev c0'],
    ['chardev', 'socket,id=c,path=/run/c,reconnect=5', 'unix:/run/c'],
    ['chardev', 'socket,id=c,fd=29,server=on,wait=off', 'fd:29 server'],
    [
      'chardev',
      'socket,id=c,host=::1,port=5,server=on,wait=off,websocket=on',
      'tcp:::1:5 server websocket',
    ],
    ['chardev', 'tty,id=c,path=/dev/ttyS0', 'serial /dev/ttyS0'],
    [
      'chardev',
      '{"id":"c","backend":{"type":"socket","data":{"addr":{"type":"unix","data":{"path":"/run/c"}},"server":true,"wait":false}}}',
      'unix:/run/c server',
    ],
  ] as const) {
    it(`reads -${name} ${value}`, () => {
      const device = readCharacterDevice(makeOption(name, value));
      assert.ok(device !== undefined);
      const { end } = device;
      const where =
        end?.kind === 'unix'
          ? `unix:${end.path}`
          : end?.kind === 'tcp'
            ? `tcp:${end.host}:${end.port}`
            : end?.kind === 'fd'
              ? `fd:${end.fd}`
              : undefined;
      const words = [
        where ?? device.backend,
        device.path,
        device.isServer && 'server',
        device.waits && 'waits',
        device.protocol,
        device.mux && 'mux',
      ];
      assert.equal(words.filter(Boolean).join(' '), shown);
    });
  }

  it('is not made up where it is not understood', () => {
    assert.equal(readCharacterDevice(makeOption('serial', 'teleprinter:7')), undefined);
  });
});

describe('a file for -readconfig', () => {
  it('says the same as options', () => {
    const { options, unknown } = readConfigFile(
      '# comment\n[device "nic0"]\n  driver = "virtio-net-pci"\n  netdev="n,0"\n\n[smp-opts]\ncpus = "2"\n[machine]\n type = "q35"\n',
    );
    assert.deepEqual(
      options.map(({ words }) => words.join(' ')),
      ['-device virtio-net-pci,id=nic0,netdev=n,,0', '-smp 2', '-machine q35'],
    );
    assert.deepEqual(unknown, []);
  });

  it('tells of what is not understood', () => {
    assert.deepEqual(readConfigFile('[teleporter]\nx = "1"\nnonsense\n').unknown, [
      '[teleporter]',
      'nonsense',
    ]);
  });
});
