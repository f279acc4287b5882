import { QmpConnection } from '../../src/qmp/connection';
import { BareClient } from './bareClient';
import { median, printTable, type Row } from './table';

interface Client {
  execute(command: string): Promise<unknown>;
  close(): void;
}

interface Mode {
  readonly name: string;
  readonly command: string;
  readonly commands: number;
  /** How many are on their way at a time. */
  readonly depth: number;
}

const modes: readonly Mode[] = [
  { name: 'one at a time', command: 'query-status', commands: 3000, depth: 1 },
  { name: 'pipelined', command: 'query-status', commands: 20_000, depth: 500 },
  {
    name: 'pipelined, 1 kB replies',
    command: 'query-migrate-parameters',
    commands: 10_000,
    depth: 500,
  },
];
const qemuModes: readonly Mode[] = [
  { name: 'one at a time', command: 'query-status', commands: 1000, depth: 1 },
  { name: 'pipelined', command: 'query-status', commands: 2000, depth: 8 },
];
const rounds = 11;
const goal = 0.95;

/** Commands per second of our client against the bare one, in turns, over the same server. */
export async function measureThroughput(socket: string, kind: 'server' | 'qemu'): Promise<void> {
  const rows: Row[] = [];
  for (const mode of kind === 'qemu' ? qemuModes : modes) {
    const rates: Record<'ours' | 'bare', number[]> = { ours: [], bare: [] };
    const cpu: Record<'ours' | 'bare', number[]> = { ours: [], bare: [] };
    for (let round = -1; round < rounds; round += 1) {
      const order = round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const);
      for (const which of order) {
        const client: Client = await (which === 'ours' ? QmpConnection : BareClient).connect(
          socket,
        );
        await drive(client, { ...mode, commands: mode.depth });
        const { perSecond, cpuMicroseconds } = await drive(client, mode);
        client.close();
        // The first round warms up.
        if (round < 0) continue;
        rates[which].push(perSecond);
        cpu[which].push(cpuMicroseconds);
      }
    }
    const ratios = rates.ours.map((rate, round) => rate / (rates.bare[round] ?? NaN));
    const ratio = median(ratios);
    rows.push({
      what: mode.name,
      measured: [
        `ours ${perSecondText(rates.ours)}`,
        `bare ${perSecondText(rates.bare)}`,
        `CPU a command ${median(cpu.ours).toFixed(1)} / ${median(cpu.bare).toFixed(1)} us`,
        `ratio ${ratio.toFixed(2)}`,
      ].join(', '),
      goal: `ratio >= ${goal}`,
      met: ratio >= goal,
    });
  }
  const against = kind === 'qemu' ? 'a real QEMU' : 'a trivial server';
  printTable(`QMP commands per second, against ${against} (median of ${rounds})`, rows);
}

async function drive(
  client: Client,
  mode: Mode,
): Promise<{ perSecond: number; cpuMicroseconds: number }> {
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  for (let done = 0; done < mode.commands; done += mode.depth) {
    if (mode.depth === 1) await client.execute(mode.command);
    else {
      const batch: Promise<unknown>[] = [];
      for (let index = 0; index < mode.depth; index += 1) batch.push(client.execute(mode.command));
      await Promise.all(batch);
    }
  }
  const seconds = (performance.now() - start) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  return {
    perSecond: mode.commands / seconds,
    cpuMicroseconds: (cpu.user + cpu.system) / mode.commands,
  };
}

function perSecondText(rates: readonly number[]): string {
  return `${Math.round(median(rates)).toLocaleString('en')}/s`;
}
