import { spawn, type ChildProcess } from 'node:child_process';
import * as z from 'zod/mini';
import { FdPassError } from './errors';
import { likeArguments, readLine, type ProcessId } from './lines';

/** A TAP queue that a process has open. */
export interface HeldTap {
  /** Its descriptor there; names the TAP in all that follows. */
  readonly fd: number;
  readonly ifname: string;
  /** The right header size, where it is known better than by the TAP, such as after a crash of ours. */
  readonly headerSize?: number;
  /** The right offloads (`TUN_F_*`), where they are known better than by the TAP. */
  readonly offloads?: number;
}

export interface TapState {
  readonly fd: number;
  readonly ifname: string;
  /** False: the interface is gone, and the rest is what was recorded. */
  readonly known: boolean;
  /** Size of the virtio-net header now, and when it began. It belongs to the TAP as a whole. */
  readonly headerSize: number;
  readonly recordedHeaderSize: number;
  readonly vnetHeader: boolean;
  readonly multiQueue: boolean;
  /** Whether the queue takes packets, now and when it began. */
  readonly attached: boolean;
  readonly recordedAttached: boolean;
  readonly sndbuf: number;
  /** Offloads (`TUN_F_*`) of the TAP now, and when it began or as told; `null`: they cannot be read. */
  readonly offloads: number | null;
  readonly recordedOffloads: number | null;
  /** Why they cannot be read, such as `EPERM`. */
  readonly offloadsErrno: string | null;
  /** How often the guard, or a restore, had to put something back. */
  readonly putBack: number;
  /** For how long at most it had been wrong then, in microseconds. */
  readonly lateUs: number;
}

export interface TapGuardState {
  readonly guarding: boolean;
  /** The process has ended; nothing is looked after or put back any more. */
  readonly sourceGone: boolean;
  readonly taps: readonly TapState[];
}

/** Offloads (`TUN_F_*`) by the descriptor in the process. */
export type OffloadsByFd = ReadonlyMap<number, number>;

export interface TapGuardOptions {
  readonly signal?: AbortSignal;
  /** How long the guard goes on by itself when this program dies while it guards; default 10000. */
  readonly lingerMs?: number;
}

const answerTimeoutMs = 5000;
const maxLineBytes = 64 * 1024;
const count = z.int().check(z.gte(0));
const state = z.object({
  ok: z.literal(true),
  verb: z.literal('hold'),
  command: z.string(),
  guarding: z.boolean(),
  sourceGone: z.boolean(),
  taps: z.array(
    z.object({
      fd: count,
      ifname: z.string(),
      known: z.boolean(),
      headerSize: z.int(),
      recordedHeaderSize: z.int(),
      vnetHeader: z.boolean(),
      multiQueue: z.boolean(),
      attached: z.boolean(),
      recordedAttached: z.boolean(),
      sndbuf: z.int(),
      offloads: z.nullable(count),
      recordedOffloads: z.nullable(count),
      offloadsErrno: z.nullable(z.string()),
      putBack: count,
      lateUs: z.int(),
    }),
  ),
});

