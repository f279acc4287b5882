import { isAlive, listPids, readProcess } from '../../vm/process';
import type { MachineHandle, QemuProcess } from '../../vm/types';
import { AbsentMachine } from '../run/journal/absentMachine';
import type { ProcessIdentity } from '../run/journal/entries';
import type { Holding, Journals, ListedRun, UpdateClaim } from '../run/journal/journals';
import { identityOf, isSameIdentity, isStillThere, keyOfProcess } from '../run/journal/processes';
import type { JournalledUpdateEnd } from '../run/journal/updateEntries';
import type { UpdateJournal } from '../run/journal/updateJournal';
import { isRunOf, type UpdateState } from '../run/journal/updateState';
import { Side } from '../run/look';
import type { Attach, Run } from '../run/runs';
import type { RunOutcome, RunProgress } from '../run/types';
import type { UpdatePatience, UpdateRegistry } from './host';
import { noTimes } from './measure';
import { textOf } from './names';
import { blankUpdate, journalEnd, stayedOutcome } from './outcome';
import { stillHasGuest } from './processEnd';
import { rollBack } from './rollBack';
import { settleUpdate } from './settle';
import { isStartedFor } from './startTarget';
import type { UpdateOutcome, UpdateProgress } from './types';

export interface UpdateRecovery {
  readonly journal: UpdateJournal;
  /** What the journal proved when it was taken over. */
  readonly state: UpdateState;
  readonly holding: Holding;
  readonly add: UpdateClaim['add'];
  readonly journals: Journals;
  readonly registry: UpdateRegistry;
  readonly runs: {
    recover(journalId: string, attach: Attach, holding?: Holding): Promise<Run>;
  };
  /** Connects to a socket, and goes on trying where that fails. */
  readonly attach: Attach;
  readonly patience: UpdatePatience;
  readonly cancel: AbortSignal;
  readonly report: (patch: Partial<UpdateProgress>) => void;
  readonly log: (line: string) => void;
}

/**
 * Takes up a live update whose driver is gone: first its run, then what remains, by the run's outcome and
 * by what the processes show. Never rejects; closes the journal unless something is left to be done.
 */
export async function recoverUpdate(recovery: UpdateRecovery): Promise<UpdateOutcome> {
  const { journal, state, log } = recovery;
  const { outcome, settled } = await recover(recovery).catch((error: unknown) => {
    log(`recovery of ${journal.id}: ${String(error)}`);
    const detail = `It could not be found out: ${textOf(error)}`;
    return { outcome: unknownOutcome(state, [detail]), settled: false };
  });
  const told = { ...outcome, details: [interruptedText(state), ...outcome.details] };
  await journal.end(journalEnd(told), settled);
  return told;
}

interface Ended {
  readonly outcome: UpdateOutcome;
  readonly settled: boolean;
}

/** What is there of both, and the run between them. */
interface Found {
  readonly source: MachineHandle;
  readonly sourceProcess: ProcessIdentity | undefined;
  readonly target: MachineHandle | undefined;
  readonly targetProcess: QemuProcess | undefined;
  readonly run: RunOutcome | undefined;
}

async function recover(recovery: UpdateRecovery): Promise<Ended> {
  const { state, report, registry } = recovery;
  const { machine, plan } = state.begin;
  report({ step: 'Looking for both QEMUs.' });
  const targetProcess = await findTarget(state);
  await claimTarget(recovery, targetProcess);
  const sourceProcess = machine.process;
  const sourceThere = sourceProcess !== undefined && (await isStillThere(sourceProcess));
  const run = plan.method === 'cpr-exec' ? undefined : await endRun(recovery, targetProcess);
  const exec = plan.method === 'cpr-exec' ? await endRun(recovery, undefined) : undefined;
  if (plan.method === 'cpr-exec') return endExec(state, exec);
  // After the run, which connects both for itself.
  const source = sourceThere
    ? await recovery.attach(machine.socket)
    : (registry.get(machine.socket) ?? new AbsentMachine(machine, true));
  const target =
    targetProcess === undefined ? undefined : await reachTarget(recovery, targetProcess);
  const found = { source, sourceProcess, target, targetProcess, run };
  // A run that was announced may have moved the guest, also when its journal is not there any more.
  if (run === undefined && state.runAnnounced && targetProcess !== undefined) {
    const view = await new Side(source, sourceProcess).look();
    if (!stillHasGuest(view)) return leave(recovery, found);
  }
  if (run === undefined || run.owner === 'source') {
    return sourceThere || targetProcess === undefined
      ? takeBack(recovery, found)
      : leave(recovery, found);
  }
  return run.owner === 'target' && targetProcess !== undefined
    ? settle(recovery, found)
    : leave(recovery, found);
}

