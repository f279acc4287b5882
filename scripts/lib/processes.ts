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
const helpers = new Set<ChildProcess>();
const leaders = new Set<ChildProcess>();
const directories = new Set<string>();
let guarded = false;

function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.on('exit', () => {
    for (const child of owned) child.kill('SIGKILL');
    for (const child of leaders) killGroup(child);
    // Retried, because what was killed just now may still be writing.
    const options = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 };
    for (const directory of directories) rmSync(directory, options);
  });
  // A listener replaces Node's default end, so a signal that nobody else handles must still end us.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (process.listenerCount(signal) > 1) return;
      void endHelpers().then(() => process.exit(signal === 'SIGINT' ? 130 : 143));
    });
  }
  // npm passes a signal on to the shell between us, which ends without telling us: notice that it is gone.
  const parent = process.ppid;
  if (process.env['npm_lifecycle_event'] !== undefined) {
    const watch = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(watch);
      process.kill(process.pid, 'SIGTERM');
    }, 500).unref();
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

function killGroup(leader: ChildProcess): void {
  try {
    if (leader.pid !== undefined) process.kill(-leader.pid, 'SIGKILL');
  } catch {
    // Nobody is left in it.
  }
}

/** Asks our own scripts to end and gives them a moment to clean up after themselves. */
async function endHelpers(): Promise<void> {
  const ends = [...helpers].map((child) => {
    child.kill('SIGTERM');
    return new Promise((resolve) => child.once('exit', resolve));
  });
  const patience = new Promise((resolve) => setTimeout(resolve, 5000));
  await Promise.race([Promise.all(ends), patience]);
}

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

/**
 * Starts a process that ends with us: recorded and killed at our exit and, where `setpriv` (util-linux) is
 * there, by the kernel even if we are killed without a chance to clean up. `setpriv` replaces itself by the
 * program, so pid and /proc/PID/exe are the program's own. `cleansUp`: a script of ours that started processes
 * itself, so that it is asked to end before it is made to. `detached`: leads a group, which ends with it.
 */
export async function spawnOwned(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { readonly cleansUp?: boolean } = {},
): Promise<OwnedProcess> {
  guardExit();
  const deathSignal = options.cleansUp || options.detached ? 'TERM' : 'KILL';
  const child =
    setpriv === undefined
      ? spawn(command, args, options)
      : spawn(setpriv, ['--pdeathsig', deathSignal, '--', command, ...args], options);
  owned.add(child);
  if (options.cleansUp) helpers.add(child);
  if (options.detached) leaders.add(child);
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      owned.delete(child);
      helpers.delete(child);
      // Its children may outlive it, the group's number stays theirs as long as they do.
      if (leaders.delete(child)) killGroup(child);
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
