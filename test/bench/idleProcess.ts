/**
 * Connects to the sockets named in argv, sits idle, and prints what that costs as one line of JSON.
 * Needs `--expose-gc`. Runs in a process of its own so that nothing else is measured.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineRegistry } from '../../src/vm/registry';

const settleMs = 2000;
const idleMs = 10_000;
const identifyMs = 60_000;

function memory(): { heap: number; resident: number } {
  for (let round = 0; round < 4; round += 1) global.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, resident: rss };
}

/** Waits until the process behind each socket is known: that goes on after connecting. */
async function identified(registry: MachineRegistry): Promise<void> {
  const deadline = performance.now() + identifyMs;
  while (performance.now() < deadline) {
    if (registry.machines.every(({ snapshot }) => snapshot.process !== undefined)) return;
    await sleep(100);
  }
}

async function main(): Promise<void> {
  const [first = '', ...sockets] = process.argv.slice(2);
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
  });
  // The first machine pays for code that is loaded and compiled once.
  await registry.connect(first);
  await sleep(settleMs);
  const before = memory();
  const start = performance.now();
  const burstBefore = process.cpuUsage();
  // As many at a time as a person's list would bring up; each burst is a schema of 250 kB.
  for (const socket of sockets) await registry.connect(socket);
  const connectMs = performance.now() - start;
  await identified(registry);
  const burst = process.cpuUsage(burstBefore);
  await sleep(settleMs);
  const after = memory();
  const cpuBefore = process.cpuUsage();
  const idleStart = performance.now();
  await sleep(idleMs);
  const cpu = process.cpuUsage(cpuBefore);
  const share = (cpu.user + cpu.system) / 1000 / (performance.now() - idleStart);
  const ready = registry.machines.filter(({ snapshot }) => snapshot.state.kind === 'ready').length;
  process.stdout.write(
    `${JSON.stringify({
      machines: sockets.length,
      ready,
      connectMs,
      burstCpuMs: (burst.user + burst.system) / 1000,
      heapBytesEach: (after.heap - before.heap) / sockets.length,
      residentBytesEach: (after.resident - before.resident) / sockets.length,
      cpuShare: share,
    })}\n`,
  );
  registry.dispose();
  process.exit(0);
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
