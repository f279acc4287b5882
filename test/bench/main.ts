/**
 * `npm run bench [-- SECTION...]`: measures and prints; asserts nothing, for a timer that fails a build
 * teaches people to ignore it.
 */
import { buildHelper } from '../../scripts/lib/setup';
import { measureBundles } from './bundle';
import { measureDescriptors } from './descriptors';
import { measureFilter } from './filter';
import { measureIdle } from './idle';
import { measureLiveUpdates } from './liveUpdate';
import { startQemus } from './qemus';
import { startServer } from './server';
import { measureThroughput } from './throughput';
import { measureWorkbench } from './workbench';

const sections: Readonly<Record<string, () => Promise<void>>> = {
  throughput: async () => {
    const server = await startServer(1);
    await measureThroughput(server.sockets[0] ?? '', 'server');
    await server.stop();
    const qemus = await startQemus();
    if (qemus === undefined) return;
    await measureThroughput(qemus.sockets[0], 'qemu');
    await qemus.stop();
  },
  descriptors: async () => {
    await buildHelper();
    const server = await startServer(2);
    const [a = '', b = ''] = server.sockets;
    await measureDescriptors([a, b], 'trivial servers');
    await server.stop();
    const qemus = await startQemus();
    if (qemus === undefined) return;
    await measureDescriptors(qemus.sockets, `QEMU ${qemus.version}`);
    await qemus.stop();
  },
  bundles: measureBundles,
  workbench: measureWorkbench,
  filter: measureFilter,
  idle: measureIdle,
  'live-update': measureLiveUpdates,
};

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !(name in sections));
  if (unknown.length > 0) {
    throw new Error(
      `No section ${unknown.join(', ')}; there are ${Object.keys(sections).join(', ')}.`,
    );
  }
  for (const [name, measure] of Object.entries(sections)) {
    if (wanted.length === 0 || wanted.includes(name)) await measure();
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${told}\n`);
    process.exit(1);
  },
);
