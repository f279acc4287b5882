import { isMigrating } from '../../vm/machine';
import type { MachineId, VmFacts } from '../../vm/types';
import { describeCapability } from './capabilities';
import { capabilityInfo, checkRange, parameterInfo } from './catalogue';
import type { CapabilityInfo, Need, ParameterInfo, Sides } from './catalogueTypes';
import { crossFindings } from './crossFindings';
import { parameterDefault } from './defaults';
import type { JsonValue } from '../../qmp/json';
import {
  effectiveChange,
  reportedCapability,
  reportedParameter,
  type SettingsChange,
} from './settingsState';
import { isInteger, sameValue } from './values';
import { checkValue } from './valueTypes';

/**
 * What we know about a change before it is sent.
 * - `refuse`: QEMU would refuse it, or it cannot be meant; it is not sent
 * - `warn`: QEMU takes it, but it has no effect, or another than expected
 */
export interface SettingFinding {
  readonly level: 'refuse' | 'warn';
  readonly kind: 'parameter' | 'capability';
  readonly name: string;
  /** One or two whole sentences. */
  readonly text: string;
  /** What, added to the change, makes the finding go away, such as the capability that is needed. */
  readonly fix?: SettingsChange;
}

/** The change was not sent: it has findings of level `refuse`. */
export class SettingsRefusedError extends Error {
  override readonly name = 'SettingsRefusedError';
  readonly machineId: MachineId;
  readonly label: string;
  /** Only those of level `refuse`. */
  readonly findings: readonly SettingFinding[];

  constructor(
    machine: { readonly id: MachineId; readonly label: string },
    findings: readonly SettingFinding[],
  ) {
    super(findings.map(({ text }) => text).join(' '));
    this.machineId = machine.id;
    this.label = machine.label;
    this.findings = findings;
  }
}

/** A change together with what QEMU has now. */
export interface Judged {
  readonly facts: VmFacts;
  /** Only what differs from what QEMU has. */
  readonly wanted: SettingsChange;
  /** The value after the change; `undefined`: not set, or not in this QEMU. */
  readonly parameter: (name: string) => JsonValue | undefined;
  /** The state after the change; `undefined`: not in this QEMU. */
  readonly capability: (name: string) => boolean | undefined;
}

/**
 * Checks type, range, choices, needs, conflicts, and whether it may be changed while a migration
 * runs; against what QEMU has now together with the change itself. Pure.
 *
 * What has its value already is not looked at. Of names that our catalogue does not know only the
 * type is checked, by QEMU's schema.
 */
export function checkChange(facts: VmFacts, change: SettingsChange): readonly SettingFinding[] {
  const wanted = effectiveChange(facts, change);
  const has = (name: string): boolean => describeCapability(facts, name) !== undefined;
  const judged: Judged = {
    facts,
    wanted,
    parameter: (name) =>
      Object.hasOwn(wanted.parameters, name)
        ? wanted.parameters[name]
        : reportedParameter(facts, name),
    capability: (name) =>
      Object.hasOwn(wanted.capabilities, name) && has(name)
        ? wanted.capabilities[name]
        : reportedCapability(facts, name),
  };
  return [
    ...Object.entries(wanted.parameters).flatMap(([name, value]) =>
      checkParameter(judged, name, value),
    ),
    ...Object.entries(wanted.capabilities).flatMap(([name, state]) =>
      checkCapability(judged, name, state),
    ),
    ...crossFindings(judged),
  ];
}

function checkParameter(judged: Judged, name: string, value: JsonValue): SettingFinding[] {
  const { facts } = judged;
  const info = parameterInfo(name);
  const finding = (level: SettingFinding['level'], text: string): SettingFinding => ({
    level,
    kind: 'parameter',
    name,
    text,
  });
  const member = facts.schema.argument('migrate-set-parameters', name);
  if (member === undefined) {
    const text =
      reportedParameter(facts, name) === undefined
        ? missingText('parameter', name, info)
        : `This QEMU reports ${name}, but does not let it be set. Leave it out.`;
    return [finding('refuse', text)];
  }
  const problem = checkValue(member.type, value);
  if (problem !== undefined) {
    return [finding('refuse', `${name} cannot be set to that. ${problem}`)];
  }
  if (info === undefined) return [];
  const outOfRange = isInteger(value) ? checkRange(BigInt(value), info) : undefined;
  if (outOfRange !== undefined) return [finding('refuse', outOfRange)];
  const timing = info.takesEffectWhileRunning === true ? undefined : timingOf(facts, info.sides);
  return [
    ...(timing === 'running'
      ? [
          finding(
            'refuse',
            `A change of ${name} would have no effect on the migration that is under way, or harm ` +
              'it. Wait until the migration has ended, or cancel it.',
          ),
        ]
      : timing === 'late'
        ? [finding('warn', lateText(name))]
        : []),
    ...unmetNeeds(judged, info, value),
  ];
}

function missingText(
  kind: 'parameter' | 'capability',
  name: string,
  info: ParameterInfo | CapabilityInfo | undefined,
): string {
  const why =
    info === undefined
      ? 'Correct the name, or leave it out.'
      : info.until !== undefined
        ? `It was there from QEMU ${info.since} on, and is gone since ${info.until}: leave it out.`
        : info.since === 'patched'
          ? 'Only builds with patches of their own have it: leave it out, or use such a build.'
          : `It came with QEMU ${info.since}: leave it out, or use a QEMU that has it.`;
  return `This QEMU has no migration ${kind} "${name}". ${why}`;
}

/**
 * - `running`: too late for the migration that runs
 * - `late`: this side waits for a migration, or receives it; QEMU may have looked at it already
 */
