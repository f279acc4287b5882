import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface OwnedProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<ProcessEnd>;
  readonly hasExited: () => boolean;
  /** Kills with SIGKILL unless it has ended, and waits for the end. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<void>;
}

/** What we started and is still there. Ended by pid, never by name: other QEMUs on this machine are not ours. */
const owned = new Set<ChildProcess>();
const directories = new Set<string>();
let guarded = false;

function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.on('exit', () => {
    for (const child of owned) child.kill('SIGKILL');
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  });
  // A listener replaces Node's default end, so a signal that nobody else handles must still end us.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const onSignal = () => {
      if (process.listenerCount(signal) > 1) return;
      process.exit(signal === 'SIGINT' ? 130 : 143);
    };
    process.on(signal, onSignal);
  }
}

/** A new private directory (0700) with a short path; removed by `remove`, at our exit at the latest. */
export function temporaryDirectory(purpose: string): { path: string; remove: () => Promise<void> } {
  guardExit();
  const path = mkdtempSync(join(tmpdir(), `qm-${purpose}-`));
  directories.add(path);
  const remove = async () => {
    // Retried: a process that is just ending may still write there.
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    directories.delete(path);
  };
  return { path, remove };
}

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

/**
 * Starts a process that ends with us: recorded and killed at our exit and, where `setpriv` (util-linux) is
 * there, by the kernel even if we are killed without a chance to clean up. `setpriv` replaces itself by the
 * program, so pid and /proc/PID/exe are the program's own.
 */
export async function spawnOwned(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<OwnedProcess> {
  guardExit();
  const child =
    setpriv === undefined
      ? spawn(command, args, options)
      : spawn(setpriv, ['--pdeathsig', 'KILL', '--', command, ...args], options);
  owned.add(child);
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      owned.delete(child);
      resolve({ code, signal });
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      owned.delete(child);
      reject(error);
    });
  });
  const hasExited = () => child.exitCode !== null || child.signalCode !== null;
  return {
    child,
    pid: child.pid ?? -1,
    exited,
    hasExited,
    stop: async (signal = 'SIGKILL') => {
      if (!hasExited()) child.kill(signal);
      await exited;
    },
  };
}
