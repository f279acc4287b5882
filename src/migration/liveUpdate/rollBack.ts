import type { QemuProcess } from '../../vm/types';
import { isAlive } from '../../vm/process';
import type { JournalledPlan, UpdateEntry } from '../run/journal/updateEntries';
import type { Side } from '../run/look';
import type { UpdatePatience, WatchedTaps } from './host';
import { removeOwnPaths, textOf } from './names';
import { endTarget } from './processEnd';

/** What is needed to undo an update whose guest stayed in the old QEMU. */
export interface RollingBack {
  readonly plan: JournalledPlan;
  readonly source: Side;
  readonly target: Side;
  /** `undefined`: none was started. */
  readonly targetProcess: Pick<QemuProcess, 'pid' | 'startTicks'> | undefined;
  readonly taps: WatchedTaps | undefined;
  /** How it is known that the target has no guest. */
  readonly proven: string;
  readonly patience: UpdatePatience;
  readonly record: (entry: UpdateEntry) => Promise<void>;
  readonly step: (what: string) => void;
  readonly log: (line: string) => void;
  /** Takes the target off the list of machines. */
  readonly forget: () => Promise<void>;
}

export interface RolledBack {
  /** What could not be put in order, as sentences. */
  readonly leftovers: readonly string[];
  /** The target is gone, or never was. */
  readonly targetGone: boolean;
}

/**
 * Ends the target and puts everything back: the source runs on with its network, and nothing is left. Each
 * step looks first whether it is done already. Never rejects.
 */
export async function rollBack(rolling: RollingBack, why: string): Promise<RolledBack> {
  const { plan, targetProcess, taps, record, step, forget } = rolling;
  await record({ kind: 'roll-back', why });
  step('Putting everything back.');
  const leftovers: string[] = [];
  let targetGone = true;
  if (targetProcess !== undefined && (await isAlive(targetProcess))) {
    await record({ kind: 'end-target' });
    const problem = await endTarget(rolling, targetProcess, rolling.proven).catch(textOf);
    if (problem !== undefined) {
      leftovers.push(problem);
      targetGone = false;
    }
  }
  // After its end, or it might change them once more.
  if (taps !== undefined) leftovers.push(...(await taps.putBack()));
  await forget();
  if (targetGone) leftovers.push(...(await removeOwnPaths(ownPaths(plan))));
  return { leftovers, targetGone };
}

/** The paths that only the target uses. */
export function ownPaths(plan: JournalledPlan): readonly string[] {
  const { qmpSocket, cprSocket, logFile, moves } = plan;
  return [
    qmpSocket,
    ...(cprSocket === undefined ? [] : [cprSocket]),
    ...moves.map(({ from }) => from),
    logFile,
  ];
}