/** The QEMU that was started, or about to be: that path is on no other command line. */
async function findTarget({
  target,
  begin,
  launchAnnounced,
}: UpdateState): Promise<QemuProcess | undefined> {
  if (target !== undefined) {
    if (!(await isStillThere(target))) return undefined;
    const found = await readProcess(target.pid);
    return found?.startTicks === target.startTicks ? found : undefined;
  }
  if (!launchAnnounced) return undefined;
  for (const pid of await listPids()) {
    if (pid === begin.machine.process?.pid) continue;
    const found = await readProcess(pid);
    if (found !== undefined && isStartedFor(found, begin.plan.qmpSocket)) return found;
  }
  return undefined;
}

/** How the run ended, taken up where it was left; `undefined`: none was begun. */
async function endRun(
  recovery: UpdateRecovery,
  targetProcess: QemuProcess | undefined,
): Promise<RunOutcome | undefined> {
  const { state, journals, runs, attach, holding, report, cancel } = recovery;
  if (!state.runAnnounced) return undefined;
  const listed = await findRun(journals, state);
  if (listed === undefined) return undefined;
  if (listed.state.ended) return listed.state.outcome;
  report({ phase: 'run', step: 'Taking up the migration.' });
  const { plan } = state.begin;
  const reach: Attach = (socket) =>
    socket === plan.qmpSocket && targetProcess !== undefined
      ? reachTarget(recovery, targetProcess)
      : attach(socket);
  const run = await runs.recover(listed.id, reach, holding);
  const listening = run.onDidChange(({ progress }: { readonly progress: RunProgress }) =>
    report({ run: progress }),
  );
  const stop = (): void => run.cancel();
  cancel.addEventListener('abort', stop, { once: true });
  if (cancel.aborted) stop();
  try {
    return await run.outcome;
  } finally {
    cancel.removeEventListener('abort', stop);
    listening.dispose();
  }
}

/** By its name, else by its machine: the name may not have been written down any more. */
async function findRun(journals: Journals, update: UpdateState): Promise<ListedRun | undefined> {
  const { runs } = await journals.list();
  const { runId } = update;
  return runs.find(({ id, state }) =>
    runId === undefined ? isRunOf(update, state) : id === runId,
  );
}

/** Also of one that is gone: the lock of the program that died is taken away with ours. */
async function claimTarget(
  { add, state }: UpdateRecovery,
  process: QemuProcess | undefined,
): Promise<void> {
  const identity = state.target ?? (process && (await identityOf(process)));
  if (identity === undefined) return;
  await add({ key: keyOfProcess(identity), label: state.begin.plan.label });
}

