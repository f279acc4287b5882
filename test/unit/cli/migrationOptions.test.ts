import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { migrationOptions, type MigrationFlags } from '../../../src/cli/commands/migrationOptions';
import { UsageError } from '../../../src/cli/exitCodes';
import type { MigrationRequest } from '../../../src/migration/run/types';

type Request = Omit<MigrationRequest, 'source' | 'target'>;
const session = { path: (typed: string) => resolve('/work', typed) };

function requestOf(
  flags: MigrationFlags,
  sockets: readonly string[] = ['/a', '/b'],
  execCommand?: readonly string[],
): Request {
  return migrationOptions(sockets, flags, execCommand, session).request;
}

describe('cli options of a migration', () => {
  it('asks for what was typed, in the units of people, with absolute paths', () => {
    const flags: MigrationFlags = {
      ...{ method: 'save', file: 'web.saved', mappedRam: true, passDescriptor: true },
      ...{ downtimeLimit: '0.3s', multifd: '4', compress: 'zstd', maxBandwidth: '2GiB/s' },
    };
    const request: Request = {
      method: 'save',
      transport: 'fd',
      backendTransfer: 'as-is',
      maxBandwidthBytesPerSecond: 2n ** 31n,
      options: {
        downtimeLimitMs: 300,
        multifdChannels: 4,
        multifdCompression: 'zstd',
        file: { path: '/work/web.saved', mappedRam: true, passDescriptor: true },
      },
    };
    assert.deepEqual(requestOf(flags, ['/a']), request);
  });

  it('has no options where none were typed', () => {
    const request: Request = { method: 'precopy', transport: 'fd', backendTransfer: 'as-is' };
    assert.deepEqual(requestOf({}), request);
  });

  it('names one machine as both sides where there is one', () => {
    const { source, target } = migrationOptions(
      ['/a'],
      { method: 'restore', file: '/f' },
      undefined,
      session,
    );
    assert.deepEqual([source, target], ['/a', '/a']);
  });

  const transports: readonly [string, MigrationFlags, string][] = [
    ['a descriptor pair', {}, 'fd'],
    ['TCP where an address is given', { listen: '127.0.0.1:0' }, 'tcp'],
    ['a path for several connections', { multifd: '2' }, 'unix'],
    ['a path for postcopy with preempt', { method: 'postcopy', preempt: true }, 'unix'],
    ['a path for cpr-transfer', { method: 'cpr-transfer', cprSocket: '/c' }, 'unix'],
    ['what was typed, whatever else was', { multifd: '2', transport: 'fd' }, 'fd'],
  ];
  for (const [what, flags, transport] of transports) {
    it(`takes ${what} by default`, () => assert.equal(requestOf(flags).transport, transport));
  }

  it('takes addresses of IPv6, and a host of another name', () => {
    const { options } = requestOf({ listen: '[::1]:4444', host: 'web', allowPlainTcp: true });
    assert.deepEqual(options, {
      tcp: { listen: '[::1]:4444', host: 'web' },
      plainTcpConsent: true,
    });
  });

  it('keeps a reason for the journal, and takes none that says nothing', () => {
    const reason = 'the other disk was checked by hand';
    assert.deepEqual(requestOf({ force: `  ${reason} ` }).force, { reason });
    assert.throws(() => requestOf({ force: '   x      ' }), UsageError);
  });

  it('takes the program for cpr-exec as it stands behind "--"', () => {
    const command = ['/opt/qemu', '--json', '-m', '64'];
    const { options } = requestOf({ method: 'cpr-exec', execCommand: true }, ['/a'], command);
    assert.deepEqual(options?.execCommand, command);
  });

  const senseless: readonly [readonly string[], MigrationFlags, RegExp][] = [
    [['/a'], {}, /needs SOURCE and TARGET/],
    [['/a', '/b', '/c'], {}, /Too many/],
    [['/a', '/b'], { method: 'save', file: '/f' }, /one SOCKET: the QEMU that runs/],
    [['/a', '/b'], { method: 'restore', file: '/f' }, /one SOCKET: the QEMU that waits/],
    [['/a'], { method: 'save' }, /--file PATH/],
    [['/a'], { method: 'restore' }, /--file PATH/],
    [['/a'], { method: 'cpr-reboot' }, /--file PATH/],
    [['/a', '/b'], { method: 'cpr-transfer' }, /--cpr-socket PATH/],
    [['/a', '/b'], { compress: 'zlib' }, /--multifd/],
    [['/a', '/b'], { multifd: '0' }, /from 1 to 255/],
    [['/a', '/b'], { multifd: '1e2' }, /from 1 to 255/],
    [['/a', '/b'], { multifd: '256' }, /from 1 to 255/],
    [['/a', '/b'], { downtimeLimit: '3 parsecs' }, /--downtime-limit/],
    [['/a', '/b'], { dirtyLimit: '-1' }, /--dirty-limit/],
    [['/a', '/b'], { postcopyAfter: 'soon' }, /--postcopy-after/],
    [['/a', '/b'], { transport: 'tcp' }, /--listen/],
    [['/a', '/b'], { transport: 'unix', listen: '127.0.0.1:0' }, /--listen is for TCP/],
    [['/a', '/b'], { host: 'web' }, /--host needs --listen/],
    [['/a', '/b'], { listen: '4444' }, /HOST:PORT/],
    [['/a', '/b'], { mappedRam: true }, /--file PATH/],
    [['/a'], { method: 'cpr-exec', execCommand: true }, /behind "--"/],
  ];
  for (const [sockets, flags, says] of senseless) {
    it(`refuses ${sockets.join(' ')} with ${JSON.stringify(flags)}`, () => {
      assert.throws(
        () => requestOf(flags, sockets),
        (error: unknown) => error instanceof UsageError && says.test(error.message),
      );
    });
  }
});
