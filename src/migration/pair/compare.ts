import type { JsonValue } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { backendTransferOf, type BackendTransfer } from '../settings/backendTransfer';
import { capabilityInfo } from '../settings/catalogue';
import {
  describeParameters,
  formatParameterValue,
  type ParameterDescription,
} from '../settings/parameters';
import { comparesUuids } from '../settings/rules';
import { reportedCapability } from '../settings/settingsState';
import { formatBytes } from '../settings/units';
import { sameValue } from '../settings/values';
import { matchRows, type MatchingChange } from './match';
import {
  judgeCapability,
  judgeParameter,
  meaningOf,
  type BothSides,
  type Meaning,
} from './meaning';
import { byCapabilityOrder, byParameterOrder } from './order';
import { capabilityStates, notHere, plainValue, unread } from './reported';

export type { Meaning } from './meaning';
export type { MatchingChange } from './match';

export type ComparedValue =
  | { readonly state: 'value'; readonly value: JsonValue; readonly text: string }
  /** This QEMU has the parameter, and does not report it. */
  | { readonly state: 'not-set'; readonly text: string }
  /** This QEMU has no such thing. */
  | { readonly state: 'absent'; readonly text: string };

export interface ComparedRow {
  readonly kind: 'identity' | 'backend-transfer' | 'parameter' | 'capability';
  /** QEMU's name; `version`, `machine type`, `memory`, ... for identity; backend transfer is one row whatever each side calls it. */
  readonly name: string;
  readonly source: ComparedValue;
  readonly target: ComparedValue;
  /** The same, or the same in effect. */
  readonly equal: boolean;
  readonly meaning: Meaning;
  /** Not equal, and it matters: to be looked at before migrating. */
  readonly problem: boolean;
  /** One sentence: why it must be equal, what happens otherwise. */
  readonly note?: string;
}

export interface Comparison {
  readonly rows: readonly ComparedRow[];
  /** Rows that are not equal, problems first. */
  readonly differences: readonly ComparedRow[];
  readonly problems: readonly ComparedRow[];
}

/** The name of the row of backend transfer. */
export const backendTransferName = 'backend transfer';

/** The last comparison of each source: both machines of a pair show it, and ask what can be matched. */
const compared = new WeakMap<MachineSnapshot, { target: MachineSnapshot; found: Comparison }>();

/** Both sides row by row; `undefined` while nothing is known of one of them. Pure. */
export function compareMachines(
  source: MachineSnapshot,
  target: MachineSnapshot,
): Comparison | undefined {
  const known = compared.get(source);
  if (known?.target === target) return known.found;
  if (source.facts === undefined || target.facts === undefined) return undefined;
  const facts = { source: source.facts, target: target.facts };
  const offers = { source: backendTransferOf(source), target: backendTransferOf(target) };
  const rows = [
    ...identityRows(facts),
    ...backendTransferRow(offers),
    ...parameterRows(facts, offers),
    ...capabilityRows(facts),
  ];
  const differing = rows.filter(({ equal }) => !equal);
  const problems = differing.filter(({ problem }) => problem);
  const differences = [...problems, ...differing.filter(({ problem }) => !problem)];
  const found = { rows, differences, problems };
  compared.set(source, { target, found });
  return found;
}

/**
 * The change that gives `to` the values of `from` for the named differences (all settings by
 * default). Backend transfer is mapped to the name that `to` uses, and may be named by its row, or
 * as either side calls it.
 *
 * `mode` is left alone unless named: each migration sets it itself. `cpr-exec-command` is always
 * left alone: QEMU executes it.
 */
export function changeToMatch(
  from: MachineSnapshot,
  to: MachineSnapshot,
  names?: ReadonlySet<string>,
): MatchingChange {
  const differences = compareMachines(from, to)?.differences ?? [];
  return matchRows(differences, from, to, names);
}

