import type { QmpConnection } from '../../qmp/connection';
import { QmpCommandError } from '../../qmp/errors';
import type { JsonValue } from '../../qmp/json';
import type { FactPart, MachineHandle, VmFacts } from '../../vm/types';
import { CapabilityNotTakenError } from './capabilities';
import {
  isSetTo,
  namesOf,
  reportedCapability,
  reportedParameter,
  restorationTo,
  settingsOf,
  withChange,
  type SettingsChange,
} from './settingsState';

/** QEMU accepted a parameter without a word, and reports another value. */
export class ParameterNotTakenError extends Error {
  override readonly name = 'ParameterNotTakenError';
  readonly parameter: string;
  readonly wanted: JsonValue;
  /** `undefined`: QEMU does not report it any more. */
  readonly now: JsonValue | undefined;

  constructor(parameter: string, wanted: JsonValue, now: JsonValue | undefined) {
    super(`QEMU accepted ${parameter}, but reports another value`);
    this.parameter = parameter;
    this.wanted = wanted;
    this.now = now;
  }
}

/** What one command sets: QEMU takes all of it or nothing. */
export type ChangePart = 'parameters' | 'capabilities';

/** Sends one part of a change, if there is anything in it. @throws {QmpError} */
export async function sendPart(
  connection: QmpConnection,
  part: ChangePart,
  change: SettingsChange,
): Promise<void> {
  if (Object.keys(change[part]).length === 0) return;
  if (part === 'parameters') {
    await connection.execute('migrate-set-parameters', change.parameters);
    return;
  }
  const capabilities = Object.entries(change.capabilities).map(([capability, state]) => ({
    capability,
    state,
  }));
  await connection.execute('migrate-set-capabilities', { capabilities });
}

/**
 * Sends a change in as few commands as it takes. `zero-copy-send` wants `multifd-compression` to be
 * `none` first, and compression wants `zero-copy-send` to be off first: where QEMU refuses one order
 * of the two commands, it is asked in the other. Parameters that QEMU cannot unset come last: a
 * refusal of anything else would leave them set.
 *
 * @param before what QEMU reported before
 * @throws {QmpCommandError} the first refusal, when QEMU refuses both; then, as a rule, nothing is set
 * @throws {QmpError} otherwise nobody knows what is set
 */
export async function sendChange(
  connection: QmpConnection,
  before: VmFacts,
  { parameters, capabilities }: SettingsChange,
): Promise<void> {
  const states: Command = { parameters: {}, capabilities, part: 'capabilities' };
  const values = (isLast: boolean): Command => ({
    parameters: Object.fromEntries(
      Object.entries(parameters).filter(([name]) => isForGood(before, name) === isLast),
    ),
    capabilities: {},
    part: 'parameters',
  });
  if (Object.keys(capabilities).length === 0) {
    await sendInOrder(connection, before, [{ parameters, capabilities, part: 'parameters' }]);
    return;
  }
  const [plain, forGood] = [values(false), values(true)];
  try {
    await sendInOrder(connection, before, [plain, states, forGood]);
  } catch (refusal) {
    const isTwofold = Object.keys(plain.parameters).length > 0;
    if (!(refusal instanceof QmpCommandError) || !isTwofold) throw refusal;
    try {
      await sendInOrder(connection, before, [states, plain, forGood]);
    } catch (second) {
      throw second instanceof QmpCommandError ? refusal : second;
    }
  }
}

/** One command of a change. */
interface Command extends SettingsChange {
  readonly part: ChangePart;
}

/** Whether nothing leads back once the parameter is set: QEMU does not report it before. */
export function isForGood(before: VmFacts, name: string): boolean {
  return reportedParameter(before, name) === undefined;
}

/** Sends one after the other; where QEMU refuses one, what those before it set is put back. */
async function sendInOrder(
  connection: QmpConnection,
  before: VmFacts,
  [command, ...others]: readonly Command[],
): Promise<void> {
  if (command === undefined) return;
  await sendPart(connection, command.part, command);
  try {
    await sendInOrder(connection, before, others);
  } catch (refusal) {
    if (refusal instanceof QmpCommandError) {
      await sendPart(connection, command.part, changeBack(before, command));
    }
    throw refusal;
  }
}

/** What leads back to `before` from a state in which all of `change` is made. */
function changeBack(before: VmFacts, change: SettingsChange): SettingsChange {
  return restorationTo(settingsOf(before, namesOf(change)), withChange(before, change)).change;
}

/**
 * Reads parts of the facts anew.
 *
 * @throws {NotConnectedError}
 * @throws {QmpError} also when QEMU refused to tell one of the parts
 */
export async function readAgain(
  machine: MachineHandle,
  parts: readonly FactPart[],
): Promise<VmFacts> {
  const facts = await machine.refresh(parts);
  for (const part of parts) {
    const failure = facts.failures[part];
    if (failure !== undefined) throw failure;
  }
  return facts;
}

/**
 * Whether QEMU reports what was set. What it never reported cannot be judged.
 *
 * @throws {ParameterNotTakenError}
 * @throws {CapabilityNotTakenError}
 */
export function verify(before: VmFacts, now: VmFacts, change: SettingsChange): void {
  for (const [name, wanted] of Object.entries(change.parameters)) {
    const value = reportedParameter(now, name);
    const isNeverReported = value === undefined && reportedParameter(before, name) === undefined;
    if (!isNeverReported && !isSetTo(now, name, wanted)) {
      throw new ParameterNotTakenError(name, wanted, value);
    }
  }
  for (const [name, wanted] of Object.entries(change.capabilities)) {
    const state = reportedCapability(now, name);
    const isNeverReported = state === undefined && reportedCapability(before, name) === undefined;
    if (!isNeverReported && state !== wanted) throw new CapabilityNotTakenError(name);
  }
}
