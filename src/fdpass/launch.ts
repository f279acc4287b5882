import { spawn, type ChildProcess } from 'node:child_process';
import * as z from 'zod/mini';
import { FdPassError } from './errors';
import { digits, likeArguments, readLine, type ProcessId } from './lines';

export interface LaunchRequest {
  /** The process to be like: user, groups, namespaces, control groups, limits, folders. */
  readonly like: ProcessId;
  /** Absolute, as that process sees it. */
  readonly program: string;
  readonly args: readonly string[];
  readonly adopt?: readonly AdoptedDescriptor[];
  /** Our descriptor of a file that takes its standard output and error. */
  readonly logFd: number;
  /** Without it, what the process was started with. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** For all until the program runs; default 5000. */
  readonly timeoutMs?: number;
}

/** A descriptor of the process to be like, and the number that it gets in the program (3 to 1000). */
export interface AdoptedDescriptor {
  readonly fd: number;
  readonly number: number;
  /** The TAP that it has to be a queue of. */
  readonly ifname?: string;
}

export interface ProgramEnd {
  readonly exitCode?: number;
  readonly signal?: string;
}

export interface Launched extends ProcessId {
  /** What could not be made alike, such as `cgroup: EACCES`. */
  readonly missing: readonly string[];
  /** Never rejects. */
  readonly exited: Promise<ProgramEnd>;
  /** Sends it a signal, unless it has ended. */
  kill(signal: NodeJS.Signals): void;
}

const defaultTimeoutMs = 5000;
const report = z.object({
  ok: z.literal(true),
  verb: z.literal('launch'),
  pid: z.int().check(z.gt(0)),
  startTicks: digits,
  missing: z.array(z.string()),
});

/**
 * Starts a program in the surroundings of a process. It is a child of ours, but outlives us.
 *
 * @throws {FdPassError} nothing runs then
 */
export async function launch(helperPath: string, request: LaunchRequest): Promise<Launched> {
  const { like, program, args, adopt = [], logFd, env, signal } = request;
  const { timeoutMs = defaultTimeoutMs } = request;
  const options = [
    ...likeArguments(like),
    ...adopt.flatMap(({ fd, number, ifname }) => [
      '--adopt',
      `${fd}=${number}${ifname === undefined ? '' : `:${ifname}`}`,
    ]),
    ...['--log', '3'],
    ...(env === undefined ? ['--env-like'] : []),
  ];
  if (signal?.aborted === true) throw new FdPassError('aborted', 'the caller gave up');
  let child: ChildProcess;
  try {
    child = spawn(helperPath, ['launch', ...options, '--', program, ...args], {
      cwd: '/',
      env: { ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', logFd],
    });
  } catch (error) {
    throw neverRan(error);
  }
  const exited = new Promise<ProgramEnd>((resolve) => {
    child.once('error', () => resolve({}));
    child.once('exit', (exitCode, by) =>
      resolve({ ...(exitCode !== null && { exitCode }), ...(by !== null && { signal: by }) }),
    );
  });
  const kill = (by: NodeJS.Signals): void => void child.kill(by);
  try {
    const told = await readReport(child, signal, timeoutMs);
    child.unref();
    return { ...told, exited, kill };
  } catch (error) {
    // By then it may be the program already: either it runs and is told of, or it does not run.
    child.kill('SIGKILL');
    await exited;
    throw error;
  }
}

/** The helper's line, and the end of its stream, which comes when the program has taken its place. */
async function readReport(
  child: ChildProcess,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<ProcessId & Pick<Launched, 'missing'>> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new FdPassError('timeout', `not done within ${timeoutMs} ms`, { stderr }));
    }, timeoutMs);
    const abort = (): void => reject(new FdPassError('aborted', 'the caller gave up', { stderr }));
    signal?.addEventListener('abort', abort, { once: true });
    const settle = (end: () => void) => (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      end();
    };
    child.once('error', (error) => settle(() => reject(neverRan(error)))());
    child.stdout?.once('end', settle(resolve));
  }).finally(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  });
  const [first = '', second = ''] = stdout.split('\n');
  // A second line tells that the program could not be executed after all.
  const { pid, startTicks, missing } = readLine(second === '' ? first : second, report, { stderr });
  return { pid, startTicks: BigInt(startTicks), missing };
}

function neverRan(cause: unknown): FdPassError {
  const { message } = cause instanceof Error ? cause : { message: String(cause) };
  return new FdPassError('spawnFailed', `the helper could not be started: ${message}`, { cause });
}
