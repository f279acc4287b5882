import { spawn, type ChildProcess } from 'node:child_process';
import type net from 'node:net';

/** How a run of the helper ended. It always has: nothing of it is left. */
export interface HelperEnd {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** It said far too much and was killed for it. */
  readonly flooded: boolean;
  /** It never ran. */
  readonly spawnError: Error | undefined;
}

/** From the polite signal, which still gets a report, to the one that cannot be ignored. */
const graceMs = 500;
/** For a process that inherited the helper's output and keeps it open. */
const lingerMs = 200;
const maxOutputBytes = 64 * 1024;

/**
 * Runs the helper: absolute path, no shell, hardly an environment. `inherited` become its descriptors
 * 3, 4, ...; sockets go on being read here. Never rejects; on abort it ends the helper first.
 */
export async function runHelper(
  path: string,
  args: readonly string[],
  inherited: readonly (net.Socket | number)[],
  signal: AbortSignal,
): Promise<HelperEnd> {
  let child: ChildProcess;
  try {
    child = spawn(path, args, {
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe', ...inherited],
    });
  } catch (error) {
    return neverRan(error);
  } finally {
    // Node stops reading a socket that it hands to a child, whether the child starts or not.
    for (const item of inherited) if (typeof item !== 'number') item.resume();
  }
  return new Promise((resolve) => new HelperRun(child, signal, resolve));
}

class HelperRun {
  private readonly child: ChildProcess;
  private readonly signal: AbortSignal;
  private readonly resolve: (end: HelperEnd) => void;
  private readonly output = { stdout: '', stderr: '' };
  private flooded = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(child: ChildProcess, signal: AbortSignal, resolve: (end: HelperEnd) => void) {
    this.child = child;
    this.signal = signal;
    this.resolve = resolve;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => this.read(name, text));
    }
    child.once('error', (error) => {
      if (child.pid === undefined) this.finish(neverRan(error));
    });
    child.once('exit', () => this.schedule(lingerMs, () => this.dropOutput()));
    child.once('close', (exitCode: number | null, by: NodeJS.Signals | null) =>
      this.finish({
        ...this.output,
        flooded: this.flooded,
        exitCode: exitCode ?? undefined,
        signal: by ?? undefined,
        spawnError: undefined,
      }),
    );
    signal.addEventListener('abort', this.stop, { once: true });
    if (signal.aborted) this.stop();
  }

  private readonly stop = (): void => {
    if (this.hasExited()) return;
    this.child.kill('SIGTERM');
    this.schedule(graceMs, () => this.child.kill('SIGKILL'));
  };

  private read(name: 'stdout' | 'stderr', text: string): void {
    this.output[name] = (this.output[name] + text).slice(0, maxOutputBytes);
    if (this.output[name].length === maxOutputBytes && !this.hasExited()) {
      this.flooded = true;
      this.child.kill('SIGKILL');
    }
  }

  private hasExited(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private dropOutput(): void {
    this.child.stdout?.destroy();
    this.child.stderr?.destroy();
  }

  private schedule(delayMs: number, work: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(work, delayMs);
  }

  private finish(end: HelperEnd): void {
    clearTimeout(this.timer);
    this.signal.removeEventListener('abort', this.stop);
    this.dropOutput();
    this.resolve(end);
  }
}

function neverRan(error: unknown): HelperEnd {
  const spawnError = error instanceof Error ? error : new Error(String(error));
  return {
    exitCode: undefined,
    signal: undefined,
    stdout: '',
    stderr: '',
    flooded: false,
    spawnError,
  };
}