interface Waiting {
  readonly resolve: (state: TapGuardState) => void;
  readonly reject: (error: FdPassError) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Looks after the TAPs of a running QEMU while another one takes them (helper verb `hold`). A QEMU
 * that takes a TAP sets its header size to 10 and detaches queues, and the one that runs then reads
 * every packet wrongly. If this program dies without {@link release}, the helper puts all back.
 */
export class TapGuard {
  private readonly child: ChildProcess;
  private readonly waiting: Waiting[] = [];
  private stdout = '';
  private stderr = '';
  private failure: FdPassError | undefined;
  private readonly ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.ended = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', (cause) => {
        const message = `the helper could not be started: ${cause.message}`;
        this.fail(new FdPassError('spawnFailed', message, { cause }));
        resolve();
      });
    });
    // By then all that it said has been read.
    child.once('close', (exitCode, signal) => this.fail(this.goneError(exitCode, signal)));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => this.read(text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-maxLineBytes);
    });
    // It may be gone before it has read a command; its end tells.
    child.stdin?.on('error', () => undefined);
  }

  /**
   * Duplicates the descriptors and records what can be read of each TAP. Changes nothing.
   *
   * @throws {FdPassError} `notPermitted`, `notThatTap`, `processGone`, ...
   */
  static async begin(
    helperPath: string,
    source: ProcessId,
    taps: readonly HeldTap[],
    { signal, lingerMs }: TapGuardOptions = {},
  ): Promise<{ readonly guard: TapGuard; readonly state: TapGuardState }> {
    if (signal?.aborted === true) throw new FdPassError('aborted', 'the caller gave up');
    const args = [
      ...['hold', ...likeArguments(source)],
      ...taps.flatMap(({ fd, ifname }) => ['--tap', `${fd}:${ifname}`]),
      ...taps.flatMap(({ fd, headerSize, offloads }) => [
        ...(headerSize === undefined ? [] : ['--header-size', `${fd}=${headerSize}`]),
        ...(offloads === undefined ? [] : ['--offloads', `${fd}=${offloads}`]),
      ]),
      ...(lingerMs === undefined ? [] : ['--linger-ms', String(lingerMs)]),
    ];
    let child: ChildProcess;
    try {
      child = spawn(helperPath, args, {
        cwd: '/',
        env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
        stdio: 'pipe',
        // What ends a terminal's programs at once must not end it before it has put things back.
        detached: true,
      });
    } catch (error) {
      const { message } = error instanceof Error ? error : { message: String(error) };
      throw new FdPassError('spawnFailed', message, { cause: error });
    }
    const guard = new TapGuard(child);
    const abort = (): void => guard.fail(new FdPassError('aborted', 'the caller gave up'));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return { guard, state: await guard.answer() };
    } catch (error) {
      child.kill('SIGTERM');
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** From now on the TAPs are looked at every 100 microseconds, and put right at once. */
  guard(): Promise<TapGuardState> {
    return this.command('guard');
  }

  unguard(): Promise<TapGuardState> {
    return this.command('unguard');
  }

  /**
   * Before a QEMU is started that takes several queues: it takes them all for attached, detaches all
   * but the first, and aborts where one is detached already (as those are that the guest does not
   * use). Attaches these, and leaves them alone until {@link restore}.
   */
  lend(): Promise<TapGuardState> {
    return this.command('lend');
  }

  /**
   * With several queues, when the guest stands still and before the other QEMU loads it (so the run
   * needs `pause-before-switchover`): that QEMU attaches the queues that the guest uses, and aborts
   * where one is attached. Detaches all but the first of each TAP, and leaves them alone until
   * {@link restore}.
   */
  handOver(): Promise<TapGuardState> {
    return this.command('hand-over');
  }

  /** Puts all back that was recorded; offloads that are given count instead of the recorded ones. */
  restore(offloads: OffloadsByFd = new Map()): Promise<TapGuardState> {
    return this.command(withFlags('restore', offloads));
  }

  /** Names the offloads that are to be set, also if this program dies, instead of the recorded ones. */
  onLoss(offloads: OffloadsByFd): Promise<TapGuardState> {
    return this.command(withFlags('on-loss', offloads));
  }

  /** What the TAPs are like now. */
  query(): Promise<TapGuardState> {
    return this.command('query');
  }

  /** Lets go of the TAPs as they are, and ends the helper. */
  async release(): Promise<TapGuardState> {
    const last = await this.command('release');
    this.child.stdin?.end();
    await this.ended;
    return last;
  }

  private command(line: string): Promise<TapGuardState> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const answer = this.answer();
    this.child.stdin?.write(`${line}\n`);
    return answer;
  }

  private answer(): Promise<TapGuardState> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) {
        reject(this.failure);
        return;
      }
      const timer = setTimeout(() => {
        // The order of the answers is lost with it. At the end of its input it puts things back.
        this.fail(new FdPassError('timeout', `no answer within ${answerTimeoutMs} ms`));
      }, answerTimeoutMs);
      this.waiting.push({ resolve, reject, timer });
    });
  }

  private read(text: string): void {
    this.stdout += text;
    for (let end; (end = this.stdout.indexOf('\n')) !== -1;) {
      const line = this.stdout.slice(0, end);
      this.stdout = this.stdout.slice(end + 1);
      const waiting = this.waiting.shift();
      if (waiting === undefined) continue;
      clearTimeout(waiting.timer);
      try {
        waiting.resolve(readLine(line, state, { stderr: this.stderr }));
      } catch (error) {
        waiting.reject(error as FdPassError);
      }
    }
    if (this.stdout.length > maxLineBytes) {
      this.fail(new FdPassError('badOutput', 'the helper said far too much'));
    }
  }

  private fail(error: FdPassError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.child.stdin?.end();
    for (const { reject, timer } of this.waiting.splice(0)) {
      clearTimeout(timer);
      reject(error);
    }
  }

  private goneError(exitCode: number | null, signal: NodeJS.Signals | null): FdPassError {
    const message = `the helper that looks after the TAPs ended (${signal ?? exitCode ?? '?'})`;
    return new FdPassError('crashed', message, {
      exitCode: exitCode ?? undefined,
      signal: signal ?? undefined,
      stderr: this.stderr,
    });
  }
}

function withFlags(command: string, offloads: OffloadsByFd): string {
  return [command, ...[...offloads].map(([fd, flags]) => `${fd}=${flags}`)].join(' ');
}
