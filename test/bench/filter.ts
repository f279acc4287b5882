import { noFilter, type TreeFilter } from '../../src/migration/view/filter';
import { withAllBelow } from '../../src/migration/view/nodes';
import { MachineTrees } from '../../src/ui/tree/machineTrees';
import type { MachineHandle, MachineId, MachineSnapshot, VmFacts } from '../../src/vm/types';
import { changed, factsOf, snapshotOf } from '../unit/migration/support';
import { median, milliseconds, printTable, quantile } from './table';

const machineCount = 64;
const typed = 'multifd-channels';
const rounds = 20;
/** A frame of a screen that draws 60 times a second. */
const keystrokeGoalMs = 16;

/** What a keystroke in the filter, and a changed value, cost with many machines in the tree. */
export function measureFilter(): Promise<void> {
  const snapshots = new Map<MachineId, MachineSnapshot>();
  const facts = factsOf('local');
  const set = (index: number, value: VmFacts): MachineId => {
    const snapshot = snapshotOf(`vm-${index}`, value);
    snapshots.set(snapshot.id, snapshot);
    return snapshot.id;
  };
  for (let index = 0; index < machineCount; index += 1) set(index, facts);
  const trees = treesOf(snapshots);
  const buildMs = timed(() => trees.update(new Set(), noFilter));
  const rows = trees.roots.flatMap(withAllBelow).length;

  const firstMs = timed(() => trees.update(new Set(), { text: 'm', changedOnly: false }));
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const filter of keystrokes()) {
      times.push(timed(() => trees.update(new Set(), filter)));
    }
  }
  const valueTimes: number[] = [];
  for (let round = 0; round < 10 * rounds; round += 1) {
    const id = set(round % machineCount, changed(facts, { 'downtime-limit': round }));
    valueTimes.push(timed(() => trees.update(new Set([id]), noFilter)));
  }
  printTable(`Tree of ${machineCount} machines with ${rows} rows, in processor time`, [
    { what: 'building all rows', measured: milliseconds(buildMs) },
    { what: 'filtering, the very first keystroke', measured: milliseconds(firstMs) },
    {
      what: 'filtering, each keystroke',
      measured: spread(times),
      goal: `95 % < ${keystrokeGoalMs} ms`,
      met: quantile(times, 0.95) < keystrokeGoalMs,
    },
    { what: 'a value that changed', measured: spread(valueTimes) },
  ]);
  return Promise.resolve();
}

function spread(times: readonly number[]): string {
  return `median ${milliseconds(median(times))}, 95 % below ${milliseconds(quantile(times, 0.95))}`;
}

/** Typing a word, deleting it, and looking at what is changed. */
function keystrokes(): readonly TreeFilter[] {
  const texts = Array.from(typed, (_, index) => typed.slice(0, index + 1));
  return [
    ...texts.map((text) => ({ text, changedOnly: false })),
    ...texts.reverse().map((text) => ({ text, changedOnly: false })),
    { text: '', changedOnly: true },
    noFilter,
  ];
}

/** Milliseconds of processor time: what else runs on the machine does not matter. */
function timed(action: () => unknown): number {
  const start = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function treesOf(snapshots: ReadonlyMap<MachineId, MachineSnapshot>): MachineTrees {
  const handle = (id: MachineId): MachineHandle | undefined => {
    const snapshot = snapshots.get(id);
    // Of a handle only these two are asked for.
    return snapshot && ({ id, snapshot } as MachineHandle);
  };
  return new MachineTrees({
    registry: {
      get machines() {
        return [...snapshots.keys()].flatMap((id) => handle(id) ?? []);
      },
      get: handle,
    },
    runs: { last: () => undefined },
    pairs: { of: () => undefined },
  });
}
