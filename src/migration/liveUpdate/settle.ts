import { isObject, parseJson, type JsonObject } from '../../qmp/json';

import type { MachineId, QemuProcess } from '../../vm/types';
import type { JournalledPlan, UpdateEntry } from '../run/journal/updateEntries';
import type { Side } from '../run/look';
import type { UpdatePatience, UpdateRegistry } from './host';
import { moveName, textOf, writePidFile } from './names';
import { quitSource } from './processEnd';

type ProcessKey = Pick<QemuProcess, 'pid' | 'startTicks'>;

/** What is needed once the guest is in the new QEMU, whether we brought it there or found it so. */
export interface Settling {
  readonly plan: JournalledPlan;
  /** The machine's name for good: the path of the old QMP socket. */
  readonly machine: MachineId;
  readonly source: Side;
  /** `undefined`: it was never known. */
  readonly sourceProcess: ProcessKey | undefined;
  readonly target: Side;
  readonly targetProcess: ProcessKey;
  readonly registry: UpdateRegistry;
  readonly patience: UpdatePatience;
  readonly record: (entry: UpdateEntry) => Promise<void>;
  readonly jot: (entry: UpdateEntry) => void;
  readonly step: (what: string) => void;
  readonly log: (line: string) => void;
}

export interface Settled {
  /** What could not be put in order, as sentences. */
  readonly leftovers: readonly string[];
  /** The old QEMU is gone, so nothing is left that another try could do better. */
  readonly sourceGone: boolean;
  /** When the source had ended and when all was done, ms since the epoch. */
  readonly sourceGoneAt: number | undefined;
  readonly doneAt: number;
}

/**
 * Ends the old QEMU and gives the new one its place: names, process id, late settings. Each step looks
 * first whether it is done already. Never rejects.
 */
export async function settleUpdate(settling: Settling): Promise<Settled> {
  const { registry, machine, sourceProcess, record, jot, step } = settling;
  const isApart = settling.plan.qmpSocket !== machine;
  step('Ending the old QEMU.');
  // Seen as one machine that goes on, not as one that is lost and another that comes.
  registry.awaitHeir(machine, true);
  const alive =
    sourceProcess === undefined
      ? 'The old QEMU was left as it is: its process is not known.'
      : await quitSource(settling, sourceProcess, () => record({ kind: 'quit-source' }));
  if (alive !== undefined) {
    registry.awaitHeir(machine, false);
    const moves = settling.plan.moves.map(({ what, from }) => `${what} stays at ${from}.`);
    const next =
      'Once the old QEMU is gone, taking the update up again gives them their old names.';
    const leftovers = [alive, ...moves, ...(moves.length > 0 ? [next] : [])];
    return { leftovers, sourceGone: false, sourceGoneAt: undefined, doneAt: Date.now() };
  }
  const sourceGoneAt = Date.now();
  jot({ kind: 'source-gone' });
  step('Moving names.');
  const leftovers = isApart ? await moveAll(settling) : [];
  leftovers.push(...(await writePid(settling)), ...(await sendLate(settling)));
  return { leftovers, sourceGone: true, sourceGoneAt, doneAt: Date.now() };
}

/** The QMP socket first: who knows the machine by it is to find it again. */
async function moveAll(settling: Settling): Promise<string[]> {
  const { plan, machine, targetProcess, registry, record, jot } = settling;
  const leftovers: string[] = [];
  const isQmp = ({ from }: { from: string }): boolean => from === plan.qmpSocket;
  const moves = [...plan.moves.filter(isQmp), ...plan.moves.filter((move) => !isQmp(move))];
  let isQmpMoved = false;
  for (const move of moves) {
    const { from, to } = move;
    await record({ kind: 'move', from, to });
    const problem = await moveName(move, targetProcess);
    if (problem === undefined) jot({ kind: 'moved', from, to });
    else leftovers.push(problem);
    if (!isQmp(move)) continue;
    isQmpMoved = problem === undefined && to === machine;
    if (isQmpMoved) await takePlace(settling, leftovers);
  }
  // Then the new QEMU goes on as a machine of its own, at its own path.
  if (!isQmpMoved) registry.awaitHeir(machine, false);
  return leftovers;
}

async function takePlace(
  { registry, machine, target }: Settling,
  leftovers: string[],
): Promise<void> {
  try {
    await registry.succeed(machine, target.machine.id);
  } catch (error) {
    leftovers.push(`The new QEMU could not be connected at ${machine}: ${textOf(error)}`);
  }
}

async function writePid({
  plan,
  targetProcess,
  sourceProcess,
  record,
}: Settling): Promise<readonly string[]> {
  if (plan.pidFile === undefined) return [];
  await record({ kind: 'pid-file' });
  const problem = await writePidFile(plan.pidFile, targetProcess, sourceProcess);
  return problem === undefined ? [] : [problem];
}

async function sendLate(settling: Settling): Promise<readonly string[]> {
  const { plan, registry, machine, target } = settling;
  const leftovers: string[] = [];
  for (const { what, command, args } of plan.late) {
    try {
      const parsed = parseJson(args);
      const given: JsonObject = isObject(parsed) ? parsed : {};
      const own = registry.get(target.machine.id) ?? registry.get(machine) ?? target.machine;
      await own.connection().execute(command, given, { timeoutMs: 5000 });
    } catch (error) {
      leftovers.push(`${what}: "${command}" was not done: ${textOf(error)}`);
    }
  }
  return leftovers;
}
