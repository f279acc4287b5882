import { spawn, type ChildProcess } from 'node:child_process';
import { build } from 'esbuild';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';

const bundles = new Map<string, Promise<string>>();

/** Bundles the command-line program as `npm run build` does, once a test run, and returns its path. */
export function cliBundle(entry = 'src/cli/main.ts'): Promise<string> {
  let bundle = bundles.get(entry);
  if (bundle === undefined) {
    bundle = bundleCli(entry);
    bundles.set(entry, bundle);
  }
  return bundle;
}

async function bundleCli(entry: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'qmcli-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const outfile = join(directory, 'cli.js');
  await build({
    entryPoints: [join(root, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    mainFields: ['module', 'main'],
    logLevel: 'error',
  });
  return outfile;
}

let state: string | undefined;

/** What the runs of this test process leave is no business of the person's who runs it. */
function ownState(): string {
  if (state === undefined) {
    const directory = mkdtempSync(join(tmpdir(), 'qmstate-'));
    process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
    state = directory;
  }
  return state;
}

export interface CliEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<CliEnd>;
  /** What it has printed there so far. */
  readonly stderr: () => string;
  /** Resolves when the program has printed that on stderr. */
  saidOnStderr(pattern: RegExp): Promise<void>;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Another main program; see `killedCli.ts`. */
  readonly entry?: string;
  /** Something can be typed: `child.stdin` is there. */
  readonly typed?: boolean;
}

/** Starts the bundled program as a person's shell would. */
export async function startCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliProcess> {
  const child = spawn(process.execPath, [await cliBundle(options.entry), ...args], {
    cwd: options.cwd,
    env: { ...process.env, QEMU_MIGRATION_STATE: ownState(), ...options.env },
    stdio: [options.typed === true ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<CliEnd>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return {
    child,
    ended,
    stderr: () => stderr,
    saidOnStderr: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(stderr)) return;
          child.stderr?.off('data', look);
          resolve();
        };
        child.stderr?.on('data', look);
        void ended.then(() =>
          reject(new Error(`Ended without saying ${String(pattern)}:\n${stdout}${stderr}`)),
        );
        look();
      }),
  };
}

/** Runs the bundled program to its end. */
export async function runCliProcess(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliEnd> {
  return (await startCli(args, options)).ended;
}
