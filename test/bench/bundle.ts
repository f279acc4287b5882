import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { root } from '../../scripts/lib/paths';
import { run } from '../../scripts/lib/steps';
import { median, milliseconds, printTable, quantile, type Row } from './table';

const activationGoalMs = 50;
const processes = 15;

/** Builds for production in a folder of its own, so that `dist/` stays what it is. */
async function buildForProduction(): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'qmbench-build-'));
  for (const name of ['src', 'webview', 'node_modules', 'package.json', 'tsconfig.json']) {
    await symlink(join(root, name), join(directory, name));
  }
  await run(process.execPath, [join(root, 'esbuild.mjs'), '--production'], { cwd: directory });
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** Sizes of the production bundles, and what loading and activating the extension costs. */
export async function measureBundles(): Promise<void> {
  const { directory, remove } = await buildForProduction();
  try {
    const bundles = ['extension.js', 'cli.js'].map((name) => join(directory, 'dist', name));
    printTable('Bundles, minified', await Promise.all(bundles.map(sizeRow)));
    const [extension = ''] = bundles;
    printTable(
      `Activation with a stub of vscode (${processes} fresh processes)`,
      await activationRows(extension),
    );
  } finally {
    await remove();
  }
}

async function sizeRow(file: string): Promise<Row> {
  const content = await readFile(file);
  const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`;
  return {
    what: basename(file),
    measured: `${kilobytes(content.length)}, ${kilobytes(gzipSync(content).length)} gzipped`,
  };
}

interface Activation {
  readonly require: number;
  readonly activate: number;
  readonly total: number;
}

async function activationRows(extension: string): Promise<Row[]> {
  const probe = join(__dirname, 'activationProbe.cjs');
  const all: Activation[] = [];
  for (let index = 0; index < processes; index += 1) {
    const printed = await run(process.execPath, [probe, extension]);
    all.push(JSON.parse(printed) as Activation);
  }
  const row = (what: string, values: readonly number[]): Row => ({
    what,
    measured: `median ${milliseconds(median(values))}, worst ${milliseconds(quantile(values, 1))}`,
  });
  const totals = all.map((one) => one.total);
  return [
    row(
      'require',
      all.map((one) => one.require),
    ),
    row(
      'activate',
      all.map((one) => one.activate),
    ),
    {
      ...row('together', totals),
      goal: `median < ${activationGoalMs} ms`,
      met: median(totals) < activationGoalMs,
    },
  ];
}
