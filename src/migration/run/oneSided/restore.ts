import { FdPassError } from '../../../fdpass/errors';
import type { Disposable } from '../../../qmp/emitter';
import { untilReady } from '../../../vm/ready';
import { channelsOf, openStateFile, type FileChannel } from '../../methods/stateFile';
import { ControlRefusedError } from '../controls';
import { progressOf } from '../progressFigures';
import { stageOf } from '../migrationInfo';
import type { SideView } from '../ownership';
import type { RunContext } from '../runContext';
import type { RunOutcome } from '../types';
import {
  borrowCapabilities,
  borrowPlanned,
  CancelledBeforeStart,
  failIfCancelled,
  hasParameter,
  isReplyLost,
  pauseOf,
  removeFdset,
  runOneSided,
  type OneSided,
} from './common';
import { checkRestore, formatOf, savedWarnings, type SavedGuest } from './restoreChecks';
import {
  endedSinceOutcome,
  lostSightOfRestoreOutcome,
  notRestoredOutcome,
  restoredOutcome,
  type RestoreFacts,
} from './restoreWords';
import { changeNote, holderOf } from './savedGuest';
import { formatCapabilities, readNote } from './savedNote';

/** How long a target may take to begin, and from its last byte to its last run state. */
const steadyMs = 15_000;

/** Restores a saved guest into a waiting QEMU; never rejects. */
export function runRestore(context: RunContext): Promise<RunOutcome> {
  let saved: SavedGuest | undefined;
  return runOneSided(context, {
    role: 'target',
    check: async () => {
      saved = await checkRestore(context);
    },
    carryOut: (run) => carryOut(run, context, saved),
  });
}

async function carryOut(
  run: OneSided,
  context: RunContext,
  saved: SavedGuest | undefined,
): Promise<RunOutcome> {
  const { gate, recorder, machine, request } = run;
  const wanted = request.options?.file;
  const path = wanted?.path ?? '';
  let channel: FileChannel = { transport: 'file', path };
  const remarks = saved === undefined ? [] : [...savedWarnings(saved)];
  const [warning] = remarks;
  if (warning !== undefined) run.report({ note: warning });
  const follower = new RestoreFollower(run);
  let told = false;
  try {
    gate.enter('prepare');
    await prepare(run, saved);
    const passed = wanted?.passDescriptor === true;
    if (passed && hasParameter(machine, 'direct-io')) {
      await run.borrowed.set(machine, 'direct-io', false, true);
    }
    failIfCancelled(run);
    if (passed) gate.check('add-fd');
    channel = await openStateFile(machine, {
      path,
      helper: passed ? await context.locateHelper() : undefined,
      signal: run.cancel,
      announce: async (what) => {
        if (what.transport === 'file') channel = what;
        await recorder.record({ kind: 'channel', channel: what });
      },
    });
    failIfCancelled(run);
    // Before it can begin: nobody else may restore it at the same time.
    const noteProblem = await noteRestore(run, path, saved);
    if (noteProblem !== undefined) remarks.push(noteProblem);
    await recorder.record({ kind: 'incoming' });
    told = true;
    await sendIncoming(run, channel);
  } catch (error) {
    follower.dispose();
    return endFailedRestore(run, channel, {
      error: isCancel(error) ? undefined : error,
      used: told,
      remarks,
    });
  }
  gate.enter('transfer');
  return endRestore(run, channel, await follower.follow(context.wishes), remarks);
}

/** The file's form is given: what it needs is on, what it has not is off. */
async function prepare(run: OneSided, saved: SavedGuest | undefined): Promise<void> {
  const { request, machine, borrowed } = run;
  await borrowPlanned(run);
  if (saved === undefined) return;
  const needed = formatOf(saved, request);
  await borrowCapabilities(
    run,
    Object.fromEntries(formatCapabilities.map((name) => [name, needed.includes(name)])),
  );
  const channels = saved.note.kind === 'read' ? saved.note.note.multifdChannels : undefined;
  if (channels !== undefined && request.options?.multifdChannels === undefined) {
    await borrowed.set(machine, 'multifd-channels', channels, true);
  }
}

/** @returns why it could not be noted, as a sentence */
async function noteRestore(
  run: OneSided,
  path: string,
  saved: SavedGuest | undefined,
): Promise<string | undefined> {
  if (saved?.note.kind !== 'read') return undefined;
  try {
    const restore = { ...(await holderOf(run.machine)), at: Date.now() };
    await changeNote(path, (note) => ({ ...note, restores: [...note.restores, restore] }));
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
    return `The note beside ${path} could not be changed (${why}): do not restore it a second time.`;
  }
}

/** Takes back {@link noteRestore}: it never ran there. */
async function unnoteRestore(run: OneSided, path: string): Promise<void> {
  try {
    const read = await readNote(path);
    if (read.kind !== 'read' || read.note.restores.length === 0) return;
    const { socket, process } = await holderOf(run.machine);
    await changeNote(path, (note) => ({
      ...note,
      restores: note.restores.filter(
        (holder) =>
          holder.socket !== socket ||
          (process !== undefined && holder.process?.startTicks !== process.startTicks),
      ),
    }));
  } catch (error) {
    run.log(`note of ${path}: ${String(error)}`);
  }
}

async function sendIncoming(run: OneSided, channel: FileChannel): Promise<void> {
  const { machine, gate, log } = run;
  // A target that stays can tell why it failed.
  const schema = machine.snapshot.facts?.schema;
  const stays = schema?.argument('migrate-incoming', 'exit-on-error') !== undefined;
  const args = { ...channelsOf(channel), ...(stays && { 'exit-on-error': false }) };
  try {
    await gate.send('target', 'migrate-incoming', args);
  } catch (error) {
    // It loads, perhaps: its monitor does not answer meanwhile.
    if (!isReplyLost(error, 'migrate-incoming')) throw error;
    log(`migrate-incoming: ${String(error)}`);
  }
}

