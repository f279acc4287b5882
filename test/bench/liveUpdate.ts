import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { provisionLinuxGuest } from '../../scripts/lib/linuxGuest';
import { root } from '../../scripts/lib/paths';
import { provisionQemu } from '../../scripts/lib/qemu';
import { buildHelper } from '../../scripts/lib/setup';
import type { BenchCase, BenchedUpdate } from './liveUpdateCase';
import { median, milliseconds, printTable, quantile, type Row } from './table';

const methods: readonly BenchCase['method'][] = [
  ...(['tap-adoption', 'shared-ram', 'cpr-transfer', 'cpr-exec'] as const),
];

/** Times of live updates (QEMU 11.1 to itself, a Linux guest on a TAP) beside those of a bare script. */
export async function measureLiveUpdates(): Promise<void> {
  await buildHelper();
  await provisionLinuxGuest();
  await provisionQemu('11.1');
  const runs = Number(process.env['BENCH_RUNS'] ?? '20');
  for (const method of methods) {
    const all = await updates({ method, runs });
    printTable(
      `Live update by ${method}, ${runs} runs each: median / p99 of ours, of a bare script that sends the same lines`,
      rowsOf(all),
    );
  }
}

function rowsOf(all: readonly BenchedUpdate[]): readonly Row[] {
  const of = (by: BenchedUpdate['by'], key: Exclude<keyof BenchedUpdate, 'by'>): number[] =>
    all.filter((one) => one.by === by).map((one) => one[key]);
  const row = (what: string, key: Exclude<keyof BenchedUpdate, 'by'>): Row => {
    const [ours, script] = [of('product', key), of('script', key)];
    const text = (values: readonly number[]): string =>
      values.length === 0
        ? 'not measured'
        : `${milliseconds(median(values))} / ${milliseconds(quantile(values, 0.99))}`;
    const measured = `${text(ours).padEnd(24)}${text(script)}`;
    if (key !== 'gapMs' || script.length === 0) return { what, measured };
    const met =
      median(ours) - median(script) <= 5 && quantile(ours, 0.99) - quantile(script, 0.99) <= 5;
    return { what, measured, goal: 'within 5 ms of the script', met };
  };
  const lost = (by: BenchedUpdate['by']): string =>
    `${of(by, 'lost').reduce((sum, one) => sum + one, 0)}`;
  return [
    row('pause that QEMU reports', 'downtimeMs'),
    row('STOP of the old to RESUME of the new', 'blackoutMs'),
    row('longest gap between ping replies', 'gapMs'),
    row('longest gap between heartbeats', 'beatGapMs'),
    row('before: from the begin to "migrate"', 'beforeMs'),
    row('after: from "completed" to the last name', 'afterMs'),
    { what: 'pings lost in all runs', measured: `${lost('product').padEnd(24)}${lost('script')}` },
  ];
}

async function updates(wanted: BenchCase): Promise<readonly BenchedUpdate[]> {
  const namespaces = ['--net', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const script = join(root, 'test/bench/liveUpdateCase.ts');
  const child = spawn(
    'unshare',
    [...namespaces, process.execPath, '--import', 'tsx', script, JSON.stringify(wanted)],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0)
    throw new Error(`${wanted.method} ended with ${String(code)}:\n${stdout}${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as BenchedUpdate[];
}
