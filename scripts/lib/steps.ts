import { spawn } from 'node:child_process';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A set-up step that failed in a way that the person at the terminal can act on: printed without a stack. */
export class SetupError extends Error {
  override name = 'SetupError';
}

/** Prints one line: what is done now, and why. */
export function say(what: string, why?: string): void {
  process.stdout.write(why === undefined ? `- ${what}\n` : `- ${what} (${why})\n`);
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Let the command write to the terminal instead of collecting its output. */
  readonly show?: boolean;
}

/** Runs a command without a shell and returns what it printed; throws with all its output if it fails. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', options.show ? 'inherit' : 'pipe', options.show ? 'inherit' : 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | string>((resolve, reject) => {
    child.once('error', (error) => {
      reject(new SetupError(`${command} could not be started: ${error.message}`));
    });
    child.once('close', (status, signal) => {
      resolve(status ?? signal ?? 'unknown');
    });
  });
  if (code !== 0) {
    const shown = [command, ...args].join(' ');
    throw new SetupError(`This command ended with ${code}: ${shown}\n${stdout}${stderr}`.trimEnd());
  }
  return stdout;
}

/** True when the stamp file holds exactly this text, that is: the step it belongs to was finished. */
export async function isStamped(stamp: string, content: string): Promise<boolean> {
  return (await readFile(stamp, 'utf8').catch(() => '')) === content;
}

/** Writes a file so that it is either whole or absent, whatever interrupts us. */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, content);
  await rename(temporary, file);
}

/**
 * Holds a lock between processes while `work` runs. The lock is a file that names its holder's pid,
 * created exclusively; one whose holder is gone is taken over.
 */
export async function withLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(lock), { recursive: true });
  let said = false;
  while (!(await tryLock(lock))) {
    if (!said) say('Waiting for another set-up', lock);
    said = true;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const release = () => rm(lock, { force: true });
  try {
    return await work();
  } finally {
    await release();
  }
}

async function tryLock(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = Number(await readFile(lock, 'utf8').catch(() => ''));
  if (holder > 0 && !isAlive(holder)) await rm(lock, { force: true });
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
