/** Updates one Linux guest again and again, by the product and by a script in turns; in namespaces of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { provisionQemu } from '../../scripts/lib/qemu';
import { runCliProcess } from '../support/cliProcess';
import { makeTap, startLinux, type MemoryPlace } from '../support/liveUpdateLinux';
import { watchNetwork } from '../support/liveUpdateWatch';
import { pidsOf } from '../support/pidsOf';
import { updateByScript, type ScriptTimes, type ScriptedMethod } from './liveUpdateScript';

export interface BenchedUpdate extends ScriptTimes {
  readonly by: 'product' | 'script';
  /** The longest time without a reply to pings every 10 ms, and how many were lost. */
  readonly gapMs: number;
  readonly lost: number;
  readonly beatGapMs: number;
}

export interface BenchCase {
  readonly method: ScriptedMethod | 'cpr-exec';
  readonly runs: number;
}

const memory: Readonly<Record<BenchCase['method'], MemoryPlace>> = {
  'tap-adoption': 'plain',
  'cpr-transfer': 'memfd',
  'shared-ram': 'file',
  'cpr-exec': 'memfd',
};

async function main({ method, runs }: BenchCase): Promise<readonly BenchedUpdate[]> {
  const temporary = temporaryDirectory('bench');
  const directory = temporary.path;
  const build = await provisionQemu('11.1');
  const helper = join(root, `native/fdpass/build/linux-${process.arch}/fdpass`);
  makeTap(1);
  const first = await startLinux({
    ...{ build, directory, memory: memory[method], nic: 'virtio-net-pci', queues: 1 },
  });
  const watch = await watchNetwork();
  await watch.nextBeat(60_000);
  await sleep(3000);
  const env = {
    ...{ QEMU_MIGRATION_STATE: join(directory, 'state'), TMPDIR: directory },
    QEMU_MIGRATION_HELPER: helper,
  };
  const byProduct = async (): Promise<ScriptTimes> => {
    const end = await runCliProcess(
      ['live-update', first.qmp, '--qemu', build.binary, '--method', method, '--json'],
      { env },
    );
    if (end.code !== 0) throw new Error(`${end.stdout}${end.stderr}`);
    const { times } = JSON.parse(end.stdout) as { times: Partial<ScriptTimes> };
    const { beforeMs = NaN, downtimeMs = NaN, blackoutMs = NaN, afterMs = NaN } = times;
    return { beforeMs, downtimeMs, blackoutMs, afterMs };
  };
  const byScript = async (): Promise<ScriptTimes> => {
    if (method === 'cpr-exec') throw new Error('No script for cpr-exec.');
    const [sourcePid = 0] = pidsOf(/\/qemu-system-x86_64$/);
    const { binary: program } = build;
    return updateByScript({
      ...{ method, directory, helper, sourcePid, program },
      args: first.args,
    });
  };
  const all: BenchedUpdate[] = [];
  const ways = method === 'cpr-exec' ? (['product'] as const) : (['script', 'product'] as const);
  for (let run = 0; run < runs; run++) {
    for (const by of ways) {
      const from = Date.now();
      const times = await (by === 'product' ? byProduct() : byScript());
      const view = await watch.view(from, Date.now());
      const { longestGapMs: gapMs, lost, longestBeatGapMs: beatGapMs } = view;
      all.push({ ...times, by, gapMs, lost, beatGapMs });
      process.stderr.write(`${method} ${by} ${run + 1}: ${JSON.stringify(all.at(-1))}\n`);
      await sleep(300);
    }
  }
  const { errors } = watch.memory();
  if (errors > 0) throw new Error(`The guest found ${errors} strange pages.`);
  await watch.stop();
  for (const pid of pidsOf(/\/qemu-system-x86_64$/)) process.kill(pid, 'SIGKILL');
  await temporary.remove();
  return all;
}

void main(JSON.parse(process.argv[2] ?? '') as BenchCase).then(
  (all) => {
    process.stdout.write(`${JSON.stringify(all)}\n`);
    process.exit(0);
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? String(error.stack) : String(error)}\n`);
    process.exit(1);
  },
);
