import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { TestResult } from '../../test/support/mochaRun';
import { requireTools, tools } from '../lib/packages';
import { root } from '../lib/paths';
import { spawnOwned, temporaryDirectory } from '../lib/processes';
import { buildExtension, buildHelper, prepareQemu, prepareVscode, testFiles } from '../lib/setup';
import { runWorkbenchTests } from './workbenchTier';

/** One kind of test: what it needs, and how it is run. */
export interface Tier {
  readonly about: string;
  setUp(): Promise<void>;
  run(): Promise<TestResult[]>;
}

export const tiers = {
  unit: {
    about: 'protocol, domain and view models, against fakes',
    setUp: () => Promise.resolve(),
    run: () => runMochaTier('unit', 10_000),
  },
  helper: {
    about: 'the C helper, also under the sanitizers',
    setUp: buildHelper,
    run: async () => [...(await runMake('check')), ...(await runMake('sanitize'))],
  },
  qemu: {
    about: 'real QEMUs of every supported version',
    setUp: async () => {
      await requireTools([tools.ip]);
      await buildHelper();
      await buildExtension();
      await prepareQemu();
    },
    run: () => runMochaFiles('qemu', 60_000),
  },
  workbench: {
    about: 'the extension inside a real extension host',
    setUp: async () => {
      await buildHelper();
      await buildExtension();
      await prepareVscode({ browser: true });
    },
    run: runWorkbenchTests,
  },
  ui: {
    about: 'a person at the workbench, played by a browser',
    setUp: async () => {
      await buildHelper();
      await buildExtension();
      await prepareQemu(['11.1']);
      await prepareVscode({ browser: true });
    },
    run: () => runMochaTier('ui', 120_000),
  },
} as const satisfies Record<string, Tier>;

export type TierName = keyof typeof tiers;
export const tierNames = Object.keys(tiers) as TierName[];

/** Runs a tier's files by mocha in a process of its own, and reads back what became of each test. */
async function runMochaTier(tier: string, timeoutMs: number): Promise<TestResult[]> {
  return runMocha(tier, timeoutMs, await testFiles(tier), 'inherit');
}

/** How many files of a tier that mostly waits run at the same time. */
const lanes = 2;

/** The same with a process a file, some at a time; what a file prints stays together. */
async function runMochaFiles(tier: string, timeoutMs: number): Promise<TestResult[]> {
  const waiting = [...(await testFiles(tier))];
  const results: TestResult[] = [];
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      results.push(...(await runMocha(tier, timeoutMs, [file], 'pipe')));
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return results;
}

async function runMocha(
  tier: string,
  timeoutMs: number,
  files: readonly string[],
  output: 'inherit' | 'pipe',
): Promise<TestResult[]> {
  const directory = temporaryDirectory('results');
  try {
    const resultsFile = join(directory.path, 'results.json');
    const script = join(root, 'scripts', 'test', 'mochaChild.ts');
    const args = ['--import', 'tsx', script, resultsFile, String(timeoutMs), ...files];
    const child = await spawnOwned(process.execPath, args, {
      cwd: root,
      cleansUp: true,
      stdio: ['ignore', output, output],
    });
    let printed = '';
    for (const stream of [child.child.stdout, child.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (printed += text));
    }
    const { code, signal } = await child.exited;
    process.stdout.write(printed);
    const results = JSON.parse(
      await readFile(resultsFile, 'utf8').catch(() => '[]'),
    ) as TestResult[];
    const orderly = code === 0 || results.some(({ state }) => state === 'failed');
    if (orderly) return results;
    const what = files.length === 1 ? basename(files[0] ?? '') : tier;
    return [
      ...results,
      failure(`the ${what} tests end by themselves`, `ended by ${signal ?? code ?? '?'}`),
    ];
  } finally {
    await directory.remove();
  }
}

/** Runs a make target of the helper. Its tests print a line each, `ok` or `not ok` and the title. */
async function runMake(target: string): Promise<TestResult[]> {
  const child = await spawnOwned('make', ['-s', '-C', join(root, 'native', 'fdpass'), target], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.child.stdout, child.child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      process.stdout.write(text);
    });
  }
  const { code } = await child.exited;
  const results = parseHelperOutput(target, output);
  if (code === 0 || results.some(({ state }) => state === 'failed')) return results;
  return [...results, failure(`make ${target}`, output)];
}

function parseHelperOutput(target: string, output: string): TestResult[] {
  return [...output.matchAll(/^(ok|not ok) +(.*)$/gm)].map(([, verdict, title = '']) => ({
    title: `${target} › ${title.trim()}`,
    state: verdict === 'ok' ? ('passed' as const) : ('failed' as const),
    durationMs: 0,
    ...(verdict === 'ok' ? {} : { error: output }),
  }));
}

function failure(title: string, error: string): TestResult {
  return { title, state: 'failed', durationMs: 0, error };
}
