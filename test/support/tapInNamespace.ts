// Run by test/qemu/fdpass.test.ts in a network namespace of its own: a QEMU gets TAP queues.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { provisionQemu, startQemu } from '../../scripts/lib/qemu';
import { FdPassHelper } from '../../src/fdpass/helper';
import { QmpConnection } from '../../src/qmp/connection';

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'qm-'));
  const qemu = await startQemu({ build: await provisionQemu('11.1'), name: 'tap', directory });
  try {
    const connection = await QmpConnection.connect(qemu.qmpSocket);
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    const helper = new FdPassHelper(join(root, `native/fdpass/build/linux-${arch}/fdpass`));
    await helper.openTap(connection, { ifname: 'one0', fdnames: ['q'], vnetHdr: true });
    await connection.execute('netdev_add', { type: 'tap', id: 'one', fd: 'q' });
    const fdnames = ['q0', 'q1'];
    await helper.openTap(connection, { ifname: 'two0', fdnames, vnetHdr: true });
    await connection.execute('netdev_add', { type: 'tap', id: 'two', fds: fdnames.join(':') });
    const shown = await connection.execute('human-monitor-command', {
      'command-line': 'info network',
    });
    assert.ok(typeof shown === 'string');
    assert.match(shown, /one: .*type=tap/);
    assert.equal([...shown.matchAll(/two: .*type=tap/g)].length, 2);
    connection.close();
  } finally {
    await qemu.stop();
    await rm(directory, { recursive: true });
  }
}

void main();
