import { RunInterruptedError } from '../journal/errors';
import type { Ending } from '../ending';
import type { JournalState } from '../journal/state';
import { stageOf } from '../migrationInfo';
import type { RecoveryContext } from '../recover';
import type { RunOutcome } from '../types';
import type { FileChannel } from '../../methods/stateFile';
import { blankOutcome, conclude, oneSided, type OneSided } from './common';
import { endFailedRestore, endRestore, RestoreFollower } from './restore';
import { endFailedStart, endSave } from './save';
import { SaveFollower } from './saveFollow';
import { readNote } from './savedNote';

/** Takes up a save (`save`, `cpr-reboot`) whose driver is gone. May reject. */
export async function recoverSave(context: RecoveryContext, ending: Ending): Promise<RunOutcome> {
  const { state, wishes } = context;
  const run = runOf(context, ending);
  const channel = channelOf(state);
  const source = await run.side.look();
  // The journal's last entries may be missing.
  const stage = source.kind === 'answered' ? stageOf(source.migrationStatus) : 'none';
  const isUnderWay = !['none', 'completed', 'failed', 'cancelled'].includes(stage);
  const wasGiven = source.kind === 'answered' && source.runState.status === 'postmigrate';
  if (!state.migrateSent && !isUnderWay && !wasGiven) {
    const error = state.cancelAsked ? undefined : new RunInterruptedError(state.driver);
    return conclude(run, await endFailedStart(run, channel, error));
  }
  if (source.kind === 'gone') {
    const done = await alreadyComplete(run, channel);
    if (done !== undefined) return conclude(run, done);
  }
  run.gate.enter('transfer');
  const followed = await new SaveFollower(run).follow(wishes);
  return conclude(run, await endSave(run, channel, followed));
}

/** Takes up a restore whose driver is gone. May reject. */
export async function recoverRestore(
  context: RecoveryContext,
  ending: Ending,
): Promise<RunOutcome> {
  const { state, wishes } = context;
  const run = runOf(context, ending);
  const channel = channelOf(state);
  const follower = new RestoreFollower(run);
  const target = await run.side.look();
  const isAsNew = target.kind === 'answered' && stageOf(target.migrationStatus) === 'none';
  // What the target says counts more than a journal whose last entries may be missing.
  if (isAsNew || (target.kind === 'gone' && !state.incomingSent)) {
    follower.dispose();
    const isCancel = state.cancelAsked && !state.incomingSent;
    const error = isCancel ? undefined : new RunInterruptedError(state.driver);
    const outcome = await endFailedRestore(run, channel, { error, used: false, remarks: [] });
    return conclude(run, outcome);
  }
  run.gate.enter('transfer');
  return conclude(run, await endRestore(run, channel, await follower.follow(wishes), []));
}

function runOf(context: RecoveryContext, ending: Ending): OneSided {
  const { state, journal, report, log, detach } = context;
  const { request, gate, borrowed, sides } = ending;
  const cancelling = new AbortController();
  const cancel = (): void => cancelling.abort();
  // Whoever asked for it still wants it.
  if (state.cancelAsked || context.cancel.aborted) cancel();
  else context.cancel.addEventListener('abort', cancel, { once: true });
  return oneSided({
    ...{ request, machine: sides.source.machine, side: sides.source, report, log, detach },
    role: request.method === 'restore' ? 'target' : 'source',
    cancel: cancelling.signal,
    recorder: journal,
    journalId: journal.run,
    ranBefore: state.begin.guestRan,
    earlier: { gate, borrowed },
  });
}

function channelOf({ channel, begin }: JournalState): FileChannel {
  if (channel?.transport === 'file') return channel;
  return { transport: 'file', path: begin.request.options?.file?.path ?? '' };
}

/** The driver had seen the end, and did not come to write it down. */
async function alreadyComplete(
  run: OneSided,
  { path }: FileChannel,
): Promise<RunOutcome | undefined> {
  const read = await readNote(path);
  if (read.kind !== 'read' || read.note.run !== run.journalId) return undefined;
  if (read.note.state !== 'complete') return undefined;
  return {
    ...blankOutcome,
    kind: 'completed',
    owner: 'file',
    guestRunning: false,
    headline: `The guest of ${run.side.label} is saved in ${path}, and runs nowhere now.`,
    details: [`The QEMU of ${run.side.label} has ended since.`],
    nextStep: `To restore: start a QEMU with the same options and "-incoming defer", and restore ${path} into it.`,
  };
}
