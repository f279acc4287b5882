import type { JsonValue } from '../../qmp/json';
import {
  describeCapabilities,
  describeCapability,
  type CapabilityDescription,
} from '../../migration/settings/capabilities';
import {
  applyChanges,
  effectiveChange,
  type SettingsChange,
} from '../../migration/settings/change';
import { copyAs, type CopyForm } from '../../migration/settings/copyAs';
import type { DefaultValue } from '../../migration/settings/defaults';
import { checkChange } from '../../migration/settings/findings';
import { nearest } from '../../migration/settings/nearest';
import { mergedChange } from '../../migration/settings/settingsState';
import {
  describeParameter,
  describeParameters,
  formatParameterValue,
  needsConsent,
  parseParameterInput,
  type ParameterDescription,
} from '../../migration/settings/parameters';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { ExitCode, RefusedError, UsageError } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { oneLine, table } from '../text';
import { parseSwitch } from './switches';

/** What `params` and `caps` are asked for. */
export interface SettingsRequest {
  readonly socket: string;
  /** `NAME=VALUE`, as typed. */
  readonly assignments: readonly string[];
  /** Names to set back to what a fresh QEMU has. */
  readonly reset: readonly string[];
  readonly resetAll: boolean;
  /** Only those that differ from their default. */
  readonly changed: boolean;
  /** Only those with this in name, value or summary. */
  readonly find: string | undefined;
  /** Print them in this form instead of a table. */
  readonly as: CopyForm | undefined;
  /** Whether a parameter may be set that QEMU executes. */
  readonly allowExec: boolean;
}

/** One setting of either kind, as a table and a JSON document have it. */
interface Entry {
  readonly name: string;
  readonly text: string;
  readonly value: JsonValue | undefined;
  readonly default: DefaultValue;
  readonly defaultText: string;
  readonly changed: boolean;
  /** Whether this QEMU lets it be set. */
  readonly settable: boolean;
  readonly marks: readonly string[];
  readonly summary: string;
}

/** Everything that tells parameters and capabilities apart here. */
export interface SettingKind {
  readonly noun: 'parameter' | 'capability';
  readonly entries: (facts: VmFacts) => readonly Entry[];
  /** The change that an assignment means. */
  readonly change: (
    facts: VmFacts,
    name: string,
    text: string,
    allowExec: boolean,
  ) => SettingsChange;
  /** The change to a value as QMP has it. */
  readonly changeTo: (name: string, value: JsonValue) => SettingsChange;
}

/** Lists a machine's parameters, or sets some: all or none. */
export function params(session: Session, request: SettingsRequest): Promise<CommandResult> {
  return settings(session, request, parameterKind);
}

/** Lists a machine's capabilities, or sets some: all or none. */
export function caps(session: Session, request: SettingsRequest): Promise<CommandResult> {
  return settings(session, request, capabilityKind);
}

async function settings(
  session: Session,
  request: SettingsRequest,
  kind: SettingKind,
): Promise<CommandResult> {
  const assignments = request.assignments.map(parseAssignment);
  const sets = assignments.length > 0 || request.reset.length > 0 || request.resetAll;
  const lists = request.changed || request.find !== undefined || request.as !== undefined;
  if (sets && lists) {
    throw new UsageError(
      '--changed, --find and --as are for listing; leave them out when setting.',
    );
  }
  const machine = await session.connect(request.socket);
  return sets
    ? await changeSettings(session, machine, { ...request, assignments }, kind)
    : list(machine, request, kind);
}

