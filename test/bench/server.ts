import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface BenchServer {
  readonly sockets: readonly string[];
  stop(): Promise<void>;
}

/** Starts `serverProcess.ts` with `count` sockets. */
export async function startServer(count: number): Promise<BenchServer> {
  const directory = await mkdtemp(join(tmpdir(), 'qmbench-'));
  const script = join(__dirname, 'serverProcess.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', script, directory, String(count)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => Promise.reject(new Error('The QMP server of the benchmark did not start.'))),
  ]);
  return {
    sockets: Array.from({ length: count }, (_, index) => join(directory, `${index}.qmp`)),
    stop: async () => {
      child.stdin.end();
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
