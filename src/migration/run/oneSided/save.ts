import { FdPassError } from '../../../fdpass/errors';
import { untilReady } from '../../../vm/ready';
import {
  channelsOf,
  createStateFile,
  removeStateFile,
  syncStateFile,
  type FileChannel,
} from '../../methods/stateFile';
import { readMigrationInfo } from '../migrationInfo';
import { FileGone, Proof, type SideView } from '../ownership';
import type { RunContext } from '../runContext';
import type { RunOutcome } from '../types';
import {
  borrowPlanned,
  CancelledBeforeStart,
  failIfCancelled,
  hasParameter,
  removeFdset,
  runOneSided,
  sendMigrate,
  type OneSided,
} from './common';
import { checkSave } from './saveChecks';
import { beginNote, changeNote, dropNote } from './savedGuest';
import { syncDirectoryOf } from './savedNote';
import { SaveFollower, type SaveFollowed } from './saveFollow';
import {
  continuedSinceOutcome,
  lostSightOfSaveOutcome,
  lostWhileSavingOutcome,
  notOnDiskOutcome,
  notSavedOutcome,
  savedOutcome,
  type SaveFacts,
} from './saveWords';

/** Saves the guest to a file (`save`, `cpr-reboot`); never rejects. */
export function runSave(context: RunContext): Promise<RunOutcome> {
  return runOneSided(context, {
    role: 'source',
    check: checkSave,
    carryOut: (run) => carryOut(run, context),
  });
}

async function carryOut(run: OneSided, context: RunContext): Promise<RunOutcome> {
  const { gate, recorder, machine, request } = run;
  const wanted = request.options?.file;
  let channel: FileChannel = { transport: 'file', path: wanted?.path ?? '' };
  const follower = new SaveFollower(run);
  try {
    gate.enter('prepare');
    await borrowPlanned(run);
    const passed = wanted?.passDescriptor === true;
    // With multifd QEMU dies of a set that has no descriptor for direct I/O (seen in 10.0 and 11.1).
    if (passed && hasParameter(machine, 'direct-io')) {
      await run.borrowed.set(machine, 'direct-io', false, true);
    }
    failIfCancelled(run);
    if (passed) gate.check('add-fd');
    channel = await createStateFile(machine, {
      path: channel.path,
      helper: passed ? await context.locateHelper() : undefined,
      signal: run.cancel,
      announce: async (what) => {
        if (what.transport === 'file') channel = what;
        await recorder.record({ kind: 'channel', channel: what });
      },
    });
    await beginNote(run, channel);
    failIfCancelled(run);
    await sendMigrate(run, channelsOf(channel));
  } catch (error) {
    follower.dispose();
    return endFailedStart(run, channel, isCancel(error) ? undefined : error);
  }
  gate.enter('transfer');
  return endSave(run, channel, await follower.follow(context.wishes));
}

function isCancel(error: unknown): boolean {
  if (error instanceof CancelledBeforeStart) return true;
  return error instanceof FdPassError && error.reason === 'aborted';
}

/**
 * QEMU did not begin: takes back all.
 *
 * @param error `undefined`: the user cancelled
 */
export async function endFailedStart(
  run: OneSided,
  channel: FileChannel,
  error: unknown,
): Promise<RunOutcome> {
  run.gate.enter('settle');
  // A helper that failed half-way costs the connection, not the QEMU.
  await untilReady(run.machine);
  await removeFdset(run, channel.fdset);
  const leftover = await takeBackFile(run, channel);
  const source = await run.side.look();
  const notPutBack = await run.borrowed.putBack('all');
  const facts = factsOf(run, channel, source, notPutBack);
  if (source.kind === 'gone') return lostWhileSavingOutcome(facts, false);
  return error === undefined
    ? notSavedOutcome(facts, { kind: 'cancelled', leftover })
    : notSavedOutcome(facts, { kind: 'failed', error, leftover });
}

