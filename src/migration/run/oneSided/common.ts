import { QmpClosedError, QmpCommandError, QmpTimeoutError } from '../../../qmp/errors';
import type { JsonObject } from '../../../qmp/json';
import { untilReady } from '../../../vm/ready';
import type { MachineHandle } from '../../../vm/types';
import { methodOf } from '../../methods/names';
import { plannedSettings } from '../../methods/planned';
import { switchoverEstimateBytesPerSecond } from '../checks/candidates';
import { BorrowedSettings } from '../borrowedSettings';
import { Gate } from '../gate';
import type { SideName } from '../journal/entries';
import type { Claim } from '../journal/journals';
import { noRecorder, type Recorder } from '../journal/recorder';
import type { RunJournal } from '../journal/runJournal';
import { Side } from '../look';
import { outcomeOfRefusal } from '../outcome';
import type { RunContext } from '../runContext';
import type { GuestOwner, MigrationRequest, RunOutcome, RunPhase, RunProgress } from '../types';
import { lockOfFile } from './fileHistory';

/** The user's cancel came before QEMU was asked to do anything that counts. */
export class CancelledBeforeStart extends Error {
  override readonly name = 'CancelledBeforeStart';
}

/** What the course of a run with one machine needs, whether we began it or took it up. */
export interface OneSided {
  readonly request: MigrationRequest;
  readonly machine: MachineHandle;
  readonly side: Side;
  /** The machine's role: `target` for a restore. */
  readonly role: SideName;
  readonly gate: Gate;
  readonly borrowed: BorrowedSettings;
  readonly recorder: Recorder;
  /** Its name in the journals; absent: it has none. */
  readonly journalId: string | undefined;
  /** The guest ran when the run began. */
  readonly ranBefore: boolean;
  readonly cancel: AbortSignal;
  readonly detach: AbortSignal;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
}

/** What is given to {@link oneSided}: by a new run from its context, by recovery from its journal. */
export type OneSidedParts = Omit<OneSided, 'gate' | 'borrowed' | 'recorder' | 'report'> & {
  readonly recorder?: Recorder | undefined;
  readonly report: (patch: Partial<RunProgress>) => void;
  /** Of a run that is taken up, with the settings that an earlier driver borrowed. */
  readonly earlier?: { readonly gate: Gate; readonly borrowed: BorrowedSettings };
};

/** Puts the parts together; each new state of the gate is told to who watches, and written down. */
export function oneSided(parts: OneSidedParts): OneSided {
  const { machine, recorder = noRecorder, report, log, earlier } = parts;
  if (earlier !== undefined) return { ...parts, ...earlier, recorder };
  const sides = { source: machine, target: machine };
  const onState = (phase: RunPhase, owner: GuestOwner | undefined): void => {
    report({ phase, ...(owner !== undefined && { owner }) });
    recorder.jot({ kind: 'phase', phase });
  };
  const gate = new Gate({ sides, log, onState }, 'preflight');
  const borrowed = new BorrowedSettings(sides, recorder, [], gate);
  return { ...parts, gate, borrowed, recorder };
}

export interface OneSidedCourse {
  readonly role: SideName;
  /**
   * Looks whether the run may begin, and reads what it needs; changes nothing.
   *
   * @throws {RunRefusedError}
   */
  readonly check: (context: RunContext) => Promise<void>;
  /** Never rejects. */
  readonly carryOut: (run: OneSided) => Promise<RunOutcome>;
}

/** One run with one machine, from the first look to the settled end. Never rejects. */
export async function runOneSided(
  context: RunContext,
  { role, check, carryOut }: OneSidedCourse,
): Promise<RunOutcome> {
  const { source: machine, report, request } = context;
  let claim: Claim | undefined;
  let journal: RunJournal | undefined;
  const ranNow = (): boolean => machine.snapshot.facts?.runState.running ?? false;
  try {
    report({ phase: 'preflight' });
    await machine.refresh();
    await machine.identify();
    const { file } = request.options ?? {};
    const lock = file === undefined ? undefined : await lockOfFile(file.path);
    claim = await context.journals?.claim(
      machine.snapshot,
      machine.snapshot,
      lock,
      context.holding,
    );
    await check(context);
    journal = await claim?.begin({ request, guestRan: ranNow() });
  } catch (error) {
    await claim?.release();
    const outcome = outcomeOfRefusal(error, { source: machine, target: machine });
    report({ phase: 'ended', owner: outcome.owner });
    return outcome;
  }
  if (journal !== undefined) context.named?.(journal.run);
  const run = oneSided({
    ...{ request, machine, role, report, log: context.log },
    ...{ cancel: context.cancel, detach: context.detach },
    side: new Side(machine, machine.snapshot.process),
    recorder: journal,
    journalId: journal?.run,
    ranBefore: ranNow(),
  });
  const outcome = conclude(run, await carryOut(run));
  return journal === undefined ? outcome : journal.end(outcome);
}

