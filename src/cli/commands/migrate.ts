import { isOneSided, methodTitles } from '../../migration/methods/names';
import type { RunOutcome, RunRecord } from '../../migration/run/types';
import type { MachineHandle } from '../../vm/types';
import { ExitCode, exitCodeOfOutcome, RefusedError, UsageError } from '../exitCodes';
import { outcomeDocument, outcomeLines } from '../outcomeText';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import type { MigrationOptions } from './migrationOptions';
import { Watch, type WatchOptions } from './watch';

export interface MigrateOptions extends MigrationOptions, WatchOptions {
  /** The user agrees that QEMU executes a program. */
  readonly allowExec: boolean;
}

/** Migrates and watches to the end. The first interrupt cancels, the second stops watching. */
export async function migrate(session: Session, options: MigrateOptions): Promise<CommandResult> {
  const paths = pathsOf(session, options);
  failWithoutConsent(options);
  const watch = new Watch(session, options);
  try {
    if (options.request.options?.holdSwitchover === true && !watch.takesControls) {
      throw new UsageError(
        '--hold-switchover needs somebody who lets it go on: add --interactive, and type "release".',
      );
    }
    return await Promise.race([
      watch.stopped.then(() => stoppedResult(watch, options, paths)),
      run(session, watch, options, paths),
    ]);
  } finally {
    watch.dispose();
  }
}

interface Paths {
  readonly source: string;
  readonly target: string;
}

/** @throws {UsageError} */
export function pathsOf(
  session: Session,
  { method, source, target }: Pick<MigrationOptions, 'method' | 'source' | 'target'>,
): Paths {
  const paths = { source: session.socketPath(source), target: session.socketPath(target) };
  if (!isOneSided(method) && paths.source === paths.target) {
    throw new UsageError(
      'SOURCE and TARGET are the same socket: a guest migrates to another QEMU.',
    );
  }
  return paths;
}

/** Connects to what can be connected now. @throws {QmpConnectError} */
export async function connectBoth(
  session: Session,
  { method }: Pick<MigrationOptions, 'method'>,
  paths: Paths,
): Promise<readonly [source: MachineHandle, target: MachineHandle]> {
  if (isOneSided(method)) {
    const machine = await session.connect(paths.source);
    return [machine, machine];
  }
  return Promise.all([
    session.connect(paths.source),
    // Its monitor answers only after the source has begun.
    method === 'cpr-transfer'
      ? session.registry.attach(paths.target)
      : session.connect(paths.target),
  ]);
}

async function run(
  session: Session,
  watch: Watch,
  options: MigrateOptions,
  paths: Paths,
): Promise<CommandResult> {
  const [source, target] = await connectBoth(session, options, paths);
  if (watch.interrupted) return neverStarted(options, paths);
  const started = watch.runs.start({
    ...options.request,
    source: source.id,
    target: target.id,
  });
  const outcome = await watch.follow(started);
  return outcome === 'stopped'
    ? stoppedResult(watch, options, paths)
    : outcomeResult(started.record, outcome, paths);
}

/** @throws {RefusedError} */
function failWithoutConsent({ method, allowExec }: MigrateOptions): void {
  if (method !== 'cpr-exec' || allowExec) return;
  throw new RefusedError(
    'With cpr-exec QEMU executes a program in its own place, with its rights.',
    'Say --allow-exec if that is what you want.',
  );
}

function neverStarted({ method }: MigrateOptions, paths: Paths): CommandResult {
  const restores = method === 'restore';
  return {
    exitCode: ExitCode.cancelled,
    lines: [
      `Cancelled before anything was sent: the guest stays ${restores ? 'in its file' : 'on the source'}.`,
    ],
    document: {
      outcome: 'cancelled',
      method,
      owner: restores ? 'file' : 'source',
      ...sides(paths),
    },
  };
}

function stoppedResult(watch: Watch, options: MigrateOptions, paths: Paths): CommandResult {
  if (watch.run === undefined) return neverStarted(options, paths);
  const { record } = watch.run;
  const { journalId } = record;
  const what = methodTitles[options.method];
  const places = [...new Set([paths.source, paths.target])];
  const bandwidth = options.request.maxBandwidthBytesPerSecond;
  return {
    exitCode: ExitCode.unknown,
    lines: [
      `Stopped watching. The migration (${what}) may go on without this program, or be cancelled already.`,
      'Look where the guest is, before anything else:',
      ...places.map((path) => `  qemu-migration show ${path}`),
      ...(places.length === 1
        ? []
        : ['Never continue the source while the target may run: that makes two running copies.']),
      ...(journalId === undefined
        ? []
        : [`To watch it again, and to have all put back:  qemu-migration resume ${journalId}`]),
      ...(bandwidth === undefined
        ? []
        : ['max-bandwidth of the source may still be what was set for this run.']),
    ],
    document: {
      outcome: 'unknown',
      method: options.method,
      stoppedWatching: true,
      run: journalId,
      owner: 'unknown',
      status: record.progress.status,
      phase: record.progress.phase,
      ...sides(paths),
    },
  };
}

function sides({ source, target }: Paths): Record<string, unknown> {
  return { source: { socket: source }, target: { socket: target } };
}

function outcomeResult(record: RunRecord, outcome: RunOutcome, paths: Paths): CommandResult {
  return {
    exitCode: exitCodeOfOutcome(outcome),
    lines: outcomeLines(outcome),
    document: outcomeDocument(record, outcome, paths),
  };
}
