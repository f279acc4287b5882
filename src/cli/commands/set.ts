import { setCapability } from '../../migration/settings/capabilities';
import {
  describeParameter,
  describeParameters,
  formatParameterValue,
  parseParameterInput,
  setParameter,
} from '../../migration/settings/parameters';
import { setBackendTransfer, backendTransferOf } from '../../migration/settings/backendTransfer';
import type { JsonValue } from '../../qmp/json';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { ExitCode, RefusedError, UsageError } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { nearest } from '../../migration/settings/nearest';

/** Sets a parameter, or a capability, and tells what QEMU has then. */
export async function set(
  session: Session,
  socket: string,
  name: string,
  text: string,
): Promise<CommandResult> {
  const machine = await session.connect(socket);
  const facts = factsOf(machine);
  if (describeParameter(facts, name) !== undefined)
    return await changeParameter(machine, name, text);
  if (facts.capabilities.some((capability) => capability.name === name)) {
    const enabled = await setCapability(machine, name, parseSwitch(text, `Capability ${name}`));
    return changed('capability', name, enabled ? 'on' : 'off', enabled);
  }
  const known = [
    ...describeParameters(facts).map((parameter) => parameter.name),
    ...facts.capabilities.map((capability) => capability.name),
  ];
  const near = nearest(name, known);
  throw new RefusedError(
    `This QEMU has no migration parameter or capability "${name}".`,
    near === undefined
      ? `"qemu-migration show ${socket}" lists what it has.`
      : `Did you mean "${near}"?`,
  );
}

async function changeParameter(
  machine: MachineHandle,
  name: string,
  text: string,
): Promise<CommandResult> {
  const before = describeParameter(factsOf(machine), name);
  if (before === undefined) throw new Error(`The parameter ${name} has gone.`);
  if (!before.editable) {
    throw new RefusedError(before.notEditableReason ?? `${name} cannot be set from here.`);
  }
  const parsed = parseParameterInput(before, text);
  if (!parsed.ok) throw new UsageError(parsed.problem);
  const value = await setParameter(machine, name, parsed.value);
  const after = formatParameterValue({ ...before, value });
  return changed('parameter', name, after, value, formatParameterValue(before));
}

function changed(
  kind: 'parameter' | 'capability',
  name: string,
  shown: string,
  value: JsonValue | undefined,
  before?: string,
): CommandResult {
  const was = before === undefined || before === shown ? '' : ` (was ${before})`;
  return {
    exitCode: ExitCode.ok,
    lines: [`${name} is ${shown}${was}.`],
    document: { kind, name, value, shown },
  };
}

/** Turns backend transfer on or off, by whichever name this QEMU has it. */
export async function backendTransfer(
  session: Session,
  socket: string,
  text: string,
): Promise<CommandResult> {
  const wanted = parseSwitch(text, 'Backend transfer');
  const machine = await session.connect(socket);
  const enabled = await setBackendTransfer(machine, wanted);
  const offer = backendTransferOf(machine.snapshot);
  const parameter = offer !== undefined && 'parameter' in offer ? offer.parameter : undefined;
  const by = parameter === undefined ? '' : ` (parameter "${parameter}")`;
  return {
    exitCode: ExitCode.ok,
    lines: [`Backend transfer is ${enabled ? 'on' : 'off'} on ${machine.snapshot.label}${by}.`],
    document: { enabled, parameter },
  };
}

function parseSwitch(text: string, what: string): boolean {
  switch (text.toLowerCase()) {
    case 'on':
    case 'true':
    case 'yes':
      return true;
    case 'off':
    case 'false':
    case 'no':
      return false;
    default:
      throw new UsageError(`${what} is either on or off, not "${text}".`);
  }
}

function factsOf(machine: MachineHandle): VmFacts {
  const { facts, label } = machine.snapshot;
  if (facts === undefined) throw new Error(`${label} has not told its settings.`);
  return facts;
}
