import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { FdPassError } from '../fdpass/errors';
import { launch, type AdoptedDescriptor, type ProgramEnd } from '../fdpass/launch';
import { defaultProcRoot, readProcess } from './process';
import { ownLog, type OwnStderr } from './stderr';
import type { QemuProcess } from './types';

export type { AdoptedDescriptor } from '../fdpass/launch';

export interface LaunchLikeOptions {
  /** Of a helper that was looked at before; see `locateHelper`. */
  readonly helperPath: string;
  /** Absolute, as the source sees it. */
  readonly program: string;
  readonly args: readonly string[];
  readonly adopt?: readonly AdoptedDescriptor[];
  /** Must not exist: it is made, for its owner alone, and taken away again if nothing was started. */
  readonly logFile: string;
  /** Without it, what the source was started with. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** A QEMU that we started. It goes on when this program ends. */
export interface LaunchedQemu {
  readonly process: QemuProcess;
  readonly stderr: OwnStderr;
  /** What could not be made like the source, such as `cgroup: EACCES`; empty when all was. */
  readonly missing: readonly string[];
  /** Never rejects; its code or signal. */
  readonly exited: Promise<ProgramEnd>;
  /** Ends it at once and waits for its end. */
  kill(): Promise<ProgramEnd>;
}

/**
 * Starts a QEMU in the surroundings of one that runs: same user and groups, namespaces, control
 * groups, limits, scheduling, folders, environment. It keeps no descriptors but those adopted.
 *
 * It says that it started, not that it will stay: watch `exited` until its monitor has answered.
 *
 * @throws {FdPassError} nothing was started then
 */
export async function launchLike(
  source: Pick<QemuProcess, 'pid' | 'startTicks' | 'uid'>,
  options: LaunchLikeOptions,
): Promise<LaunchedQemu> {
  const { helperPath, logFile, program, args, ...rest } = options;
  const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const log = await open(logFile, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600).catch(
    (cause: unknown) => {
      const { message } = cause instanceof Error ? cause : { message: String(cause) };
      throw new FdPassError('setupFailed', `the log cannot be made: ${message}`, { cause });
    },
  );
  try {
    const begun = await log.stat();
    const started = await launch(helperPath, {
      ...{ like: source, program, args, logFd: log.fd },
      ...rest,
    });
    const { pid, startTicks, missing, exited } = started;
    let end: ProgramEnd | undefined;
    void exited.then((how) => (end = how));
    const known = await readProcess(pid, defaultProcRoot);
    const same = known?.startTicks === startTicks ? known : undefined;
    return {
      process: {
        pid,
        startTicks,
        uid: same?.uid ?? source.uid,
        executable: same?.executable ?? program,
        root: same?.root,
        args: [program, ...args],
      },
      stderr: { ...ownLog(logFile, begun), end: () => Promise.resolve(end) },
      missing,
      exited,
      kill: () => {
        started.kill('SIGKILL');
        return exited;
      },
    };
  } catch (error) {
    await unlink(logFile).catch(() => undefined);
    throw error;
  } finally {
    await log.close();
  }
}
