import type { JsonValue } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { backendTransferOf } from '../settings/backendTransfer';
import { checkRange, parameterInfo } from '../settings/catalogue';
import type { SettingsChange } from '../settings/change';
import { executedParameter } from '../settings/rules';
import { isInteger } from '../settings/values';
import { checkValue } from '../settings/valueTypes';
import type { ComparedRow } from './compare';
import { unread } from './reported';

export interface MatchingChange {
  readonly change: SettingsChange;
  /** Differences that cannot be applied, with a sentence why. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** One setting of `to` with the value that it is to have, or why it cannot have it. */
type Match =
  | { readonly parameter: string; readonly value: JsonValue }
  | { readonly capability: string; readonly value: boolean }
  | { readonly reason: string };

/**
 * See `changeToMatch`.
 *
 * @param differences rows of the comparison of `from` (as source) with `to` (as target)
 */
export function matchRows(
  differences: readonly ComparedRow[],
  from: MachineSnapshot,
  to: MachineSnapshot,
  names: ReadonlySet<string> | undefined,
): MatchingChange {
  const parameters: [string, JsonValue][] = [];
  const capabilities: [string, boolean][] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (const row of differences) {
    if (row.kind === 'identity') continue;
    if (names !== undefined && !namesOf(row, from, to).some((name) => names.has(name))) continue;
    const match = matchRow(row, from, to, names !== undefined);
    if ('reason' in match) skipped.push({ name: row.name, reason: match.reason });
    else if ('parameter' in match) parameters.push([match.parameter, match.value]);
    else capabilities.push([match.capability, match.value]);
  }
  return {
    change: {
      parameters: Object.fromEntries(parameters),
      capabilities: Object.fromEntries(capabilities),
    },
    skipped,
  };
}

/** By what a row may be named. */
function namesOf(row: ComparedRow, ...machines: readonly MachineSnapshot[]): readonly string[] {
  if (row.kind !== 'backend-transfer') return [row.name];
  const spellings = machines.flatMap((machine) => {
    const offer = backendTransferOf(machine);
    return offer === undefined || offer.kind === 'absent' ? [] : [offer.parameter];
  });
  return [row.name, ...spellings];
}

function matchRow(
  row: ComparedRow,
  from: MachineSnapshot,
  to: MachineSnapshot,
  named: boolean,
): Match {
  const { source: wanted, target: now } = row;
  if (wanted.text === unread || now.text === unread) return { reason: 'It could not be read.' };
  if (now.state === 'absent') return { reason: `The QEMU of ${to.label} does not have it.` };
  if (wanted.state === 'absent') return { reason: `The QEMU of ${from.label} does not have it.` };
  if (wanted.state === 'not-set') {
    return {
      reason: `It is not set on ${from.label}; what is set cannot be unset on ${to.label}.`,
    };
  }
  switch (row.kind) {
    case 'identity':
      return { reason: 'It is fixed when QEMU starts.' };
    case 'backend-transfer':
      return matchTransfer(from, to);
    case 'capability':
      return { capability: row.name, value: wanted.value === true };
    case 'parameter':
      return matchParameter(row.name, wanted.value, to, named);
  }
}

function matchTransfer(from: MachineSnapshot, to: MachineSnapshot): Match {
  const [wanted, now] = [backendTransferOf(from), backendTransferOf(to)];
  if (wanted?.kind === 'boolean' && now?.kind === 'boolean') {
    return { parameter: now.parameter, value: wanted.enabled };
  }
  if (wanted?.kind === 'list' && now?.kind === 'list') {
    return checked(now.parameter, wanted.entries, to);
  }
  const list = wanted?.kind === 'list' ? from : to;
  return {
    reason: `It is a list in the QEMU of ${list.label}, and a switch in the other: set it by hand.`,
  };
}

function matchParameter(
  name: string,
  value: JsonValue,
  to: MachineSnapshot,
  named: boolean,
): Match {
  if (name === executedParameter) {
    return { reason: 'QEMU executes it in place of itself: copy it by hand.' };
  }
  if (name === 'mode' && !named) return { reason: 'Each migration sets its mode itself.' };
  return checked(name, value, to);
}

/** Whether the QEMU of `to` can take the value, as far as its schema and the catalogue tell. */
function checked(name: string, value: JsonValue, to: MachineSnapshot): Match {
  const problem = to.facts && problemOf(name, value, to.facts);
  return problem === undefined
    ? { parameter: name, value }
    : { reason: `The QEMU of ${to.label} would not take it. ${problem}` };
}

function problemOf(name: string, value: JsonValue, facts: VmFacts): string | undefined {
  const member = facts.schema.argument('migrate-set-parameters', name);
  if (member === undefined) return 'It reports the value, but does not let it be set.';
  const wrongType = checkValue(member.type, value);
  if (wrongType !== undefined) return wrongType;
  const info = parameterInfo(name);
  return info !== undefined && isInteger(value) ? checkRange(BigInt(value), info) : undefined;
}
