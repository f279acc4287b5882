import { inspect } from 'node:util';
import type Mocha from 'mocha';

export interface TestResult {
  readonly title: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly durationMs: number;
  /** Message, difference and stack of a failure. */
  readonly error?: string;
}

export interface MochaRunOptions {
  readonly timeoutMs: number;
  /** `spec` prints as it goes; `none` where nobody sees the output, as in the extension host. */
  readonly reporter: 'spec' | 'none';
  /** Test files to load from disk ... */
  readonly files?: readonly string[];
  /** ... or functions that register suites, where a bundler has put the files together. */
  readonly suites?: readonly (() => unknown)[];
}

/** Runs mocha in this process and returns what became of each test, failed hooks included. */
export async function runMocha(options: MochaRunOptions): Promise<TestResult[]> {
  const { default: MochaClass } = await import('mocha');
  const mocha = new MochaClass({
    ui: 'bdd',
    timeout: options.timeoutMs,
    forbidOnly: process.env['CI'] !== undefined,
    reporter: options.reporter === 'spec' ? 'spec' : MochaClass.reporters.Base,
    ...(process.env['TEST_GREP'] === undefined ? {} : { grep: process.env['TEST_GREP'] }),
  });
  for (const file of options.files ?? []) mocha.addFile(file);
  await mocha.loadFilesAsync();
  // The bundle has no files to load, so the globals that a file would find are set here.
  mocha.suite.emit('pre-require', globalThis, '', mocha);
  for (const register of options.suites ?? []) register();
  const results: TestResult[] = [];
  await new Promise<void>((resolve) => {
    const runner = mocha.run(() => {
      resolve();
    });
    const add = (test: Mocha.Runnable, state: TestResult['state'], error?: unknown) => {
      results.push({
        title: test.titlePath().join(' › '),
        state,
        durationMs: test.duration ?? 0,
        ...(error === undefined ? {} : { error: describeError(error) }),
      });
    };
    runner.on('pass', (test) => {
      add(test, 'passed');
    });
    runner.on('pending', (test) => {
      add(test, 'skipped');
    });
    runner.on('fail', (test, error: unknown) => {
      add(test, 'failed', error);
    });
  });
  return results;
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error);
  const cause = error.cause === undefined ? '' : `\ncaused by: ${describeError(error.cause)}`;
  const { expected, actual } = error as { expected?: unknown; actual?: unknown };
  const compared = expected !== undefined || actual !== undefined;
  const values = compared ? `\nexpected: ${inspect(expected)}\nactual:   ${inspect(actual)}` : '';
  return `${error.stack ?? error.message}${values}${cause}`;
}
