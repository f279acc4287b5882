import { readFile } from 'node:fs/promises';
import {
  argumentsText,
  ArgumentsTextError,
  parseArguments,
} from '../../migration/liveUpdate/argumentsText';
import type { FleetEnd, OpenUpdateDesk, UpdateDesk } from '../../migration/liveUpdate/desk';
import { updateSeveral, type Fleet } from '../../migration/liveUpdate/several';
import type { LiveUpdatePlan, LiveUpdateRequest } from '../../migration/liveUpdate/types';
import type { LiveUpdateRecord } from '../../migration/liveUpdate/updates';
import { updateProgressText } from '../../migration/view/updateWords';
import type { MachineHandle } from '../../vm/types';
import { ExitCode, RefusedError, UsageError } from '../exitCodes';
import { Interrupts } from '../interrupts';
import type { CommandResult } from '../result';
import { clock, type Session } from '../session';
import {
  fleetDocument,
  fleetExitCode,
  fleetLines,
  planLines,
  updateDocument,
  updateExitCode,
  updateLines,
} from '../updateText';
import { helperFinder, openRuns, type WatchOptions } from './watch';

export interface LiveUpdateOptions extends Omit<WatchOptions, 'stdin' | 'interactive'> {
  /** As typed. */
  readonly sockets: readonly string[];
  /** Without a program: what is now at the path that the running one was started from. */
  readonly request: Omit<LiveUpdateRequest, 'machine' | 'args' | 'program'> & {
    readonly program?: string;
  };
  /** A file with the target's arguments, absolute. */
  readonly argsFile: string | undefined;
  readonly dryRun: boolean;
  readonly script: boolean;
  /** Print the arguments as they were planned, for `--args`. */
  readonly printArgs: boolean;
  readonly canaryLimitMs: number | undefined;
  readonly atATime: number;
  readonly openDesk: OpenUpdateDesk;
}

/** Plans, shows or runs the update of one machine, or of several with the first one alone. */
export async function liveUpdate(
  session: Session,
  options: LiveUpdateOptions,
): Promise<CommandResult> {
  const machines = machinesOf(session, options);
  const args = options.argsFile === undefined ? undefined : await readArguments(options.argsFile);
  const runs = openRuns(session, options);
  const desk = options.openDesk({
    registry: session.registry,
    runs,
    journals: session.journals,
    locateHelper: helperFinder(options),
    log: (line) => {
      if (options.verbose) session.terminal.note(`${clock()} ${line}`);
    },
  });
  try {
    const plans: LiveUpdatePlan[] = [];
    for (const machine of machines) {
      const handle = await session.connect(machine);
      session.terminal.progress(`planning the update of ${handle.snapshot.label}`);
      const program = options.request.program ?? (await programOf(handle));
      plans.push(
        await desk.plan({
          ...options.request,
          machine: handle.id,
          program,
          ...(args !== undefined && { args }),
        }),
      );
    }
    session.terminal.endProgress();
    if (options.dryRun || options.script || options.printArgs) return shown(desk, plans, options);
    failIfBlocked(plans, options);
    return await run(session, desk, plans, options);
  } finally {
    desk.dispose();
    runs.dispose();
    session.terminal.endProgress();
  }
}

/** @throws {UsageError} */
function machinesOf(
  session: Session,
  { sockets, script, printArgs, argsFile }: LiveUpdateOptions,
): readonly string[] {
  const paths = sockets.map((socket) => session.socketPath(socket));
  if (new Set(paths).size < paths.length) throw new UsageError('A socket was named twice.');
  const forOne: readonly (readonly [boolean, string])[] = [
    [script, '--script'],
    [printArgs, '--print-args'],
    [argsFile !== undefined, '--args'],
  ];
  for (const [given, option] of forOne) {
    if (given && paths.length > 1) throw new UsageError(`${option} is for one machine.`);
  }
  return paths;
}

/** A package that was upgraded has another program at the same path. @throws {UsageError} */
async function programOf(machine: MachineHandle): Promise<string> {
  const running = await machine.identify();
  if (running?.executable !== undefined) return running.executable.replace(/ \(deleted\)$/, '');
  throw new UsageError(
    `Which program ${machine.snapshot.label} runs could not be found out: name one with --qemu PATH.`,
  );
}

