import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readText } from '../../../vm/process';
import type { Channel } from '../../methods/channel';
import { readTail } from '../../methods/execFacts';
import { formatDurationMs } from '../../settings/units';
import type { KeptSettings } from '../journal/state';
import { stageOf } from '../migrationInfo';
import type { Answered, SideView } from '../ownership';
import type { RunOutcome } from '../types';
import { blankOutcome, pauseOf, type OneSided } from './common';
import { putBackKept, touchedParameters, versionText } from './keptSettings';

/** How often QEMU is asked; the guest stands still for some 100 ms in all. */
const intervalMs = 50;
/** How long QEMU may be silent before we say that we cannot find out. */
const silenceMs = 60_000;
/** How long an old QEMU that is done may take until it either is replaced or says that it failed. */
const handoverMs = 10_000;

export interface Replacement {
  readonly kept: KeptSettings;
  /** The directory with the state. */
  readonly folder: Channel | undefined;
  /** What the new program is told to load; its name is that of no other run. */
  readonly stateFile: string;
  /** Where QEMU's standard error goes, if to a file. */
  readonly stderr: string | undefined;
}

export function stateFileIn(directory: string): string {
  return path.join(directory, 'state');
}

type End =
  /** The new program has the guest. */
  | { readonly kind: 'replaced'; readonly view: Answered }
  /** The old program has it, and goes on. */
  | { readonly kind: 'stayed'; readonly view: Answered }
  /** The process has ended. */
  | { readonly kind: 'gone'; readonly wasReplaced: boolean }
  | { readonly kind: 'lost-sight'; readonly wasReplaced: boolean };

/** Follows from a sent `migrate` to the end, and puts the settings back. Never rejects. */
export async function followReplacement(
  run: OneSided,
  replacement: Replacement,
): Promise<RunOutcome> {
  const { gate, report, machine } = run;
  const clock = new PauseClock(run);
  const end = await untilEnd(run, replacement, clock).finally(() => clock.dispose());
  switch (end.kind) {
    case 'replaced': {
      gate.enter('settle');
      report({ owner: 'target', note: undefined });
      // The command line has changed, and with it what is known of the process.
      await machine.identify();
      await replacement.folder?.close();
      const notPutBack = await putBackKept(run, replacement.kept);
      return outcomeOfReplaced(run, end.view, clock, notPutBack);
    }
    case 'stayed': {
      gate.enter('settle');
      report({ owner: 'source', note: undefined });
      await replacement.folder?.close();
      const notPutBack = await putBackKept(run, replacement.kept, touchedParameters);
      return outcomeOfStayed(run, end.view, notPutBack);
    }
    case 'gone':
      gate.enter('settle');
      report({ owner: 'nobody', note: undefined });
      await replacement.folder?.close();
      return outcomeOfLost(run, end.wasReplaced, await readTail(replacement.stderr));
    case 'lost-sight':
      // The new program may still have to read the state: nothing is removed.
      gate.enter('needs-you');
      return outcomeOfSilence(run, end.wasReplaced);
  }
}

async function untilEnd(
  run: OneSided,
  { stateFile }: Replacement,
  clock: PauseClock,
): Promise<End> {
  const { gate, side, machine, detach, cancel, report } = run;
  let lastAnswer = Date.now();
  let doneSince: number | undefined;
  for (;;) {
    // Before the question: once it is replaced only the new program can answer.
    const wasReplaced = await hasCommand(machine.snapshot.process?.pid, stateFile);
    const view: SideView = await side.look();
    if (view.kind === 'gone') return { kind: 'gone', wasReplaced };
    if (wasReplaced) gate.enter('switch-over');
    if (view.kind === 'answered') {
      lastAnswer = Date.now();
      report({ status: view.migrationStatus });
      const end = wasReplaced ? newEnd(view) : oldEnd(view);
      if (end === 'replaced') clock.sawRunning(view.runState.running);
      if (end === 'replaced' || end === 'stayed') return { kind: end, view };
      if (end === 'done') {
        doneSince ??= Date.now();
        if (Date.now() - doneSince > handoverMs) {
          // A guest that runs was never saved; one that stands still may be in either hand.
          return view.runState.running
            ? { kind: 'stayed', view }
            : { kind: 'lost-sight', wasReplaced };
        }
      } else doneSince = undefined;
    }
    if (detach.aborted || Date.now() - lastAnswer > silenceMs) {
      return { kind: 'lost-sight', wasReplaced };
    }
    if (cancel.aborted) report({ note: 'Too late to cancel: QEMU is being replaced.' });
    // Aborted already, it would end the pause at once, and this would be a loop without one.
    await (cancel.aborted ? sleep(intervalMs) : pauseOf(run, intervalMs));
  }
}

/** The command line names a file of ours: that very process executed what we asked for. */
export async function hasCommand(pid: number | undefined, stateFile: string): Promise<boolean> {
  if (pid === undefined) return false;
  const words = (await readText(`/proc/${pid}/cmdline`)).split('\0');
  return words.includes(`file:${stateFile}`);
}

