import { stringifyJson, type JsonValue } from '../../qmp/json';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import { backendTransferOf } from '../settings/backendTransfer';
import { describeCapabilities, describeCapability } from '../settings/capabilities';
import { capabilityInfo, parameterInfo } from '../settings/catalogue';
import { effectiveChange, type SettingsChange } from '../settings/change';
import { checkChange } from '../settings/findings';
import { nearest } from '../settings/nearest';
import {
  describeParameter,
  describeParameters,
  formatParameterValue,
  parseParameterInput,
  type InputResult,
  type ParameterDescription,
} from '../settings/parameters';
import {
  backendTransferMember,
  type Profile,
  type ProfileSettings,
  type ProfileSide,
} from './types';
import { neverInProfiles } from './valueProblem';

/** One setting of a profile against what a machine has. */
export interface ProfileRow {
  readonly kind: 'parameter' | 'capability';
  /** QEMU's name; for backend transfer the name that this QEMU has for it. */
  readonly name: string;
  /** As people read it; `not in this QEMU` where it is absent. */
  readonly now: string;
  readonly wanted: string;
  readonly equal: boolean;
  /**
   * Left out: this QEMU does not have it, and the profile says it may be missing. A capability that
   * is to be off is `equal` then too.
   */
  readonly skipped: boolean;
}

export interface ProfilePlan {
  /** Only what differs. */
  readonly change: SettingsChange;
  /** All that the profile sets on this side, also what is so already. */
  readonly rows: readonly ProfileRow[];
  /** Why it cannot be applied here, as sentences; then nothing is. */
  readonly problems: readonly string[];
}

/** Which side of a profile a machine alone takes. */
export function sideOf(snapshot: MachineSnapshot): ProfileSide {
  return snapshot.facts?.runState.status === 'inmigrate' ? 'target' : 'source';
}

const absent = 'not in this QEMU';

/** A row, with what is to be sent for it or why it cannot be. */
interface Step {
  readonly row: Omit<ProfileRow, 'equal'>;
  /** What QMP takes; `undefined`: nothing is sent. */
  readonly value?: JsonValue;
  readonly problem?: string;
}

/** What applying the profile to this machine would do. Pure. */
export function planProfile(profile: Profile, facts: VmFacts, side: ProfileSide): ProfilePlan {
  const { parameters, capabilities } = settingsFor(profile, side);
  const steps = [
    ...planBackendTransfer(profile, facts),
    ...Object.entries(parameters).map(([name, value]) =>
      planParameter(facts, name, value, profile.optional.has(name)),
    ),
    ...Object.entries(capabilities).map(([name, value]) =>
      planCapability(facts, name, value, profile.optional.has(name)),
    ),
  ];
  const change = effectiveChange(facts, changeOf(steps));
  const refusals = checkChange(facts, change).filter(({ level }) => level === 'refuse');
  return {
    change,
    rows: steps.map(({ row, value, problem }) => ({
      ...row,
      equal: problem === undefined && !isIn(change, row) && isSettled(row, value),
    })),
    problems: [
      ...steps.flatMap(({ problem }) => problem ?? []),
      ...new Set(refusals.map(({ text }) => text)),
    ],
  };
}

/** What the profile sets on one side, but for backend transfer. */
function settingsFor({ both, source, target }: Profile, side: ProfileSide): ProfileSettings {
  const own = side === 'source' ? source : target;
  return {
    parameters: { ...both.parameters, ...own.parameters },
    capabilities: { ...both.capabilities, ...own.capabilities },
  };
}

function changeOf(steps: readonly Step[]): SettingsChange {
  const parameters: [string, JsonValue][] = [];
  const capabilities: [string, boolean][] = [];
  for (const { row, value } of steps) {
    if (value === undefined) continue;
    if (row.kind === 'parameter') parameters.push([row.name, value]);
    else capabilities.push([row.name, value === true]);
  }
  return {
    parameters: Object.fromEntries(parameters),
    capabilities: Object.fromEntries(capabilities),
  };
}

function isIn(change: SettingsChange, { kind, name }: Pick<ProfileRow, 'kind' | 'name'>): boolean {
  return Object.hasOwn(kind === 'parameter' ? change.parameters : change.capabilities, name);
}

/** Whether a setting that is not sent has what is wanted: it has it, or is a capability that is off. */
function isSettled({ kind, wanted }: Step['row'], value: JsonValue | undefined): boolean {
  return value !== undefined || (kind === 'capability' && wanted === onOff(false));
}

