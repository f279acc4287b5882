import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startQemu, systemQemu } from '../../scripts/lib/qemu';

export interface BenchQemus {
  readonly version: string;
  readonly sockets: readonly [string, string];
  stop(): Promise<void>;
}

/** Two real QEMUs without a guest, if this host has one on its PATH. */
export async function startQemus(): Promise<BenchQemus | undefined> {
  const build = await systemQemu().catch(() => undefined);
  if (build === undefined) return undefined;
  const directory = await mkdtemp(join(tmpdir(), 'qmbench-'));
  const start = (name: string): ReturnType<typeof startQemu> =>
    startQemu({ build, name, directory, memoryMiB: 64, extraArgs: ['-S'] });
  const [a, b] = [await start('a'), await start('b')];
  return {
    version: build.version,
    sockets: [a.qmpSocket, b.qmpSocket],
    stop: async () => {
      await Promise.all([a.stop(), b.stop()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
