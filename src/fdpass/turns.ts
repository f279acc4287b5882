import type { QmpConnection } from '../qmp/connection';
import { Turns } from '../qmp/turns';

interface Place {
  readonly order: number;
  readonly turns: Turns;
}

const places = new WeakMap<QmpConnection, Place>();
let lastOrder = 0;

function placeOf(connection: QmpConnection): Place {
  let place = places.get(connection);
  if (place === undefined) {
    place = { order: ++lastOrder, turns: new Turns() };
    places.set(connection, place);
  }
  return place;
}

/** Sorted by one order for all: whoever takes several connections in it never deadlocks. */
export function inGlobalOrder<T extends { readonly connection: QmpConnection }>(
  items: readonly T[],
): T[] {
  return items.toSorted((a, b) => placeOf(a.connection).order - placeOf(b.connection).order);
}

/**
 * Waits until no other descriptor is on its way on these connections, and keeps it so until the
 * returned function is called. A QEMU that negotiated `oob` reads ahead: a second descriptor would
 * replace one whose command is not answered yet. Rejects with the signal's reason.
 */
export async function takeTurns(
  connections: readonly QmpConnection[],
  signal: AbortSignal,
): Promise<() => void> {
  const ends: (() => void)[] = [];
  const endAll = (): void => {
    for (const end of ends.splice(0)) end();
  };
  try {
    for (const { connection } of inGlobalOrder(connections.map((c) => ({ connection: c })))) {
      const turn = placeOf(connection).turns.take();
      ends.push(await unlessAborted(turn, signal, (end) => end()));
    }
    return endAll;
  } catch (error) {
    endAll();
    throw error;
  }
}

/** Rejects with the signal's reason when it fires first; `undo` then gets what comes too late. */
async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  undo: (late: T) => void,
): Promise<T> {
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    onAbort = () => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    const first = await Promise.race([work.then((value) => ({ value })), aborted]);
    if (first !== undefined) return first.value;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  void work.then(undo);
  throw signal.reason;
}
