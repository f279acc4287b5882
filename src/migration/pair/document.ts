import { stringifyJson } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { parameterGroups } from '../settings/catalogue';
import {
  describeParameters,
  formatParameterValue,
  type ParameterDescription,
} from '../settings/parameters';
import { executedParameter } from '../settings/rules';
import { editableQuantity } from '../settings/units';
import { isInteger, sameValue } from '../settings/values';
import { byCapabilityOrder, byParameterOrder } from './order';
import { capabilityStates, notHere, plainValue, unread } from './reported';

/**
 * One machine's settings as a read-only text for an editor or a diff editor: JSON with comments, one
 * setting a line, in an order that is the same for every machine, values as people read them. Its
 * `parameters` and `capabilities` can be pasted into a profile.
 *
 * @param other the machine on the other side of a diff: what only it has is shown as a comment, so
 *   that the lines of both sides meet
 */
export function settingsDocument(snapshot: MachineSnapshot, other?: MachineSnapshot): string {
  const { facts } = snapshot;
  const body =
    facts === undefined
      ? ['{}']
      : [
          '{',
          ...section('parameters', parameterEntries(facts, other?.facts), ','),
          ...section('capabilities', capabilityEntries(facts, other?.facts), ''),
          '}',
        ];
  return [...header(snapshot).map((line) => `// ${oneLine(line)}`), ...body, ''].join('\n');
}

function header({ label, socketPath, state, facts }: MachineSnapshot): readonly string[] {
  const socket = `QMP socket: ${socketPath}`;
  if (facts === undefined) return [label, socket, 'Not connected: nothing is known of it.'];
  const { major, minor, micro } = facts.version;
  const qemu = `QEMU ${major}.${minor}.${micro}, machine type ${facts.machineType ?? 'not known'}`;
  const stale = state.kind === 'ready' ? [] : ['Not connected: as last known.'];
  return [`${label}: ${qemu}`, socket, ...stale];
}

/** Names and paths may have anything in them. */
function oneLine(text: string): string {
  return text.replace(/\p{Control}|\p{Line_Separator}|\p{Paragraph_Separator}/gu, ' ');
}

/** One line of the document. */
interface Entry {
  readonly name: string;
  /** The comment line above its group. */
  readonly heading?: string | undefined;
  /** As JSON; `undefined`: there is none, and `remark` says why. */
  readonly value: string | undefined;
  readonly remark?: string | undefined;
  /** Both sides of the diff have a value. */
  readonly common: boolean;
}

function section(name: string, entries: readonly Entry[], comma: string): readonly string[] {
  const ordered = endingWithValue(entries);
  const lines = ordered.flatMap((entry, index) => {
    const { heading } = entry;
    const isNew = heading !== undefined && heading !== ordered[index - 1]?.heading;
    return [
      ...(isNew ? [`    // ${heading}`] : []),
      `    ${entryLine(entry, index < ordered.length - 1)}`,
    ];
  });
  return [`  ${JSON.stringify(name)}: {`, ...lines, `  }${comma}`];
}

/**
 * JSON wants no comma after the last value, and a diff should not show one as a difference: a value
 * that both sides have comes last.
 */
function endingWithValue(entries: readonly Entry[]): readonly Entry[] {
  const last =
    entries.findLast(({ value, common }) => value !== undefined && common) ??
    entries.findLast(({ value }) => value !== undefined);
  return last === undefined ? entries : [...entries.filter((entry) => entry !== last), last];
}

function entryLine({ name, value, remark }: Entry, more: boolean): string {
  const key = JSON.stringify(name);
  if (value === undefined) return `// ${key}: ${oneLine(remark ?? '')}`;
  return `${key}: ${value}${more ? ',' : ''}${remark === undefined ? '' : ` // ${oneLine(remark)}`}`;
}

const groupTitles = new Map(parameterGroups.map(({ id, title }) => [id, title]));

function parameterEntries(facts: VmFacts, other: VmFacts | undefined): readonly Entry[] {
  const own = parametersByName(facts);
  const others = other === undefined ? own : parametersByName(other);
  const names = [...new Set([...own.keys(), ...others.keys()])].sort(byParameterOrder);
  return names.map((name): Entry => {
    const [mine, theirs] = [own.get(name), others.get(name)];
    const heading = groupTitles.get((mine ?? theirs)?.info?.group ?? 'other');
    const written = mine && writtenValue(mine);
    // A profile must not have it: as a comment it is seen all the same.
    const value = name === executedParameter ? undefined : written;
    const common = value !== undefined && theirs !== undefined && theirs.value !== undefined;
    const remark =
      value === undefined ? (written ?? whyNoValue(mine, facts)) : mine && remarkOn(mine, theirs);
    return { name, heading, value, remark, common };
  });
}

function whyNoValue(mine: ParameterDescription | undefined, facts: VmFacts): string {
  if (mine === undefined) return notHere;
  return facts.failures.parameters === undefined ? formatParameterValue(mine) : unread;
}

function parametersByName(facts: VmFacts): ReadonlyMap<string, ParameterDescription> {
  return new Map(describeParameters(facts).map((each) => [each.name, each]));
}

/** The value as JSON, numbers with their unit where they have one; `undefined`: not set. */
function writtenValue(description: ParameterDescription): string | undefined {
  const value = plainValue(description);
  if (value === undefined) return undefined;
  if (!isInteger(value)) return stringifyJson(value);
  const text = editableQuantity(BigInt(value), description.unit);
  return text === value.toString() ? text : JSON.stringify(text);
}

/**
 * What the value means and what it would be by default. Where both sides have the same value, and
 * only their defaults differ, the lines are to be the same.
 */
function remarkOn(
  mine: ParameterDescription,
  theirs: ParameterDescription | undefined,
): string | undefined {
  const { value, info } = mine;
  const isZero = value !== undefined && value !== null && isInteger(value) && BigInt(value) === 0n;
  const meaning = isZero ? info?.zeroMeans : undefined;
  const standard = defaultText(mine);
  const same = theirs !== undefined && sameValue(plainValue(mine), plainValue(theirs));
  const told = same && defaultText(theirs) !== standard ? undefined : standard;
  const parts = [meaning, told].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join('; ');
}

function defaultText(description: ParameterDescription): string | undefined {
  const { changed, default: standard } = description;
  if (!changed || standard.kind !== 'known') return undefined;
  return `default ${formatParameterValue({ ...description, value: standard.value })}`;
}

function capabilityEntries(facts: VmFacts, other: VmFacts | undefined): readonly Entry[] {
  const own = capabilityStates(facts);
  const others = other === undefined ? own : capabilityStates(other);
  const names = [...new Set([...own.keys(), ...others.keys()])].sort(byCapabilityOrder);
  return names.map((name): Entry => {
    const enabled = own.get(name);
    return enabled === undefined
      ? {
          name,
          value: undefined,
          remark: facts.failures.capabilities === undefined ? notHere : unread,
          common: false,
        }
      : { name, value: String(enabled), common: others.has(name) };
  });
}