/** The last state, and the lamp with it. */
export function conclude({ gate, report }: OneSided, outcome: RunOutcome): RunOutcome {
  report({ note: undefined });
  gate.enter(outcome.kind === 'unknown' ? 'needs-you' : 'ended', outcome.owner);
  return outcome;
}

/** @throws {CancelledBeforeStart} */
export function failIfCancelled({ cancel }: Pick<OneSided, 'cancel'>): void {
  if (cancel.aborted) throw new CancelledBeforeStart('cancelled before the start');
}

/** These, where QEMU has them, become exactly as told; all of it is noted and put back at the end. */
export async function borrowCapabilities(
  { gate, borrowed, machine }: OneSided,
  wanted: Readonly<Record<string, boolean>>,
): Promise<void> {
  gate.check('migrate-set-capabilities');
  // It needs the return path, and so goes with it.
  const all = wanted['return-path'] === false ? { ...wanted, 'switchover-ack': false } : wanted;
  const named = (state: boolean): string[] =>
    Object.entries(all).flatMap(([name, on]) => (on === state ? [name] : []));
  // First those that go, for some exclude each other.
  await borrowed.disable(machine, named(false));
  await borrowed.enable(machine, named(true));
}

/** Sets what the request asks for (`plannedSettings`) and the speed. */
export async function borrowPlanned(run: OneSided): Promise<void> {
  const { gate, borrowed, machine, request, role } = run;
  const { capabilities, parameters } = plannedSettings(request, role);
  await borrowCapabilities(run, capabilities);
  gate.check('migrate-set-parameters');
  for (const [name, value] of Object.entries(parameters)) {
    // An older QEMU knows the mode `normal` alone, and has no name for it.
    if (name === 'mode' && value === 'normal' && !hasParameter(machine, name)) continue;
    await borrowed.set(machine, name, value, true);
  }
  const { maxBandwidthBytesPerSecond: maxBandwidth } = request;
  if (maxBandwidth === undefined || role === 'target') return;
  await borrowed.set(machine, 'max-bandwidth', maxBandwidth, true);
  const estimate = machine.snapshot.facts?.parameters['avail-switchover-bandwidth'];
  if (estimate === 0 && maxBandwidth === 0n && methodOf(request) !== 'cpr-exec') {
    const name = 'avail-switchover-bandwidth';
    await borrowed.set(machine, name, switchoverEstimateBytesPerSecond, true);
  }
}

export function hasParameter({ snapshot }: MachineHandle, name: string): boolean {
  return snapshot.facts?.schema.argument('migrate-set-parameters', name) !== undefined;
}

/**
 * Announces and sends `migrate`. A lost reply is no error: whether QEMU migrates shows in its status.
 *
 * @throws {QmpCommandError} QEMU refused
 * @throws {QmpError} it was surely not sent
 */
export async function sendMigrate(run: OneSided, args: JsonObject): Promise<void> {
  const { gate, recorder, log } = run;
  gate.check('migrate');
  await recorder.record({ kind: 'migrate' });
  try {
    await gate.send('source', 'migrate', args);
  } catch (error) {
    if (error instanceof QmpCommandError) await recorder.record({ kind: 'migrate-refused' });
    if (!isReplyLost(error, 'migrate')) throw error;
    log(`migrate: ${String(error)}`);
  }
}

/** The command went out, and nobody knows what became of it. */
export function isReplyLost(error: unknown, command: string): boolean {
  const lost = error instanceof QmpTimeoutError || error instanceof QmpClosedError;
  return lost && error.command === command;
}

/** Takes back what QEMU was given to open; the set goes away with its last descriptor. */
export async function removeFdset(run: OneSided, fdset: number | undefined): Promise<void> {
  if (fdset === undefined || !(await untilReady(run.machine))) return;
  try {
    await run.gate.send(run.role, 'remove-fd', { 'fdset-id': fdset }, { timeoutMs: 5000 });
  } catch (error) {
    // There is none if handing over failed.
    run.log(`remove-fd: ${String(error)}`);
  }
}

/** Until something is heard of the machine or wished, or for `ms`. */
export function pauseOf({ machine, cancel, detach }: OneSided, ms = 200): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      listening.dispose();
      cancel.removeEventListener('abort', done);
      detach.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const listening = machine.onEvent(({ name }) => {
      if (name === 'MIGRATION') done();
    });
    if (!cancel.aborted) cancel.addEventListener('abort', done);
    detach.addEventListener('abort', done);
  });
}

/** No figures and no errors; to be spread into an outcome. */
export const blankOutcome = {
  guestRunning: undefined,
  sourceError: undefined,
  targetError: undefined,
  totalTimeMs: undefined,
  downtimeMs: undefined,
  transferredBytes: undefined,
} as const;