function identityRows({ source, target }: BothSides<VmFacts>): readonly ComparedRow[] {
  const comparing = comparesUuids.find((name) =>
    [source, target].every((facts) => reportedCapability(facts, name) === true),
  );
  const version = (facts: VmFacts): string => {
    const { major, minor, micro } = facts.version;
    return `${major}.${minor}.${micro}`;
  };
  const row = (
    name: string,
    value: (facts: VmFacts) => JsonValue | undefined,
    rule: {
      readonly must: boolean;
      readonly note?: string;
      /** What it is to have none; without it, having none is not having been told. */
      readonly unset?: string;
    },
    text: (value: JsonValue) => string = String,
  ): ComparedRow => {
    const [a, b] = [value(source), value(target)];
    const equal = sameValue(a, b);
    const side = (known: JsonValue | undefined): ComparedValue =>
      known === undefined
        ? { state: 'not-set', text: rule.unset ?? 'not known' }
        : { state: 'value', value: known, text: text(known) };
    return {
      kind: 'identity',
      name,
      source: side(a),
      target: side(b),
      equal,
      meaning: rule.must ? 'must-be-equal' : 'may-differ',
      // What QEMU did not tell is nothing to be held against it.
      problem:
        rule.must && !equal && (rule.unset !== undefined || (a !== undefined && b !== undefined)),
      ...(!equal && rule.note !== undefined && { note: rule.note }),
    };
  };
  return [
    row('version', version, {
      must: false,
      note: 'A guest can move between versions as long as both have its machine type.',
    }),
    row('machine type', ({ machineType }) => machineType, {
      must: true,
      note: `The target refuses the guest. Start it with "-machine ${source.machineType ?? 'TYPE'}", the versioned name: an alias such as "q35" means another type in each version.`,
    }),
    row(
      'memory',
      ({ memoryBytes }) => memoryBytes,
      { must: true, note: 'The target refuses the guest: its memory has another size.' },
      (bytes) => formatBytes(Number(bytes)),
    ),
    row('uuid', ({ uuid }) => uuid, {
      must: comparing !== undefined,
      unset: 'not set',
      note:
        comparing === undefined
          ? 'The target takes the guest all the same; with validate-uuid or multifd on both sides it would not.'
          : `The target refuses the guest, since ${comparing} is on at both sides. Start it with "-uuid ${source.uuid ?? '00000000-0000-0000-0000-000000000000'}".`,
    }),
    row('name', ({ name }) => name, { must: false, unset: 'not set' }),
  ];
}

type Offers = BothSides<BackendTransfer | undefined>;

/** One row, whatever each side calls it; none where neither side has it. */
function backendTransferRow({ source, target }: Offers): readonly ComparedRow[] {
  const known = [source, target].filter((offer) => offer !== undefined);
  if (known.every(({ kind }) => kind === 'absent')) return [];
  const [a, b] = [transferValue(source), transferValue(target)];
  const on = { source: isTransferOn(source), target: isTransferOn(target) };
  const sameSpelling = spelling(source) === spelling(target);
  const equal =
    on.source === on.target &&
    (!on.source || (sameSpelling && sameValue(entriesOf(source), entriesOf(target))));
  const note = transferNote(on, sameSpelling, a.state === 'absent' || b.state === 'absent');
  return [
    {
      kind: 'backend-transfer',
      name: backendTransferName,
      source: a,
      target: b,
      equal,
      meaning: 'must-be-equal',
      problem: !equal,
      ...(note !== undefined && !(equal && sameSpelling) && { note }),
    },
  ];
}

function transferNote(
  on: BothSides<boolean>,
  sameSpelling: boolean,
  oneSided: boolean,
): string | undefined {
  if (on.source !== on.target) {
    return on.source
      ? 'The target opens network devices of its own while the source keeps them, and fails.'
      : 'The target waits for network devices that the source does not hand over, and fails.';
  }
  if (!on.source) return oneSided ? 'Off and not there are the same.' : undefined;
  return sameSpelling
    ? 'The lists differ: what one side hands over the other does not take.'
    : 'The two QEMUs have different stages of it; that these understand each other is not known.';
}