/** @throws {UsageError} */
async function readArguments(path: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--args: ${error instanceof Error ? error.message : String(error)}.`);
  }
  try {
    return parseArguments(text).map((placed) => placed.text);
  } catch (error) {
    if (!(error instanceof ArgumentsTextError)) throw error;
    throw new UsageError(`${path}:${error.line}: ${error.message}`);
  }
}

function shown(
  desk: UpdateDesk,
  plans: readonly LiveUpdatePlan[],
  { script, printArgs }: LiveUpdateOptions,
): CommandResult {
  const blocked = plans.some(isBlocked);
  const texts = plans.map((plan) => {
    if (script) return desk.script(plan);
    return printArgs ? argumentsText(plan.start.args) : desk.document(plan);
  });
  const [only] = plans;
  return {
    exitCode: blocked ? ExitCode.refused : ExitCode.ok,
    lines: texts.flatMap((text, index) => [...(index === 0 ? [] : ['']), text.trimEnd()]),
    document: {
      dryRun: true,
      ...(plans.length === 1 ? { plan: only, ...(script && { script: texts[0] }) } : { plans }),
    },
  };
}

function isBlocked({ findings }: LiveUpdatePlan): boolean {
  return findings.some(({ level }) => level === 'blocks');
}

/** Nothing has begun: that is the moment to say that one of many cannot be updated. @throws {RefusedError} */
function failIfBlocked(plans: readonly LiveUpdatePlan[], { request }: LiveUpdateOptions): void {
  const blocked = plans.filter(isBlocked);
  if (blocked.length === 0) return;
  const next =
    request.force === undefined
      ? '"--dry-run" shows the whole plan. What can be overruled is overruled by --force "REASON".'
      : '"--dry-run" shows the whole plan.';
  throw new RefusedError(blocked.flatMap((plan) => planLines(plan)).join('\n'), next);
}

async function run(
  session: Session,
  desk: UpdateDesk,
  plans: readonly LiveUpdatePlan[],
  options: LiveUpdateOptions,
): Promise<CommandResult> {
  const { terminal } = session;
  let fleet: Fleet | undefined;
  let leave: (how: 'stopped') => void = () => undefined;
  const stopped = new Promise<'stopped'>((resolve) => (leave = resolve));
  const interrupts = new Interrupts(options.signals, (count) => {
    if (count > 1) {
      leave('stopped');
      return;
    }
    fleet?.cancel();
    terminal.note(
      'Cancelling: a guest that has not gone over stays in its old QEMU. Waiting for what really happens. Once more (Ctrl+C): stop watching.',
    );
  });
  try {
    const several = plans.length > 1;
    const told = new Map<number, string>();
    const pauseLimitMs = options.canaryLimitMs;
    fleet = updateSeveral(
      desk,
      plans,
      { atATime: options.atATime, ...(pauseLimitMs !== undefined && { pauseLimitMs }) },
      (record) => {
        const { progress, outcome, id, label } = record;
        const name = several ? `${label}: ` : '';
        if (outcome !== undefined) {
          if (several && told.get(id) !== 'ended') terminal.note(`${name}${outcome.headline}`);
          told.set(id, 'ended');
          return;
        }
        const news = told.get(id) !== progress.phase;
        told.set(id, progress.phase);
        terminal.progress(`${name}${updateProgressText(progress)}`, Date.now(), news);
      },
    );
    const end = await Promise.race([fleet.end, stopped]);
    terminal.endProgress();
    if (end === 'stopped') return stoppedResult(fleet.rows.flatMap(({ record }) => record ?? []));
    return several ? fleetResult(end) : oneResult(end);
  } finally {
    interrupts.dispose();
  }
}

function oneResult({ rows, stopped }: FleetEnd): CommandResult {
  const record = rows[0]?.record;
  if (record?.outcome === undefined) {
    throw new RefusedError(rows[0]?.skipped ?? stopped ?? 'Nothing was begun.');
  }
  return {
    exitCode: updateExitCode(record.outcome),
    lines: updateLines(record, record.outcome),
    document: updateDocument(record),
  };
}

function fleetResult(end: FleetEnd): CommandResult {
  return {
    exitCode: fleetExitCode(end),
    lines: fleetLines(end),
    document: fleetDocument(end),
  };
}

function stoppedResult(records: readonly LiveUpdateRecord[]): CommandResult {
  const open = records.filter(({ outcome }) => outcome === undefined);
  const journals = open.flatMap(({ journalId }) => journalId ?? []);
  return {
    exitCode: ExitCode.unknown,
    lines: [
      'Stopped watching. What QEMU was told to do goes on without this program; the rest of the update does not.',
      'Never continue a guest by hand before you know which QEMU has it.',
      ...(journals.length === 0
        ? []
        : [
            'To find out how it stands, and to have it finished or put back:',
            ...journals.map((journal) => `  qemu-migration resume ${journal}`),
          ]),
    ],
    document: {
      outcome: 'unknown',
      stoppedWatching: true,
      machines: records.map((record) => updateDocument(record)),
    },
  };
}