function planBackendTransfer(profile: Profile, facts: VmFacts): readonly Step[] {
  const { backendTransfer: on, optional } = profile;
  if (on === undefined) return [];
  const offer = backendTransferOf({ facts, process: undefined });
  const wanted = onOff(on);
  if (offer === undefined || offer.kind === 'absent') {
    const skipped = optional.has(backendTransferMember);
    const row = {
      kind: 'parameter',
      name: 'backend transfer',
      now: absent,
      wanted,
      skipped,
    } as const;
    if (skipped) return [{ row }];
    const instead = offer?.instead ?? [];
    const hint =
      instead.length === 0 ? '' : ` To the same end it has the modes ${instead.join(' and ')}.`;
    return [{ row, problem: `${nameOf(facts)} has no backend transfer.${hint}` }];
  }
  const { parameter } = offer;
  const description = describeParameter(facts, parameter);
  const now = description === undefined ? absent : formatParameterValue(description);
  const row = { kind: 'parameter', name: parameter, now, wanted, skipped: false } as const;
  if (offer.kind === 'boolean') return [{ row, value: on }];
  // Which entries stand for "on" differs from draft to draft; none always stand for "off".
  if (!on) return [{ row, value: [] }];
  const problem =
    `In ${nameOf(facts)} backend transfer is the list "${parameter}". ` +
    `Give the list under "parameters" in place of "${backendTransferMember}".`;
  return [{ row, problem }];
}

function planParameter(facts: VmFacts, name: string, wanted: JsonValue, optional: boolean): Step {
  const row = { kind: 'parameter', name, wanted: rawText(wanted), skipped: false } as const;
  const description = describeParameter(facts, name);
  const forbidden = neverInProfiles.get(name);
  if (forbidden !== undefined) return { row: { ...row, now: absent }, problem: forbidden };
  if (description === undefined) {
    const known = describeParameters(facts).map((each) => each.name);
    return missing({ ...row, now: absent }, facts, optional, known);
  }
  const now = formatParameterValue(description);
  const parsed = valueFor(description, wanted);
  if (!parsed.ok) {
    const problem = parsed.problem.startsWith(name) ? parsed.problem : `${name}: ${parsed.problem}`;
    return { row: { ...row, now }, problem };
  }
  const { value } = parsed;
  return { row: { ...row, now, wanted: formatParameterValue({ ...description, value }) }, value };
}

/** A profile's value as this QEMU takes it; types and ranges are judged by `checkChange`. */
function valueFor(description: ParameterDescription, value: JsonValue): InputResult {
  const { control, notEditableReason } = description;
  if (notEditableReason !== undefined) return { ok: false, problem: notEditableReason };
  return typeof value === 'string' && control === 'integer'
    ? parseParameterInput(description, value)
    : { ok: true, value };
}

function planCapability(facts: VmFacts, name: string, wanted: boolean, optional: boolean): Step {
  const row = { kind: 'capability', name, wanted: onOff(wanted), skipped: false } as const;
  const description = describeCapability(facts, name);
  if (description === undefined) {
    if (!wanted) return { row: { ...row, now: absent, skipped: true } };
    const known = describeCapabilities(facts).map((each) => each.name);
    return missing({ ...row, now: absent }, facts, optional, known);
  }
  const { enabled } = description;
  const now = enabled === undefined ? 'not reported' : onOff(enabled);
  return { row: { ...row, now }, value: wanted };
}

function missing(
  row: Step['row'],
  facts: VmFacts,
  optional: boolean,
  known: readonly string[],
): Step {
  if (optional) return { row: { ...row, skipped: true } };
  return { row, problem: missingText(row, nameOf(facts), known) };
}

function missingText({ kind, name }: Step['row'], qemu: string, known: readonly string[]): string {
  const info = kind === 'parameter' ? parameterInfo(name) : capabilityInfo(name);
  if (info === undefined) {
    const near = nearest(name, known);
    const hint = near === undefined ? '' : ` Did you mean ${near}?`;
    return `${qemu} has no ${kind} ${name}.${hint}`;
  }
  const why =
    info.until !== undefined
      ? `it was removed in QEMU ${info.until}`
      : info.since === 'patched'
        ? 'only patched builds have it'
        : `it came with QEMU ${info.since}`;
  const next = 'Named under "optional" it would be left out.';
  return `${qemu} has no ${kind} ${name}: ${why}. ${next}`;
}

function nameOf({ version: { major, minor, micro } }: VmFacts): string {
  return `QEMU ${major}.${minor}.${micro}`;
}

function onOff(on: boolean): string {
  return on ? 'on' : 'off';
}

/** A value of a profile, where no QEMU tells how to read it. */
function rawText(value: JsonValue): string {
  if (typeof value === 'boolean') return onOff(value);
  return typeof value === 'string' && value !== '' ? value : stringifyJson(value);
}