function list(machine: MachineHandle, request: SettingsRequest, kind: SettingKind): CommandResult {
  const facts = factsOf(machine);
  const all = kind.entries(facts);
  const words = (request.find ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const entries = all
    .filter((entry) => !request.changed || entry.changed)
    .filter(({ name, text, summary }) => {
      const searched = `${name} ${text} ${summary}`.toLowerCase();
      return words.every((word) => searched.includes(word));
    });
  const lines = request.as === undefined ? listed(entries, all.length, kind) : undefined;
  const copied = request.as && copyEntries(machine, entries, kind, request.as);
  return {
    exitCode: ExitCode.ok,
    lines: lines ?? [
      ...(copied?.text.split('\n').filter((line) => line !== '') ?? []),
      ...(copied?.leftOut.map(({ name, reason }) => `# ${name}: ${reason}`) ?? []),
    ],
    document: {
      machine: machine.snapshot.label,
      socket: machine.id,
      [kind.noun === 'parameter' ? 'parameters' : 'capabilities']: Object.fromEntries(
        entries.map((entry) => [entry.name, documentOf(entry)]),
      ),
      ...(copied && { text: copied.text, leftOut: copied.leftOut }),
    },
  };
}

function listed(entries: readonly Entry[], all: number, kind: SettingKind): readonly string[] {
  if (entries.length === 0)
    return [`None of ${all} ${kind.noun === 'parameter' ? 'parameters' : 'capabilities'}.`];
  return table(
    entries.map(({ name, text, changed, defaultText, marks }) => [
      name,
      text,
      [...(changed ? [`default ${defaultText}`] : []), ...marks].join(', '),
    ]),
  );
}

function copyEntries(
  { snapshot }: MachineHandle,
  entries: readonly Entry[],
  { noun }: SettingKind,
  form: CopyForm,
): ReturnType<typeof copyAs> {
  return copyAs(
    form,
    noun === 'parameter'
      ? {
          parameters: Object.fromEntries(entries.map(({ name, value }) => [name, value])),
          capabilities: {},
        }
      : {
          parameters: {},
          // What QEMU does not report is neither on nor off.
          capabilities: Object.fromEntries(
            entries.flatMap(({ name, value }) =>
              typeof value === 'boolean' ? [[name, value] as const] : [],
            ),
          ),
        },
    snapshot,
  );
}

function documentOf(entry: Entry): Record<string, unknown> {
  return {
    value: entry.value,
    shown: entry.text,
    default: entry.default.kind === 'known' ? entry.default.value : undefined,
    defaultKnown: entry.default.kind === 'known',
    changed: entry.changed,
    ...(entry.marks.length > 0 && { marks: entry.marks }),
  };
}

/** What is to be set, and set back. */
type Changes = Pick<SettingsRequest, 'reset' | 'resetAll' | 'allowExec'> & {
  readonly assignments: readonly (readonly [name: string, text: string])[];
};

/** Sets all or none, and tells what QEMU has then. */
export async function changeSettings(
  session: Session,
  machine: MachineHandle,
  request: Changes,
  kind: SettingKind,
): Promise<CommandResult> {
  const { assignments, allowExec } = request;
  const facts = factsOf(machine);
  const entries = new Map(kind.entries(facts).map((entry) => [entry.name, entry]));
  const named = [...assignments.map(([name]) => name), ...request.reset];
  for (const name of named) {
    if (!entries.has(name)) throw unknownName(name, [...entries.keys()], kind);
  }
  const twice = named.find((name, index) => named.indexOf(name) !== index);
  if (twice !== undefined) throw new UsageError(`${twice} is named twice.`);
  const all = request.resetAll ? resetAll(entries, new Set(named)) : { names: [], kept: [] };
  const wanted = mergedChange([
    ...assignments.map(([name, text]) => kind.change(facts, name, text, allowExec)),
    ...[...request.reset, ...all.names].map((name) => toDefault(name, entries, kind)),
  ]);
  const sent = effectiveChange(facts, wanted);
  const warnings = checkChange(facts, sent).filter(({ level }) => level === 'warn');
  await session.toItsEnd(() => applyChanges([{ machine, change: wanted }]));
  const now = new Map(kind.entries(factsOf(machine)).map((entry) => [entry.name, entry]));
  const names = [...Object.keys(wanted.parameters), ...Object.keys(wanted.capabilities)];
  const after = names.flatMap((name) => now.get(name) ?? []);
  return {
    exitCode: ExitCode.ok,
    lines: [
      ...after.map(({ name, text }) => {
        const before = entries.get(name)?.text;
        return oneLine(
          before === text
            ? `${name} is ${text} already.`
            : `${name} is ${text} (was ${before ?? 'not set'}).`,
        );
      }),
      ...(names.length === 0 && all.kept.length === 0 ? ['All have their default already.'] : []),
      ...[...all.kept, ...warnings].map(({ text }) => `Note: ${text}`),
    ],
    document: {
      machine: machine.snapshot.label,
      socket: machine.id,
      changed: [...Object.keys(sent.parameters), ...Object.keys(sent.capabilities)],
      values: Object.fromEntries(after.map(({ name, value }) => [name, value])),
      warnings: [...all.kept, ...warnings].map(({ name, text }) => ({ name, text })),
    },
  };
}

/** What can be set back of all that is not named anyway, and what stays as it is, and why. */
function resetAll(
  entries: ReadonlyMap<string, Entry>,
  named: ReadonlySet<string>,
): {
  readonly names: readonly string[];
  readonly kept: readonly { readonly name: string; readonly text: string }[];
} {
  const others = [...entries.values()].filter(
    ({ name, value, settable }) => settable && value !== undefined && !named.has(name),
  );
  return {
    names: others.filter((entry) => entry.changed && !cannotUnset(entry)).map(({ name }) => name),
    kept: others.flatMap((entry) => {
      const { name, changed } = entry;
      if (entry.default.kind === 'unknown')
        return [{ name, text: `${unknownText(name)} It stays.` }];
      return changed && cannotUnset(entry)
        ? [{ name, text: `${unsettableText(name)} It stays.` }]
        : [];
    }),
  };
}

function cannotUnset({ default: standard }: Entry): boolean {
  return standard.kind === 'known' && standard.value === undefined;
}

function unknownText(name: string): string {
  return `What a fresh QEMU has for ${name} is not known for this version.`;
}

function unsettableText(name: string): string {
  return `A fresh QEMU has ${name} not set, and QEMU cannot unset it again.`;
}

function toDefault(
  name: string,
  entries: ReadonlyMap<string, Entry>,
  kind: SettingKind,
): SettingsChange {
  const standard = entries.get(name)?.default;
  if (standard?.kind !== 'known') {
    throw new RefusedError(unknownText(name), 'Set the value that you want.');
  }
  if (standard.value === undefined) {
    if (entries.get(name)?.value === undefined) return { parameters: {}, capabilities: {} };
    throw new RefusedError(unsettableText(name));
  }
  return kind.changeTo(name, standard.value);
}

function parseAssignment(text: string): readonly [name: string, value: string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`"${text}" is not NAME=VALUE.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function unknownName(name: string, known: readonly string[], { noun }: SettingKind): RefusedError {
  const near = nearest(name, known);
  return new RefusedError(
    `This QEMU has no migration ${noun} "${name}".`,
    near === undefined
      ? `"qemu-migration ${noun === 'parameter' ? 'params' : 'caps'} SOCKET" lists what it has.`
      : `Did you mean "${near}"?`,
  );
}

export const parameterKind: SettingKind = {
  noun: 'parameter',
  entries: (facts) => describeParameters(facts).map(parameterEntry),
  change: (facts, name, text, allowExec) => {
    const description = describeParameter(facts, name);
    if (description?.editable !== true) {
      throw new RefusedError(description?.notEditableReason ?? `${name} cannot be set.`);
    }
    const parsed = parseParameterInput(description, text);
    if (!parsed.ok) throw new UsageError(`${name}: ${parsed.problem}`);
    const consent = needsConsent(name);
    if (consent !== undefined && !allowExec) {
      throw new RefusedError(consent, 'Say --allow-exec if that is what you want.');
    }
    return parameterKind.changeTo(name, parsed.value);
  },
  changeTo: (name, value) => ({ parameters: { [name]: value }, capabilities: {} }),
};

function parameterEntry(description: ParameterDescription): Entry {
  const { name, value, info, changed, editable, unstable, deprecated } = description;
  const standard = description.default;
  return {
    name,
    text: formatParameterValue(description),
    value,
    default: standard,
    defaultText:
      standard.kind === 'known'
        ? formatParameterValue({ ...description, value: standard.value })
        : 'not known',
    changed,
    settable: editable,
    marks: marksOf(unstable, deprecated),
    summary: info?.summary ?? '',
  };
}

export const capabilityKind: SettingKind = {
  noun: 'capability',
  entries: (facts) => describeCapabilities(facts).map(capabilityEntry),
  change: (facts, name, text) => {
    if (describeCapability(facts, name) === undefined)
      throw new RefusedError(`No capability ${name}.`);
    return { parameters: {}, capabilities: { [name]: parseSwitch(text, `Capability ${name}`) } };
  },
  changeTo: (name, value) => ({ parameters: {}, capabilities: { [name]: value === true } }),
};

function capabilityEntry(description: CapabilityDescription): Entry {
  const { name, enabled, info, changed, unstable, deprecated } = description;
  const standard = description.default;
  return {
    name,
    text: enabled === undefined ? 'not reported' : enabled ? 'on' : 'off',
    value: enabled,
    default: standard,
    defaultText: standard.kind === 'known' ? (standard.value === true ? 'on' : 'off') : 'not known',
    changed,
    settable: true,
    marks: marksOf(unstable, deprecated),
    summary: info?.summary ?? '',
  };
}

function marksOf(unstable: boolean, deprecated: boolean): readonly string[] {
  return [...(unstable ? ['unstable'] : []), ...(deprecated ? ['deprecated'] : [])];
}

export function factsOf(machine: MachineHandle): VmFacts {
  const { facts, label } = machine.snapshot;
  if (facts === undefined) throw new Error(`${label} has not told its settings.`);
  const failure = facts.failures.parameters ?? facts.failures.capabilities;
  if (failure !== undefined) throw failure;
  return facts;
}
