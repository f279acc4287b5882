import type { QmpConnection } from '../../qmp/connection';
import type { FactPart, MachineHandle, MachineId, QemuProcess, VmFacts } from '../../vm/types';
import { NotConnectedError } from '../../vm/types';
import { checkChange, SettingsRefusedError } from './findings';
import { CannotUnsetError, putBack, type NotPutBack, type Touched } from './putBack';
import { isForGood, readAgain, sendChange, verify } from './sendChange';
import {
  effectiveChange,
  isEmptyChange,
  mergedChange,
  namesOf,
  noChange,
  settingsOf,
  type SettingsChange,
  type SettingsState,
} from './settingsState';

export { CannotUnsetError } from './putBack';
export { ParameterNotTakenError } from './sendChange';
export {
  effectiveChange,
  isEmptyChange,
  noChange,
  settingsOf,
  type SettingsChange,
  type SettingsState,
} from './settingsState';

export interface ChangeRequest {
  readonly machine: MachineHandle;
  readonly change: SettingsChange;
}

/** What was changed on one machine, with the exact values before and after, read from QEMU. */
export interface AppliedChange {
  readonly machineId: MachineId;
  readonly label: string;
  /** The process that had them: a QEMU that came later at the same socket is another. */
  readonly process: QemuProcess | undefined;
  readonly before: SettingsState;
  readonly after: SettingsState;
}

/**
 * A change that was not made: what was set before the refusal has been put back, on every machine,
 * unless `notPutBack` says otherwise.
 */
export class SettingsNotAppliedError extends Error {
  override readonly name = 'SettingsNotAppliedError';
  /** The machine that refused. */
  readonly machineId: MachineId;
  readonly label: string;
  /** What could not be put back, by machine, and why; empty: everything is as it was. */
  readonly notPutBack: readonly {
    readonly label: string;
    readonly names: readonly string[];
    readonly cause: unknown;
  }[];
  /** Of that, what another attempt may still put back: as it was, and as it is to our knowledge. */
  readonly remaining: readonly AppliedChange[];

  constructor(
    machine: { readonly id: MachineId; readonly label: string },
    cause: unknown,
    notPutBack: SettingsNotAppliedError['notPutBack'],
    remaining: readonly AppliedChange[] = [],
  ) {
    super(`the settings of ${machine.label} were not changed`, { cause });
    this.machineId = machine.id;
    this.label = machine.label;
    this.notPutBack = notPutBack;
    this.remaining = remaining;
  }
}

/** One machine with what is to be changed there. */
interface Side extends Touched {
  /** Before the change. */
  readonly facts: VmFacts;
  /** Only what differs. */
  readonly change: SettingsChange;
}

/**
 * Makes all changes or none: checks every side first (`checkChange`), sets, reads back, and on any
 * refusal puts back what was set, on every machine. Only what differs from what QEMU reports is
 * sent, and last to the machines that get what QEMU cannot unset again. One machine may be asked for several times; the later values count.
 *
 * QMP: `migrate-set-parameters`, `migrate-set-capabilities`, each atomic by itself.
 *
 * @returns one entry for each machine on which something changed, in the order of the requests
 * @throws {SettingsRefusedError} before anything was sent (see findings.ts)
 * @throws {NotConnectedError} before anything was sent
 * @throws {SettingsNotAppliedError} with QEMU's refusal as `cause`
 */
export async function applyChanges(
  requests: readonly ChangeRequest[],
): Promise<readonly AppliedChange[]> {
  const wanted = merged(requests).map((request) => ({
    ...request,
    connection: request.machine.connection(),
  }));
  const sides = await Promise.all(wanted.map(look));
  for (const { machine, facts, change } of sides) {
    const refusals = checkChange(facts, change).filter(({ level }) => level === 'refuse');
    if (refusals.length > 0) throw new SettingsRefusedError(machine.snapshot, refusals);
  }
  const applied = new Map<Side, AppliedChange>();
  const touched: Side[] = [];
  for (const side of sides.toSorted((a, b) => Number(setsForGood(a)) - Number(setsForGood(b)))) {
    if (isEmptyChange(side.change)) continue;
    touched.push(side);
    try {
      applied.set(side, await set(side));
    } catch (cause) {
      throw await withdrawn(touched, side, cause);
    }
  }
  return sides.flatMap((side) => applied.get(side) ?? []);
}

function setsForGood({ facts, change }: Side): boolean {
  return Object.keys(change.parameters).some((name) => isForGood(facts, name));
}

/** One request a machine; those that ask for nothing are left out. */
function merged(requests: readonly ChangeRequest[]): readonly ChangeRequest[] {
  const byMachine = new Map<MachineId, ChangeRequest>();
  for (const { machine, change } of requests) {
    if (isEmptyChange(change)) continue;
    const earlier = byMachine.get(machine.id)?.change ?? noChange;
    byMachine.set(machine.id, { machine, change: mergedChange([earlier, change]) });
  }
  return [...byMachine.values()];
}

const judgedBy: readonly FactPart[] = ['parameters', 'capabilities', 'migration', 'status'];

async function look({
  machine,
  change: asked,
  connection,
}: ChangeRequest & { readonly connection: QmpConnection }): Promise<Side> {
  try {
    const facts = await readAgain(machine, judgedBy);
    const change = effectiveChange(facts, asked);
    const before = settingsOf(facts, namesOf(change));
    // What the snapshot says of it may still be the QEMU before, when this one has just come.
    const process = (await machine.identify()) ?? machine.snapshot.process;
    return { machine, connection, process, facts, change, before };
  } catch (cause) {
    if (cause instanceof NotConnectedError) throw cause;
    throw new SettingsNotAppliedError(machine.snapshot, cause, []);
  }
}

async function set({
  machine,
  connection,
  process,
  facts,
  change,
  before,
}: Side): Promise<AppliedChange> {
  await sendChange(connection, facts, change);
  const now = await readAgain(machine, ['parameters', 'capabilities']);
  verify(facts, now, change);
  const { id, label } = machine.snapshot;
  return { machineId: id, label, process, before, after: settingsOf(now, namesOf(change)) };
}

/**
 * Puts everything back, last first; one machine that does not answer does not hold up the others.
 *
 * @returns the error to throw
 */
async function withdrawn(
  touched: readonly Side[],
  { machine }: Side,
  cause: unknown,
): Promise<SettingsNotAppliedError> {
  const left = await Promise.all(
    touched.toReversed().map(async (side) => {
      const entries = await putBack(side);
      return entries.map((entry) => ({ side, ...entry }));
    }),
  );
  const notPutBack = left.flat().map(({ side, names, cause: why }) => ({
    label: side.machine.snapshot.label,
    names,
    cause: why,
  }));
  const remaining = left
    .flat()
    .filter(({ cause: why }) => !(why instanceof CannotUnsetError))
    .map((entry) => remainingOf(entry.side, entry));
  return new SettingsNotAppliedError(machine.snapshot, cause, notPutBack, remaining);
}

function remainingOf(
  { machine, process, change }: Side,
  { before, now }: NotPutBack,
): AppliedChange {
  const { id, label } = machine.snapshot;
  return { machineId: id, label, process, before, after: now ?? asReported(change) };
}

/** What QEMU reports once it has made the change, as far as that can be foretold. */
function asReported({ parameters, capabilities }: SettingsChange): SettingsState {
  return {
    parameters: Object.fromEntries(
      Object.entries(parameters).map(([name, value]) => [name, value ?? '']),
    ),
    capabilities,
  };
}
