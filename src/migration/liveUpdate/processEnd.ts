import { QmpClosedError } from '../../qmp/errors';
import { isAlive } from '../../vm/process';
import type { QemuProcess } from '../../vm/types';
import type { Side } from '../run/look';
import { Proof, type SideView } from '../run/ownership';
import type { UpdatePatience } from './host';

type ProcessKey = Pick<QemuProcess, 'pid' | 'startTicks'>;

/** Whether that very process is gone within the time. */
export async function untilGone(
  process: ProcessKey,
  ms: number,
  { lookMs }: Pick<UpdatePatience, 'lookMs'>,
): Promise<boolean> {
  const deadline = Date.now() + ms;
  for (;;) {
    if (!(await isAlive(process))) return true;
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

/** The source of a run that is over, and its target. */
export interface Ends {
  readonly source: Side;
  readonly target: Side;
  readonly patience: UpdatePatience;
  readonly log: (line: string) => void;
}

/**
 * Tells the source to quit whose guest went over, if that is proven at this moment, and waits for its
 * end. Nothing but `quit` is sent, and nobody is killed: what hangs is left to a person.
 *
 * @param announce resolves when it is on disk that the source may be told to quit
 * @returns `undefined` when it is gone, else why it is not, as a sentence
 */
export async function quitSource(
  { source, target, patience, log }: Ends,
  process: ProcessKey,
  announce: () => Promise<void>,
): Promise<string | undefined> {
  const prove = async (): Promise<Proof | string> => {
    const [here, there] = await Promise.all([source.look(), target.look()]);
    if (here.kind === 'gone') return 'gone';
    return Proof.quitSource(here, there) ?? `${viewText(here)}, ${viewText(there)}`;
  };
  let proof = await prove();
  if (proof instanceof Proof) {
    await announce();
    // The disk may have taken its time.
    proof = await prove();
  }
  if (proof === 'gone') return undefined;
  if (typeof proof === 'string') {
    return `The old QEMU (pid ${process.pid}) was not told to quit: that the new one has the guest is not proven (${proof}).`;
  }
  log(`quit on the ${proof.side}: ${proof.why}`);
  const refused = await sendQuit(source);
  if (await untilGone(process, patience.quitMs, patience)) return undefined;
  const why = refused === undefined ? 'took "quit"' : `did not take "quit" (${refused})`;
  return `The old QEMU (pid ${process.pid}) ${why} and is still there. It has no guest any more.`;
}

/** The source answered that it runs its guest, or never gave it to anybody. */
export function stillHasGuest(source: SideView): boolean {
  if (source.kind !== 'answered') return false;
  const { runState, migrationStatus } = source;
  if (runState.running) return true;
  const stage = migrationStatus ?? 'none';
  return runState.status !== 'postmigrate' && ['none', 'failed', 'cancelled'].includes(stage);
}

/**
 * Ends a target of ours that has no guest: by `quit`, else by a signal.
 *
 * @param proven who calls knows that the target has no guest, and how
 * @returns `undefined` when it is gone, else why it is not, as a sentence
 */
export async function endTarget(
  { source, target, patience, log }: Ends,
  pid: ProcessKey,
  proven: string,
): Promise<string | undefined> {
  if (!(await isAlive(pid))) return undefined;
  const [here, there] = await Promise.all([source.look(), target.look()]);
  if (there.kind === 'answered') {
    const proof = Proof.quitTarget(here, there);
    if (proof === undefined) {
      return `The new QEMU (pid ${pid.pid}) was left as it is: that it has no guest is not proven (${viewText(here)}, ${viewText(there)}).`;
    }
    log(`quit on the target: ${proof.why}`);
    await sendQuit(target);
    if (await untilGone(pid, patience.quitMs / 2, patience)) return undefined;
  } else if (here.kind === 'answered' && !stillHasGuest(here)) {
    return `The new QEMU (pid ${pid.pid}) was left as it is: it does not answer, and the old one gave its guest away (${viewText(here)}).`;
  }
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    log(`${signal} to the target (pid ${pid.pid}): ${proven}`);
    // Looked at right before, so that it is no other process of that number.
    if (!(await isAlive(pid))) return undefined;
    try {
      process.kill(pid.pid, signal);
    } catch (error) {
      log(`${signal}: ${String(error)}`);
    }
    if (await untilGone(pid, patience.quitMs / 2, patience)) return undefined;
  }
  return `The new QEMU (pid ${pid.pid}), which has no guest, does not end.`;
}

/** @returns why QEMU did not take it */
async function sendQuit({ machine }: Side): Promise<string | undefined> {
  try {
    await machine.connection().execute('quit', {}, { timeoutMs: 5000 });
    return undefined;
  } catch (error) {
    // It may be gone before its answer is read.
    return error instanceof QmpClosedError ? undefined : String(error);
  }
}

function viewText(view: SideView): string {
  return view.kind === 'answered'
    ? `${view.runState.status}, migration ${view.migrationStatus ?? 'none'}`
    : view.kind === 'gone'
      ? 'gone'
      : 'no answer';
}
