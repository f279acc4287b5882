import type { ListedRun, ListedUpdate } from '../migration/run/journal/journals';
import type { MachineIdentity } from '../migration/run/journal/entries';
import { isRunOf } from '../migration/run/journal/updateState';
import type { OtherDriver } from '../migration/view/context';
import type { MachineId, MachineSnapshot } from '../vm/types';

/** What the journals tell that has not ended, the newest first. */
export interface OpenWork {
  readonly runs: readonly ListedRun[];
  readonly updates: readonly ListedUpdate[];
}

export function openWork(runs: readonly ListedRun[], updates: readonly ListedUpdate[]): OpenWork {
  return {
    runs: runs.filter(({ state }) => !state.ended),
    updates: updates.filter(({ state }) => !state.ended),
  };
}

/**
 * What nobody drives, the oldest first. The run of an open update is never among the runs: whoever takes
 * it up without its update would leave two QEMUs and their names as they are.
 */
export function abandoned({ runs, updates }: OpenWork): {
  readonly updates: readonly string[];
  readonly runs: readonly string[];
} {
  const free = updates.filter(({ drivenBy }) => drivenBy === undefined);
  const alone = runs.filter(
    ({ drivenBy, state }) =>
      drivenBy === undefined && !updates.some((update) => isRunOf(update.state, state)),
  );
  return {
    updates: free.map(({ id }) => id).reverse(),
    runs: alone.map(({ id }) => id).reverse(),
  };
}

/**
 * Who else drives which machines. By the sockets of both sides, and by their processes: a QEMU may have
 * several monitors.
 */
export function othersOf(
  { runs, updates }: OpenWork,
  snapshots: readonly MachineSnapshot[],
  ownPid: number,
): ReadonlyMap<MachineId, OtherDriver> {
  type Side = Pick<MachineIdentity, 'process'> & { readonly socket: string };
  const driven = [
    ...runs.map(({ id, drivenBy, state: { begin } }) => ({
      ...{ id, drivenBy },
      sides: [begin.source, begin.target] as readonly Side[],
    })),
    // After the runs: the name of the update tells more than that of its run.
    ...updates.map(({ id, drivenBy, state: { begin, target } }) => ({
      ...{ id, drivenBy },
      sides: [begin.machine, { socket: begin.plan.qmpSocket, process: target }] as readonly Side[],
    })),
  ];
  return new Map(
    driven.flatMap(({ id, drivenBy, sides }) => {
      if (drivenBy === undefined || drivenBy.pid === ownPid) return [];
      const driver = { program: drivenBy.program, pid: drivenBy.pid, run: id };
      const same = snapshots.filter(({ process: qemu }) =>
        sides.some(
          (side) =>
            qemu !== undefined &&
            side.process?.pid === qemu.pid &&
            side.process.startTicks === qemu.startTicks,
        ),
      );
      const ids = [...sides.map(({ socket }) => socket), ...same.map((snapshot) => snapshot.id)];
      return ids.map((machine) => [machine, driver] as const);
    }),
  );
}