function transferValue(offer: BackendTransfer | undefined): ComparedValue {
  if (offer === undefined || offer.kind === 'absent') return { state: 'absent', text: notHere };
  if (offer.kind === 'boolean') {
    const text = `${offer.enabled ? 'on' : 'off'} ("${offer.parameter}")`;
    return { state: 'value', value: offer.enabled, text };
  }
  const listed = offer.entries.length === 0 ? 'off' : offer.entries.join(', ');
  return {
    state: 'value',
    value: offer.entries,
    text: `${listed} (list "${offer.parameter}")`,
  };
}

function isTransferOn(offer: BackendTransfer | undefined): boolean {
  if (offer === undefined || offer.kind === 'absent') return false;
  return offer.kind === 'boolean' ? offer.enabled : offer.entries.length > 0;
}

function entriesOf(offer: BackendTransfer | undefined): readonly string[] {
  return offer?.kind === 'list' ? offer.entries : [];
}

/** What tells the stages of the work on backend transfer apart. */
function spelling(offer: BackendTransfer | undefined): string {
  return offer === undefined || offer.kind === 'absent'
    ? 'absent'
    : `${offer.kind} ${offer.parameter}`;
}

function parameterRows(facts: BothSides<VmFacts>, offers: Offers): readonly ComparedRow[] {
  const source = byName(describeParameters(facts.source), offers.source);
  const target = byName(describeParameters(facts.target), offers.target);
  const names = [...new Set([...source.keys(), ...target.keys()])].sort(byParameterOrder);
  return names.map((name): ComparedRow => {
    const [a, b] = [source.get(name), target.get(name)];
    const info = a?.info ?? b?.info;
    const values = { source: a?.value, target: b?.value };
    const present = { source: a !== undefined, target: b !== undefined };
    const equal = a !== undefined && b !== undefined && sameValue(plainValue(a), plainValue(b));
    return {
      kind: 'parameter',
      name,
      source: parameterValue(a, facts.source),
      target: parameterValue(b, facts.target),
      equal,
      meaning: meaningOf(info?.sides),
      ...(equal ? { problem: false } : judgeParameter(name, info, values, facts, present)),
    };
  });
}

/** Without backend transfer, which has a row of its own. */
function byName(
  descriptions: readonly ParameterDescription[],
  offer: BackendTransfer | undefined,
): ReadonlyMap<string, ParameterDescription> {
  const own = offer === undefined || offer.kind === 'absent' ? undefined : offer.parameter;
  return new Map(
    descriptions.flatMap((each) => (each.name === own ? [] : [[each.name, each] as const])),
  );
}

function parameterValue(
  description: ParameterDescription | undefined,
  facts: VmFacts,
): ComparedValue {
  if (description === undefined) return { state: 'absent', text: notHere };
  const { value } = description;
  if (value !== undefined)
    return { state: 'value', value, text: formatParameterValue(description) };
  const text = facts.failures.parameters === undefined ? formatParameterValue(description) : unread;
  return { state: 'not-set', text };
}

function capabilityRows(facts: BothSides<VmFacts>): readonly ComparedRow[] {
  const [source, target] = [capabilityStates(facts.source), capabilityStates(facts.target)];
  const names = [...new Set([...source.keys(), ...target.keys()])].sort(byCapabilityOrder);
  return names.map((name): ComparedRow => {
    const [a, b] = [source.get(name), target.get(name)];
    const info = capabilityInfo(name);
    const present = { source: a !== undefined, target: b !== undefined };
    const equal = (a ?? false) === (b ?? false);
    const absent = !present.source || !present.target;
    return {
      kind: 'capability',
      name,
      source: capabilityValue(a, facts.source),
      target: capabilityValue(b, facts.target),
      equal,
      meaning: meaningOf(info?.sides),
      ...(equal
        ? { problem: false, ...(absent && { note: 'Off and not there are the same.' }) }
        : judgeCapability(name, info, a === true ? 'source' : 'target', present)),
    };
  });
}

function capabilityValue(enabled: boolean | undefined, facts: VmFacts): ComparedValue {
  if (enabled !== undefined) {
    return { state: 'value', value: enabled, text: enabled ? 'on' : 'off' };
  }
  return facts.failures.capabilities === undefined
    ? { state: 'absent', text: notHere }
    : { state: 'not-set', text: unread };
}
