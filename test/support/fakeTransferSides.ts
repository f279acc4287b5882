import type { JsonValue } from '../../src/qmp/json';
import { FakeRefusal, type FakeQmpServer } from './fakeQmpServer';

/** A QEMU that was started with "-incoming defer". */
export function waiting(server: FakeQmpServer): void {
  server.qemu.status = { status: 'inmigrate', running: false };
}

/** The merged spelling wants a target without NIC; the recordings' introspection has one. */
export function withoutNic(server: FakeQmpServer): void {
  waiting(server);
  let added = false;
  server.on('device_add', () => {
    added = true;
    return {};
  });
  server.on('qom-list', ({ path }) =>
    path === '/machine/peripheral'
      ? [
          { name: 'rp1', type: 'child<pcie-root-port>' },
          ...(added ? [{ name: 'nic0', type: 'child<virtio-net-pci>' }] : []),
        ]
      : [],
  );
  server.on('human-monitor-command', () => ' \\ net0: index=0,type=tap,incoming\r\n');
}

/** What the recorded introspection does not hold of the source's NIC. */
export function placeOfNic(server: FakeQmpServer): void {
  const answers: Record<string, JsonValue> = {
    netdev: 'net0',
    mac: '52:54:00:12:34:56',
    parent_bus: '/machine/peripheral/rp1/rp1',
    addr: '00.0',
    mq: false,
    type: `pc-q35-10.2-machine`,
  };
  server.on('qom-get', ({ property }) => {
    const name = typeof property === 'string' ? property : '';
    const answer = answers[name];
    if (answer === undefined) throw new FakeRefusal(`Property '${name}' not found`);
    return answer;
  });
}
