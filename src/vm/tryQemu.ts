import { spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';

/** A QEMU to be started once, beside one that runs. */
export interface Trial {
  /** Of the one that runs: environment and rights are taken from it. */
  readonly pid: number;
  readonly uid: number;
  readonly cwd: string;
  /** Absolute. */
  readonly program: string;
  /** They are to give it a QMP on its standard streams, and nothing that others use. */
  readonly args: readonly string[];
}

const patienceMs = 10_000;
const dialogue = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n';

/**
 * Starts a QEMU that is told to quit as soon as it answers. Never rejects.
 *
 * @returns what it complained of; `undefined` when it came up and quit
 */
export async function tryQemu({
  pid,
  uid,
  cwd,
  program,
  args,
}: Trial): Promise<string | undefined> {
  const env = await environmentOf(pid);
  if (env === undefined) return 'the environment of the running QEMU may not be read';
  const group = await stat(`/proc/${pid}`).then(
    ({ gid }) => gid,
    () => undefined,
  );
  const asOther = process.getuid?.() === 0 && uid !== 0 && group !== undefined;
  return new Promise((resolve) => {
    const child = spawn(program, [...args], {
      ...{ cwd, env, stdio: 'pipe', timeout: patienceMs, killSignal: 'SIGKILL' },
      ...(asOther && { uid, gid: group }),
    });
    let said = '';
    let complaint = '';
    child.stdout.on('data', (data: Buffer) => (said += data.toString()));
    child.stderr.on('data', (data: Buffer) => (complaint += data.toString()));
    // It may be gone before it has read anything.
    child.stdin.on('error', () => undefined);
    child.stdin.write(dialogue);
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => {
      if (code === 0 && said.includes('"QMP"')) {
        resolve(undefined);
        return;
      }
      const end = signal === null ? `it ended with exit code ${code}` : `it was ended (${signal})`;
      const lines = complaint.trim().split('\n');
      resolve(lines.at(-1) || end);
    });
  });
}

/** What another program in the same process would inherit. */
async function environmentOf(pid: number): Promise<Record<string, string> | undefined> {
  const text = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const entries = text.split('\0').flatMap((entry): [string, string][] => {
    const at = entry.indexOf('=');
    return at < 1 ? [] : [[entry.slice(0, at), entry.slice(at + 1)]];
  });
  // Of an earlier replacement: with it QEMU would look for the memory of a guest.
  return Object.fromEntries(entries.filter(([name]) => name !== 'QEMU_CPR_EXEC_STATE'));
}
