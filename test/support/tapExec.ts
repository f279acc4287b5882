// Run by test/qemu/cprExec.test.ts in a network namespace of its own: a QEMU with a TAP by name.
import assert from 'node:assert/strict';
import { startInPlace } from './inPlace';

async function main(): Promise<void> {
  const running = await startInPlace({
    extraArgs: [
      ...['-netdev', 'tap,id=net0,ifname=one0,script=no,downscript=no'],
      ...['-device', 'virtio-net-pci,netdev=net0,id=nic0'],
    ],
  });
  try {
    const { qemu, replace } = running;
    await qemu.waitForRounds(1);
    const outcome = await replace({ force: { reason: 'nothing helps' } });
    assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
    assert.match(outcome.details.join('\n'), /ifname=one0[^]*busy/);
    await qemu.waitForRounds(1);
  } finally {
    await running.dispose();
  }
}

void main();