function isCancel(error: unknown): boolean {
  if (error instanceof CancelledBeforeStart) return true;
  return error instanceof FdPassError && error.reason === 'aborted';
}

export interface RestoreFollowed {
  readonly end: 'completed' | 'failed' | 'target-gone' | 'ended-since' | 'lost-sight';
  readonly target: SideView;
}

/** Follows a target that loads a file; a monitor that does not answer meanwhile is nothing odd. */
export class RestoreFollower {
  private readonly run: OneSided;
  private sawLoaded = false;
  private readonly witness: Disposable;

  /** Begins to listen; to be made before `migrate-incoming` is sent. */
  constructor(run: OneSided) {
    this.run = run;
    this.witness = run.machine.onEvent(({ name, data }) => {
      const completed = name === 'MIGRATION' && data['status'] === 'completed';
      if (completed || name === 'RESUME') this.sawLoaded = true;
    });
  }

  dispose(): void {
    this.witness.dispose();
  }

  async follow(wishes: RunContext['wishes'] | undefined): Promise<RestoreFollowed> {
    const { run } = this;
    const asked = (): void => run.recorder.jot({ kind: 'cancel-asked' });
    if (run.cancel.aborted) asked();
    else run.cancel.addEventListener('abort', asked, { once: true });
    wishes?.handle(({ id }) => {
      const reason = 'QEMU reads the file in one go.';
      return Promise.reject(new ControlRefusedError(id, reason, 'Wait for its end.'));
    });
    try {
      return await this.untilEnd();
    } finally {
      this.dispose();
    }
  }

  private async untilEnd(): Promise<RestoreFollowed> {
    const { run } = this;
    let loadedAt: number | undefined;
    let setupSince: number | undefined;
    for (;;) {
      const target = await run.side.look();
      if (run.detach.aborted) return { end: 'lost-sight', target };
      if (target.kind === 'gone') {
        return { end: this.sawLoaded ? 'ended-since' : 'target-gone', target };
      }
      if (target.kind === 'silent') {
        run.report({ note: `${run.side.label} loads the guest; it does not answer meanwhile.` });
      } else {
        const stage = stageOf(target.migrationStatus);
        setupSince = target.migrationStatus === 'setup' ? (setupSince ?? Date.now()) : undefined;
        // QEMU stays there for good when it could not open the file.
        const isStuck = setupSince !== undefined && Date.now() - setupSince > steadyMs;
        // Nothing was begun, if the command or its reply was lost; a look comes after it.
        if (isStuck || stage === 'failed' || stage === 'cancelled' || stage === 'none') {
          return { end: 'failed', target };
        }
        if (stage === 'completed') {
          loadedAt ??= Date.now();
          const isSteady = target.runState.status !== 'inmigrate';
          if (isSteady || Date.now() - loadedAt > steadyMs) return { end: 'completed', target };
        }
        run.report({ ...progressOf(run.side.info), owner: 'file', note: this.note() });
      }
      await pauseOf(run);
    }
  }

  private note(): string | undefined {
    if (!this.run.cancel.aborted) return undefined;
    return `A restore cannot be cancelled; to end it, quit ${this.run.side.label}.`;
  }
}

/** QEMU was not asked, or refused: the file is as it was. */
export async function endFailedRestore(
  run: OneSided,
  channel: FileChannel,
  {
    error,
    used,
    remarks,
  }: { readonly error: unknown; readonly used: boolean; readonly remarks: readonly string[] },
): Promise<RunOutcome> {
  run.gate.enter('settle');
  await untilReady(run.machine);
  await removeFdset(run, channel.fdset);
  // Refused, or never sent: a command whose reply alone is lost is followed.
  await unnoteRestore(run, channel.path);
  const target = await run.side.look();
  const notPutBack = await run.borrowed.putBack('all');
  return notRestoredOutcome(factsOf(run, channel, [...remarks, ...notPutBack]), {
    kind: error === undefined ? 'cancelled' : 'failed',
    error,
    used,
    targetGone: target.kind === 'gone',
  });
}

/** The target came to an end with it, or was lost from sight. */
export async function endRestore(
  run: OneSided,
  channel: FileChannel,
  { end, target }: RestoreFollowed,
  remarks: readonly string[],
): Promise<RunOutcome> {
  if (end === 'lost-sight') return lostSightOfRestoreOutcome(factsOf(run, channel, remarks));
  run.gate.enter('settle');
  await removeFdset(run, channel.fdset);
  if (end === 'failed' || end === 'target-gone') await unnoteRestore(run, channel.path);
  const notPutBack = await run.borrowed.putBack('all');
  const facts = factsOf(run, channel, [...remarks, ...notPutBack]);
  switch (end) {
    case 'completed': {
      const running = target.kind === 'answered' && target.runState.running;
      return restoredOutcome(facts, running, run.cancel.aborted);
    }
    case 'ended-since':
      return endedSinceOutcome(facts);
    case 'failed':
    case 'target-gone':
      return notRestoredOutcome(facts, {
        kind: 'failed',
        used: true,
        targetGone: end === 'target-gone',
      });
  }
}

function factsOf(run: OneSided, { path }: FileChannel, remarks: readonly string[]): RestoreFacts {
  return { label: run.side.label, path, info: run.side.info, remarks };
}