/** What an answer of the old program means. */
function oldEnd({ migrationStatus }: Answered): 'stayed' | 'done' | undefined {
  switch (stageOf(migrationStatus)) {
    case 'failed':
    case 'cancelled':
    case 'none':
      return 'stayed';
    case 'completed':
      // Now it executes the new one, or that fails; or it is the word of an earlier migration.
      return 'done';
    case 'moving':
    case 'paused-before-switchover':
    case 'point-of-no-return':
    case 'ending':
      return undefined;
  }
}

/** What an answer of the new program means; one that cannot load the state ends. */
function newEnd({ migrationStatus, runState }: Answered): 'replaced' | undefined {
  const isLoaded = stageOf(migrationStatus) === 'completed' && runState.status !== 'inmigrate';
  return isLoaded ? 'replaced' : undefined;
}

/** Tells how long the guest stood still, as far as events and answers show. */
class PauseClock {
  private stoppedMs: number | undefined;
  private resumedMs: number | undefined;
  private seenMs: number | undefined;
  private readonly listening;

  constructor({ machine }: OneSided) {
    this.listening = machine.onEvent(({ name, timestampUs }) => {
      if (Number.isNaN(timestampUs)) return;
      if (name === 'STOP') this.stoppedMs = timestampUs / 1000;
      if (name === 'RESUME') this.resumedMs = timestampUs / 1000;
    });
  }

  /** It was asked, and answered. */
  sawRunning(running: boolean): void {
    if (running) this.seenMs = Date.now();
  }

  /** By events of both programs; `undefined` where one of them was missed. */
  get exactMs(): number | undefined {
    return between(this.stoppedMs, this.resumedMs);
  }

  /** Until somebody saw the guest run. */
  get atMostMs(): number | undefined {
    return between(this.stoppedMs, this.seenMs);
  }

  dispose(): void {
    this.listening.dispose();
  }
}

function between(from: number | undefined, to: number | undefined): number | undefined {
  return from === undefined || to === undefined || to < from ? undefined : Math.round(to - from);
}

function outcomeOfReplaced(
  { machine, cancel }: OneSided,
  { runState }: Answered,
  clock: PauseClock,
  notPutBack: readonly string[],
): RunOutcome {
  const { label, process: qemu, facts } = machine.snapshot;
  const { running } = runState;
  const { exactMs, atMostMs } = clock;
  const pause =
    exactMs !== undefined
      ? `, after a pause of ${formatDurationMs(exactMs)}`
      : atMostMs !== undefined
        ? `, after a pause of at most ${formatDurationMs(atMostMs)}`
        : '';
  const tooLate = cancel.aborted;
  const where = `the guest ${running ? 'runs' : 'is paused'} on ${label} in the new program${running ? pause : ''}.`;
  const version = facts === undefined ? '' : ` (QEMU ${versionText(facts)})`;
  return {
    ...blankOutcome,
    kind: tooLate ? 'too-late-to-cancel' : 'completed',
    owner: 'target',
    guestRunning: running,
    downtimeMs: exactMs,
    headline: tooLate ? `Too late to cancel: ${where}` : where.replace(/^t/, 'T'),
    details: [
      `The process is the same (pid ${qemu?.pid ?? 'unknown'}), its program is ${qemu?.executable ?? 'unknown'}${version}.`,
      ...notPutBack,
    ],
    nextStep: running ? 'Nothing is left to do.' : `Continue ${label} when you like.`,
  };
}

function outcomeOfStayed(
  { machine, side, ranBefore }: OneSided,
  { runState }: Answered,
  notPutBack: readonly string[],
): RunOutcome {
  const { label } = machine.snapshot;
  const { running } = runState;
  const text = side.info.errorText;
  return {
    ...blankOutcome,
    kind: 'failed',
    owner: 'source',
    guestRunning: running,
    sourceError: text,
    headline: `The guest ${running ? 'runs' : 'is paused'} on ${label} as before. QEMU was not replaced.`,
    details: [...(text === undefined ? [] : [`${label} says: ${text}`]), ...notPutBack],
    nextStep:
      ranBefore && !running
        ? `Mend the cause and try again, or continue ${label}.`
        : 'Mend the cause and try again.',
  };
}

function outcomeOfLost(
  { machine }: OneSided,
  wasReplaced: boolean,
  said: string | undefined,
): RunOutcome {
  const { label } = machine.snapshot;
  return {
    ...blankOutcome,
    kind: 'failed',
    owner: 'nobody',
    targetError: said,
    headline: `The guest of ${label} is lost: its QEMU has ended.`,
    details: [
      wasReplaced
        ? 'The new program ended while it took the guest over.'
        : 'Whether the new program was started is not known.',
      said === undefined
        ? 'Why is told on its standard error, if anywhere.'
        : `The last that QEMU wrote: ${said}`,
    ],
    nextStep: 'Start the guest anew from its disk.',
  };
}

function outcomeOfSilence({ machine }: OneSided, wasReplaced: boolean): RunOutcome {
  const { label } = machine.snapshot;
  return {
    ...blankOutcome,
    kind: 'unknown',
    owner: wasReplaced ? 'target' : 'unknown',
    headline: wasReplaced
      ? `The new program of ${label} has been started; whether its guest runs is not known.`
      : `It is not known whether ${label} was replaced.`,
    details: [],
    nextStep: `Look at "query-status" of ${label}; its process has the guest, whichever program it is.`,
  };
}
