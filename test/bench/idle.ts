import { join } from 'node:path';
import { run } from '../../scripts/lib/steps';
import { startServer } from './server';
import { milliseconds, printTable } from './table';

const machines = 200;
const cpuGoal = 0.01;
const bytesGoal = 200_000;

interface Cost {
  readonly machines: number;
  readonly ready: number;
  readonly connectMs: number;
  readonly burstCpuMs: number;
  readonly heapBytesEach: number;
  readonly residentBytesEach: number;
  readonly cpuShare: number;
}

/** What many connected machines cost while nothing happens. */
export async function measureIdle(): Promise<void> {
  const server = await startServer(machines + 1);
  try {
    const script = join(__dirname, 'idleProcess.ts');
    const node = ['--expose-gc', '--import', 'tsx', script, ...server.sockets];
    const cost = JSON.parse(await run(process.execPath, node)) as Cost;
    const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`;
    printTable(`${cost.ready} machines, connected and idle`, [
      { what: 'connecting, each', measured: milliseconds(cost.connectMs / cost.machines) },
      {
        what: 'connecting and finding the process, each',
        measured: `${milliseconds(cost.burstCpuMs / cost.machines)} of processor time`,
      },
      {
        what: 'processor time, idle',
        measured: `${(cost.cpuShare * 100).toFixed(2)} % of a core`,
        goal: `< ${cpuGoal * 100} %`,
        met: cost.cpuShare < cpuGoal,
      },
      {
        what: 'heap, each',
        measured: kilobytes(cost.heapBytesEach),
        goal: `< ${kilobytes(bytesGoal)}`,
        met: cost.heapBytesEach < bytesGoal,
      },
      { what: 'resident memory, each', measured: kilobytes(cost.residentBytesEach) },
    ]);
  } finally {
    await server.stop();
  }
}
