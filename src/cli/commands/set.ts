import { describeCapability, describeCapabilities } from '../../migration/settings/capabilities';
import { backendTransferOf, switchBackendTransfer } from '../../migration/settings/backendTransfer';
import { applyChanges } from '../../migration/settings/change';
import { nearest } from '../../migration/settings/nearest';
import { describeParameter, describeParameters } from '../../migration/settings/parameters';
import { pairBackendTransfer, switchRequests } from '../../migration/pair/backendTransferPair';
import type { MachineHandle } from '../../vm/types';
import { ExitCode, RefusedError, sameMachineText, UsageError } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { capabilityKind, changeSettings, factsOf, parameterKind } from './settings';
import { parseSwitch } from './switches';

/** Sets a parameter, or a capability, and tells what QEMU has then. */
export async function set(
  session: Session,
  socket: string,
  name: string,
  text: string,
  { allowExec }: { readonly allowExec: boolean },
): Promise<CommandResult> {
  const machine = await session.connect(socket);
  const facts = factsOf(machine);
  const isParameter = describeParameter(facts, name) !== undefined;
  if (!isParameter && describeCapability(facts, name) === undefined) {
    const known = [...describeParameters(facts), ...describeCapabilities(facts)];
    const near = nearest(
      name,
      known.map((setting) => setting.name),
    );
    throw new RefusedError(
      `This QEMU has no migration parameter or capability "${name}".`,
      near === undefined
        ? `"qemu-migration show ${socket}" lists what it has.`
        : `Did you mean "${near}"?`,
    );
  }
  const kind = isParameter ? parameterKind : capabilityKind;
  const request = { assignments: [[name, text]], reset: [], resetAll: false, allowExec } as const;
  const result = await changeSettings(session, machine, request, kind);
  const now = kind.entries(factsOf(machine)).find((entry) => entry.name === name);
  return {
    ...result,
    document: {
      kind: kind.noun,
      name,
      value: now?.value,
      shown: now?.text,
      warnings: result.document['warnings'],
    },
  };
}

/**
 * Turns backend transfer on or off, by whichever name a QEMU has it; with a target on both sides or
 * on neither.
 */
export async function backendTransfer(
  session: Session,
  socket: string,
  text: string,
  target: string | undefined,
): Promise<CommandResult> {
  const wanted = parseSwitch(text, 'Backend transfer');
  const machine = await session.connect(socket);
  if (target !== undefined) {
    return await switchPair(session, machine, await session.connect(target), wanted);
  }
  const change = switchBackendTransfer(machine.snapshot, wanted);
  await session.toItsEnd(() => applyChanges([{ machine, change }]));
  return {
    exitCode: ExitCode.ok,
    lines: [stateLine(machine, wanted)],
    document: { enabled: wanted, parameter: parameterOf(machine) },
  };
}

async function switchPair(
  session: Session,
  source: MachineHandle,
  target: MachineHandle,
  wanted: boolean,
): Promise<CommandResult> {
  if (source === target) throw new UsageError(sameMachineText);
  await session.toItsEnd(() => applyChanges(switchRequests(source, target, wanted)));
  const now = pairBackendTransfer(source.snapshot, target.snapshot);
  const problems = wanted ? (now?.problems ?? []) : [];
  return {
    exitCode: ExitCode.ok,
    lines: [
      stateLine(source, wanted),
      stateLine(target, wanted),
      ...problems.map((problem) => `Note: ${problem}`),
    ],
    document: {
      enabled: wanted,
      source: parameterOf(source),
      target: parameterOf(target),
      devices: now?.devices,
      problems,
      order: now?.order,
    },
  };
}

function stateLine(machine: MachineHandle, enabled: boolean): string {
  const parameter = parameterOf(machine);
  const by = parameter === undefined ? '' : ` (parameter "${parameter}")`;
  return `Backend transfer is ${enabled ? 'on' : 'off'} on ${machine.snapshot.label}${by}.`;
}

function parameterOf({ snapshot }: MachineHandle): string | undefined {
  const offer = backendTransferOf(snapshot);
  return offer !== undefined && 'parameter' in offer ? offer.parameter : undefined;
}
