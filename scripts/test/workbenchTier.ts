import { readFile, realpath, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runTests } from '@vscode/test-electron';
import { build, type Plugin } from 'esbuild';
import type { TestResult } from '../../test/support/mochaRun';
import { openWorkbench } from '../../test/support/workbench';
import { findProgram } from '../lib/packages';
import { root } from '../lib/paths';
import { temporaryDirectory } from '../lib/processes';
import { exists, testFiles } from '../lib/setup';
import { quietSettings } from '../lib/vscodeServer';
import { say, writeWhole } from '../lib/steps';

const bundle = join(root, 'out', 'workbench', 'index.js');
const resultsFile = join(root, 'out', 'workbench', 'results.json');

/**
 * Runs test/workbench inside a real extension host: a desktop VS Code's where there is one, else that of the
 * npm build, opened in Chromium. The same bundle serves both; results come back in a file, because the
 * extension host is another process.
 */
export async function runWorkbenchTests(): Promise<TestResult[]> {
  await bundleTests();
  await rm(resultsFile, { force: true });
  const desktop = await desktopExecutable();
  const log = desktop === undefined ? await runInBrowser() : await runOnDesktop(desktop);
  const written = await readFile(resultsFile, 'utf8').catch(() => undefined);
  const error = `The extension host wrote no results.\n${log}`;
  if (written === undefined) {
    return [{ title: 'workbench tests', state: 'failed', durationMs: 0, error }];
  }
  const results = JSON.parse(written) as TestResult[];
  for (const { state, title, durationMs } of results) {
    const sign = { passed: '✔', failed: '✘', skipped: '-' }[state];
    process.stdout.write(`    ${sign} ${title} (${durationMs} ms)\n`);
  }
  if (results.some(({ state }) => state === 'failed')) process.stdout.write(log);
  return results;
}

/** One file for all suites, with the `run()` that an extension host calls. */
export async function bundleTests(): Promise<void> {
  const suites = (await testFiles('workbench')).map(
    (file) => `() => require(${JSON.stringify(file)})`,
  );
  const contents = `
    import { writeFileSync } from 'node:fs';
    import { runMocha } from './test/support/mochaRun';
    export async function run() {
      const suites = [${suites.join(', ')}];
      const results = await runMocha({ reporter: 'none', timeoutMs: 60_000, suites });
      writeFileSync(${JSON.stringify(resultsFile)}, JSON.stringify(results));
      if (results.some(({ state }) => state === 'failed')) throw new Error('Tests failed.');
    }`;
  await build({
    stdin: { contents, resolveDir: root, sourcefile: 'index.ts', loader: 'ts' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'inline',
    mainFields: ['module', 'main'],
    external: ['vscode', 'mocha', 'playwright-core', 'tsx', 'esbuild'],
    outfile: bundle,
    plugins: [keepPlaces],
    logLevel: 'warning',
  });
}

/** A bundled file lies elsewhere, but what it looks up beside itself (recordings) does not: keep its place. */
const keepPlaces: Plugin = {
  name: 'keep places',
  setup: (bundler) => {
    bundler.onLoad({ filter: /[\\/](test|scripts)[\\/].*\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const place = JSON.stringify(dirname(path));
      const contents = source.replaceAll(/\bimport\.meta\.dirname\b|\b__dirname\b/g, place);
      return { contents, loader: 'ts' };
    });
  },
};

async function runInBrowser(): Promise<string> {
  const workbench = await openWorkbench({ extensionTests: bundle });
  try {
    await workbench.testsEnded;
    return workbench.log();
  } finally {
    await workbench.close();
  }
}

async function runOnDesktop(vscodeExecutablePath: string): Promise<string> {
  const { path: directory, remove } = temporaryDirectory('workbench');
  try {
    const folder = join(directory, 'workspace');
    await writeWhole(join(folder, '.vscode', 'settings.json'), JSON.stringify(quietSettings));
    await runTests({
      vscodeExecutablePath,
      extensionDevelopmentPath: root,
      extensionTestsPath: bundle,
      launchArgs: [
        folder,
        '--disable-extensions',
        '--disable-workspace-trust',
        `--user-data-dir=${join(directory, 'user')}`,
      ],
    });
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await remove();
  }
}

/** `VSCODE_EXECUTABLE_PATH`, else the program behind a `code` on PATH, if there is a display to show it. */
async function desktopExecutable(): Promise<string | undefined> {
  const named = process.env['VSCODE_EXECUTABLE_PATH'];
  if (named !== undefined) return named;
  const code = findProgram(['code']);
  const display = process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY'];
  if (code === undefined || display === undefined) return undefined;
  // /usr/bin/code is a link to SHARE/code/bin/code, a script beside whose folder the program lies.
  const executable = join(dirname(dirname(await realpath(code))), 'code');
  if (!(await exists(executable))) return undefined;
  say(`Testing in ${executable}`, 'a desktop VS Code is installed');
  return executable;
}