/** The target under its own path, or under the old one if that was moved already. */
async function reachTarget(
  { registry, state, patience, attach }: UpdateRecovery,
  process: QemuProcess,
): Promise<MachineHandle> {
  const { plan, machine } = state.begin;
  const known = registry.get(plan.qmpSocket);
  if (known?.snapshot.state.kind === 'ready') return known;
  const lent = registry.lend(plan.qmpSocket, plan.label, process, 'new QEMU');
  const deadline = Date.now() + Math.min(patience.startMs, 3000);
  for (;;) {
    try {
      await lent.connect();
      return lent;
    } catch {
      // Somebody's connection may be ending just now; or its name was moved.
      if (Date.now() > deadline || !(await isAlive(process))) break;
      const moved = await attach(machine.socket);
      const now = await identityOf(process);
      const there = await moved.identify();
      const isIt = there !== undefined && isSameIdentity(await identityOf(there), now);
      if (isIt && moved.snapshot.state.kind === 'ready') return moved;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  return lent;
}

async function settle(recovery: UpdateRecovery, found: Found): Promise<Ended> {
  const { state, journal, registry, patience, report, log } = recovery;
  const { plan, machine } = state.begin;
  const { source, sourceProcess, target, targetProcess, run } = found;
  if (targetProcess === undefined || target === undefined) return leave(recovery, found);
  report({ phase: 'settle' });
  // Its place in the list is what the new QEMU takes.
  if (registry.get(machine.socket) === undefined) await recovery.attach(machine.socket);
  const settled = await settleUpdate({
    ...{ plan, machine: machine.socket, registry, patience, log, sourceProcess, targetProcess },
    source: new Side(source, sourceProcess),
    target: new Side(target, targetProcess),
    record: (entry) => journal.record(entry),
    jot: (entry) => journal.jot(entry),
    step: (step) => report({ step }),
  });
  const { leftovers, sourceGone } = settled;
  return {
    settled: sourceGone,
    outcome: {
      ...blankUpdate,
      kind: 'updated',
      run,
      headline: `The guest of ${plan.label} is in the new QEMU (pid ${targetProcess.pid}).`,
      details: [...(run?.details ?? []), `It writes to ${plan.logFile}.`],
      nextStep: leftovers.length === 0 ? 'Nothing is left to do.' : 'See to what was left behind.',
      times: { ...noTimes, downtimeMs: run?.downtimeMs },
      leftovers,
      targetPid: targetProcess.pid,
    },
  };
}

async function takeBack(recovery: UpdateRecovery, found: Found): Promise<Ended> {
  const { state, journal, registry, patience, report, log } = recovery;
  const { plan } = state.begin;
  const { source, sourceProcess, target, targetProcess, run } = found;
  report({ phase: 'roll-back' });
  const { leftovers, targetGone } = await rollBack(
    {
      ...{ plan, patience, log, targetProcess },
      // Its watch has put them back when the program died.
      taps: undefined,
      source: new Side(source, sourceProcess),
      target: new Side(target ?? source, targetProcess ?? sourceProcess),
      proven:
        run === undefined
          ? 'no run was begun, so it was never given a guest'
          : 'the run has ended, and the source has the guest',
      record: (entry) => journal.record(entry),
      step: (step) => report({ step }),
      forget: () => registry.remove(plan.qmpSocket),
    },
    'the program that drove the update ended',
  );
  const kind = run?.kind === 'cancelled' ? 'cancelled' : 'failed';
  const reasons = run === undefined ? [] : [run.headline, ...run.details];
  const outcome = stayedOutcome(plan.label, { kind, run, reasons }, leftovers);
  const gone = sourceProcess !== undefined && !(await isStillThere(sourceProcess));
  return {
    settled: targetGone,
    outcome: gone
      ? {
          ...outcome,
          headline: `The QEMU of ${plan.label} has ended since, and no update took its guest elsewhere.`,
          nextStep: 'Start the guest anew from its disk, if it is still needed.',
        }
      : outcome,
  };
}

async function leave({ state }: UpdateRecovery, found: Found): Promise<Ended> {
  const { targetProcess, run } = found;
  const source = state.begin.machine.process;
  const targetThere = targetProcess !== undefined && (await isAlive(targetProcess));
  const sourceThere = source !== undefined && (await isStillThere(source));
  const over = run?.owner === 'nobody' || (!targetThere && !sourceThere);
  return {
    settled: over && !targetThere && !sourceThere,
    outcome: {
      ...unknownOutcome(state, run === undefined ? [] : [run.headline, ...run.details]),
      ...(over && {
        kind: 'failed',
        headline: run?.headline ?? `Both QEMUs of ${state.begin.plan.label} have ended since.`,
        nextStep: run?.nextStep ?? 'Nothing is left to do for this update.',
      }),
      run,
      targetPid: targetProcess?.pid,
    },
  };
}

function endExec(state: UpdateState, run: RunOutcome | undefined): Ended {
  const { plan } = state.begin;
  if (run?.kind === 'completed' || run?.kind === 'too-late-to-cancel') {
    const outcome: UpdateOutcome = {
      ...blankUpdate,
      ...{ kind: 'updated', run, headline: run.headline, details: run.details },
      nextStep: 'Nothing is left to do.',
      targetPid: state.begin.machine.process?.pid,
    };
    return { outcome, settled: true };
  }
  if (run === undefined || run.owner === 'source') {
    const kind = run?.kind === 'cancelled' ? 'cancelled' : 'failed';
    const reasons = run === undefined ? [] : [run.headline, ...run.details];
    return { outcome: stayedOutcome(plan.label, { kind, run, reasons }, []), settled: true };
  }
  const outcome = { ...unknownOutcome(state, [run.headline, ...run.details]), run };
  return run.owner === 'nobody'
    ? { outcome: { ...outcome, kind: 'failed', headline: run.headline }, settled: true }
    : { outcome, settled: false };
}

function unknownOutcome({ begin }: UpdateState, details: readonly string[]): UpdateOutcome {
  const { plan, machine } = begin;
  return {
    ...blankUpdate,
    kind: 'unknown',
    headline: `It is not known which QEMU has the guest of ${plan.label}.`,
    details,
    nextStep: `Look at "query-status" at ${machine.socket} and at ${plan.qmpSocket}. Continue neither until one is known not to run.`,
  };
}

/** In words that also the summary of a journal uses. */
function interruptedText({ driver, startedAt, incomplete, left }: UpdateState): string {
  const when = new Date(startedAt).toLocaleString();
  const how = left ? 'left it open' : 'ended in the middle of it';
  const gap = incomplete ? ' Its journal is incomplete.' : '';
  return `It was begun ${when} by ${driver.program} (pid ${driver.pid}), which ${how}.${gap}`;
}

/** What is written when a person says that an update needs no more attention. */
export function forgottenUpdate({ begin }: UpdateState): JournalledUpdateEnd {
  const { plan, machine } = begin;
  return {
    kind: 'failed',
    headline: `The live update of ${plan.label} was set aside by hand; nothing was sent.`,
    details: [],
    nextStep: `Look for two QEMUs of this guest, at ${machine.socket} and at ${plan.qmpSocket}: neither was ended, and no name was moved.`,
    leftovers: [],
  };
}