/** QEMU came to an end with it, or was lost from sight. */
export async function endSave(
  run: OneSided,
  channel: FileChannel,
  followed: SaveFollowed,
): Promise<RunOutcome> {
  const { end } = followed;
  if (end === 'lost-sight') {
    return lostSightOfSaveOutcome(factsOf(run, channel, followed.source, []));
  }
  run.gate.enter('settle');
  await removeFdset(run, channel.fdset);
  if (end === 'completed') return endCompleted(run, channel, followed);
  if (end === 'source-gone') {
    return lostWhileSavingOutcome(factsOf(run, channel, followed.source, []), true);
  }
  const leftover = await takeBackFile(run, channel);
  const source = await bringBack(run, channel, followed.source);
  const notPutBack = await run.borrowed.putBack('all');
  const facts = factsOf(run, channel, source, notPutBack);
  // QEMU may call the end of a cancel "failed" as well.
  const kind = followed.cancelSent || end === 'cancelled' ? 'cancelled' : 'failed';
  return notSavedOutcome(facts, { kind, leftover });
}

async function endCompleted(
  run: OneSided,
  channel: FileChannel,
  { source }: SaveFollowed,
): Promise<RunOutcome> {
  const { path } = channel;
  // To be seen by whoever restores before anything else is done.
  const isContinued = source.kind === 'answered' && source.runState.running;
  if (isContinued) await changeNote(path, (note) => ({ ...note, state: 'stale' })).catch(ignore);
  const onDisk = isContinued ? undefined : await confirm(path);
  const noteProblem =
    typeof onDisk?.bytes === 'number'
      ? await changeNote(path, (note) => ({
          ...note,
          state: 'complete',
          bytes: onDisk.bytes,
        })).then(() => undefined, messageOf)
      : undefined;
  const notPutBack = await run.borrowed.putBack('all');
  const facts = factsOf(run, channel, source, notPutBack);
  if (onDisk === undefined) return continuedSinceOutcome(facts);
  if (onDisk.bytes === undefined) return notOnDiskOutcome(facts, onDisk.why);
  const ignoreShared = run.request.options?.ignoreShared === true;
  const tooLate = run.cancel.aborted;
  return savedOutcome(facts, { bytes: onDisk.bytes, tooLate, noteProblem, ignoreShared });
}

type OnDisk =
  | { readonly bytes: number; readonly why?: undefined }
  | { readonly bytes?: undefined; readonly why: string };

/** QEMU promises nothing about the disk, and its process may be quit next. */
async function confirm(path: string): Promise<OnDisk> {
  try {
    const bytes = await syncStateFile(path);
    await syncDirectoryOf(path);
    return { bytes };
  } catch (error) {
    return { why: messageOf(error) };
  }
}

/** Of a save that did not complete. @returns what is left of it, as a sentence */
async function takeBackFile(run: OneSided, channel: FileChannel): Promise<string | undefined> {
  if (channel.path === '') return undefined;
  try {
    if (channel.made === undefined) return undefined;
    if (!(await removeStateFile(channel))) {
      return `At ${channel.path} lies another file now; it was left alone.`;
    }
    await dropNote(channel.path, run.journalId);
    return undefined;
  } catch (error) {
    return `What was written of it could not be removed: ${messageOf(error)}. It is no guest.`;
  }
}

/** QEMU itself takes the guest back; only if it did not, and the file is no guest, it is continued. */
async function bringBack(
  run: OneSided,
  { path }: FileChannel,
  source: SideView,
): Promise<SideView> {
  if (!run.ranBefore) return source;
  const proof = Proof.continueSaved(source, await FileGone.look(path));
  if (proof === undefined) return source;
  try {
    await run.recorder.record({ kind: 'continue-source' });
    await run.gate.sendProven('cont', proof, { timeoutMs: 5000 });
  } catch (error) {
    run.log(`cont: ${String(error)}`);
  }
  return run.side.look();
}

function factsOf(
  run: OneSided,
  { path }: FileChannel,
  source: SideView,
  notPutBack: readonly string[],
): SaveFacts {
  const info =
    source.kind === 'answered'
      ? readMigrationInfo(run.machine.snapshot.facts?.migration ?? {})
      : run.side.info;
  return { label: run.side.label, path, info, source, guestRan: run.ranBefore, notPutBack };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}

function ignore(): void {
  // The outcome tells it in words.
}