function timingOf(facts: VmFacts, sides: Sides): 'running' | 'late' | undefined {
  if (!isMigrating(facts.migration)) return undefined;
  if (facts.runState.status !== 'inmigrate') return 'running';
  return sides === 'both-equal' || sides === 'target' ? 'late' : undefined;
}

function lateText(name: string): string {
  return (
    `This machine listens for the migration already, or receives it: ${name} may come too late. ` +
    'Set it before "migrate-incoming", on a QEMU started with "-incoming defer".'
  );
}

/** Why the parameter would have no effect. To go back to the default needs nothing. */
function unmetNeeds(judged: Judged, info: ParameterInfo, value: JsonValue): SettingFinding[] {
  const standard = parameterDefault(judged.facts, info.name);
  if (standard.kind === 'known' && sameValue(value, standard.value)) return [];
  return (info.needs ?? []).flatMap((need) => {
    const unmet = unmetPart(judged, need);
    if (unmet === undefined) return [];
    const { text, fix } = unmet;
    const finding: SettingFinding = {
      level: 'warn',
      kind: 'parameter',
      name: info.name,
      text: `${info.name} has no effect unless ${text}.`,
    };
    return [fix === undefined ? finding : { ...finding, fix }];
  });
}

/** What of a need is missing, and what would bring it, if this QEMU has it. */
function unmetPart(
  judged: Judged,
  { capability, parameter }: Need,
): { readonly text: string; readonly fix: SettingsChange | undefined } | undefined {
  const off = capability !== undefined && judged.capability(capability) !== true;
  const other =
    parameter !== undefined && !sameValue(judged.parameter(parameter.name), parameter.value)
      ? parameter
      : undefined;
  if (!off && other === undefined) return undefined;
  const parts = [
    ...(off ? [`${capability} is on`] : []),
    ...(other === undefined ? [] : [`${other.name} is ${String(other.value)}`]),
  ];
  const absent = [
    ...(off && judged.capability(capability) === undefined ? [capability] : []),
    ...(other !== undefined && !offers(judged.facts, other.name, other.value) ? [other.name] : []),
  ];
  const text = parts.join(' and ');
  if (absent.length > 0) return { text: `${text}, which this QEMU does not offer`, fix: undefined };
  return {
    text: `${text}; change that too`,
    fix: {
      parameters: other === undefined ? {} : { [other.name]: other.value },
      capabilities: off ? switchedOn(judged, capability) : {},
    },
  };
}

function offers(facts: VmFacts, name: string, value: JsonValue): boolean {
  const type = facts.schema.argument('migrate-set-parameters', name)?.type;
  return type !== undefined && checkValue(type, value) === undefined;
}

/** The capability and what it needs, as far as that is not on. */
function switchedOn(judged: Judged, name: string): Readonly<Record<string, boolean>> {
  let all: Readonly<Record<string, boolean>> = { [name]: true };
  for (const need of capabilityInfo(name)?.needs ?? []) {
    if (judged.capability(need) !== true) all = { ...switchedOn(judged, need), ...all };
  }
  return all;
}

function checkCapability(judged: Judged, name: string, state: boolean): SettingFinding[] {
  const { facts, wanted } = judged;
  const info = capabilityInfo(name);
  const finding = (
    level: SettingFinding['level'],
    text: string,
    fix?: Readonly<Record<string, boolean>>,
  ): SettingFinding => ({
    level,
    kind: 'capability',
    name,
    text,
    ...(fix && { fix: { parameters: {}, capabilities: fix } }),
  });
  if (judged.capability(name) === undefined) {
    return [finding('refuse', missingText('capability', name, info))];
  }
  // A profile may hold anything.
  if (typeof (state as JsonValue) !== 'boolean') {
    return [finding('refuse', `${name} is a capability: it can be true or false only.`)];
  }
  const timing = timingOf(facts, info?.sides ?? 'either');
  const found: SettingFinding[] = [];
  if (timing === 'running') {
    found.push(
      finding(
        'refuse',
        `QEMU changes no capability, such as ${name}, while a migration is under way. Wait until ` +
          'the migration has ended, or cancel it.',
      ),
    );
  }
  if (timing === 'late') found.push(finding('warn', lateText(name)));
  if (!state) {
    const dependents = facts.capabilities
      .map((capability) => capability.name)
      .filter(
        (other) =>
          judged.capability(other) === true &&
          // One that is being turned on tells itself what it needs.
          !Object.hasOwn(wanted.capabilities, other) &&
          capabilityInfo(other)?.needs?.includes(name) === true,
      );
    for (const other of dependents) {
      const text = `${name} cannot be turned off while ${other}, which needs it, is on. Turn both off.`;
      found.push(finding('refuse', text, { [other]: false }));
    }
    return found;
  }
  for (const need of info?.needs ?? []) {
    if (judged.capability(need) === true) continue;
    const absent = judged.capability(need) === undefined;
    const text = absent
      ? `${name} needs the capability ${need}, which this QEMU does not have. Leave ${name} off.`
      : `${name} needs the capability ${need}. Turn both on.`;
    found.push(finding('refuse', text, absent ? undefined : switchedOn(judged, need)));
  }
  for (const other of info?.conflicts ?? []) {
    if (judged.capability(other) !== true) continue;
    // Each of two that are turned on together would tell the same.
    if (Object.hasOwn(wanted.capabilities, other) && other < name) continue;
    const text =
      `${name} and ${other} do not go together: some versions of QEMU refuse the two at once. ` +
      `Turn ${other} off.`;
    found.push(finding('warn', text, { [other]: false }));
  }
  return found;
}
