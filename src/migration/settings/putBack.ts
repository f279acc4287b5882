import { setTimeout as sleep } from 'node:timers/promises';
import type { QmpConnection } from '../../qmp/connection';
import { QmpCommandError } from '../../qmp/errors';
import { isAlive, isSameProcess } from '../../vm/process';
import { hasEnded, untilReady } from '../../vm/ready';
import type { MachineHandle, QemuProcess, VmFacts } from '../../vm/types';
import { CapabilityNotTakenError } from './capabilities';
import { ParameterNotTakenError, readAgain, sendPart, type ChangePart } from './sendChange';
import {
  reportedParameter,
  restorationTo,
  settingsOf,
  type SettingsChange,
  type SettingsNames,
  type SettingsState,
} from './settingsState';

/** A parameter was not set before, and QEMU has no way to unset it again. */
export class CannotUnsetError extends Error {
  override readonly name = 'CannotUnsetError';
  readonly parameters: readonly string[];

  constructor(parameters: readonly string[]) {
    super(`QEMU cannot unset ${parameters.join(', ')}`);
    this.parameters = parameters;
  }
}

/** A QEMU that was silent when asked what it has now. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
  readonly label: string;

  constructor(label: string) {
    super(`${label} did not answer within ${patienceMs / 1000} s`);
    this.label = label;
  }
}

/** A machine that commands were sent to, and what it had before. */
export interface Touched {
  readonly machine: MachineHandle;
  /** The one that the commands were sent on. */
  readonly connection: QmpConnection;
  readonly process: QemuProcess | undefined;
  /** Of those settings that were to be changed. */
  readonly before: SettingsState;
}

/** Settings that do not have their earlier values. */
export interface NotPutBack {
  readonly names: readonly string[];
  readonly cause: unknown;
  /** The earlier values, and what QEMU reports now; `undefined`: it could not be asked. */
  readonly before: SettingsState;
  readonly now: SettingsState | undefined;
}

const patienceMs = 10_000;

/**
 * Reads what a machine has now and puts back what is not as it was; never throws. The settings of a
 * QEMU that is gone are gone with it: there is nothing to put back.
 */
export async function putBack(touched: Touched): Promise<readonly NotPutBack[]> {
  const { machine, before } = touched;
  try {
    if (!(await isStillThere(touched))) return [];
    const connection = machine.connection();
    const { change } = restorationTo(before, await readPatiently(machine));
    const refusals = new Map<ChangePart, QmpCommandError>();
    const attempt = async (part: ChangePart): Promise<void> => {
      try {
        await sendPart(connection, part, change);
        refusals.delete(part);
      } catch (error) {
        if (!(error instanceof QmpCommandError)) throw error;
        refusals.set(part, error);
      }
    };
    await attempt('capabilities');
    await attempt('parameters');
    // What the new parameters stood in the way of, the old ones may allow.
    if (refusals.has('capabilities')) await attempt('capabilities');
    return leftOver(before, await readPatiently(machine), [...refusals.values()][0]);
  } catch (cause) {
    const names = [...Object.keys(before.parameters), ...Object.keys(before.capabilities)];
    return [{ names, cause, before, now: undefined }];
  }
}

/** Whether the QEMU that was changed is at the other end, after a lost connection was made again. */
async function isStillThere({ machine, connection, process }: Touched): Promise<boolean> {
  if (connection.closeReason === undefined) return true;
  // By then the machine knows of it as well.
  await connection.closed;
  if (!(await untilReady(machine))) {
    const isGone = process === undefined ? hasEnded(machine) : isAlive(process).then((is) => !is);
    return !(await isGone);
  }
  const now = await machine.identify();
  return now === undefined || process === undefined || isSameProcess(now, process);
}

/** @throws {NoAnswerError} */
async function readPatiently(machine: MachineHandle): Promise<VmFacts> {
  const over = new AbortController();
  const silence = sleep(patienceMs, undefined, { ref: false, signal: over.signal }).then(() => {
    throw new NoAnswerError(machine.snapshot.label);
  });
  // Whichever of the two comes second is of no interest.
  silence.catch(() => undefined);
  try {
    return await Promise.race([readAgain(machine, ['parameters', 'capabilities']), silence]);
  } finally {
    over.abort();
  }
}

function leftOver(
  before: SettingsState,
  facts: VmFacts,
  refusal: QmpCommandError | undefined,
): readonly NotPutBack[] {
  const { change, cannotUnset } = restorationTo(before, facts);
  const parameters = Object.keys(change.parameters).filter((name) => !cannotUnset.includes(name));
  const capabilities = Object.keys(change.capabilities);
  const left: NotPutBack[] = [];
  const add = (names: SettingsNames, cause: unknown): void => {
    const all = [...names.parameters, ...names.capabilities];
    if (all.length === 0) return;
    const now = settingsOf(facts, names);
    left.push({ names: all, cause, before: pick(before, names), now });
  };
  add({ parameters, capabilities }, refusal ?? notTaken(facts, change, parameters[0]));
  add({ parameters: cannotUnset, capabilities: [] }, new CannotUnsetError(cannotUnset));
  return left;
}

/** QEMU accepted the old value, and reports another one all the same. */
function notTaken(facts: VmFacts, wanted: SettingsChange, parameter: string | undefined): unknown {
  return parameter === undefined
    ? new CapabilityNotTakenError(Object.keys(wanted.capabilities).join(', '))
    : new ParameterNotTakenError(
        parameter,
        wanted.parameters[parameter] ?? null,
        reportedParameter(facts, parameter),
      );
}

function pick(state: SettingsState, names: SettingsNames): SettingsState {
  const parameters = new Set(names.parameters);
  const capabilities = new Set(names.capabilities);
  return {
    parameters: Object.fromEntries(
      Object.entries(state.parameters).filter(([name]) => parameters.has(name)),
    ),
    capabilities: Object.fromEntries(
      Object.entries(state.capabilities).filter(([name]) => capabilities.has(name)),
    ),
  };
}
