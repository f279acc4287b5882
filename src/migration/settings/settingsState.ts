import type { JsonObject, JsonValue } from '../../qmp/json';
import type { SchemaType } from '../../qmp/schema';
import type { VmFacts } from '../../vm/types';
import { sameValue } from './values';

/** Parameters and capabilities to set on one machine, as QMP takes them. */
export interface SettingsChange {
  readonly parameters: JsonObject;
  readonly capabilities: Readonly<Record<string, boolean>>;
}

/** What some settings were; a parameter that QEMU did not report is `undefined`. */
export interface SettingsState {
  readonly parameters: Readonly<Record<string, JsonValue | undefined>>;
  readonly capabilities: Readonly<Record<string, boolean>>;
}

/** Names of settings. */
export interface SettingsNames {
  readonly parameters: Iterable<string>;
  readonly capabilities: Iterable<string>;
}

export const noChange: SettingsChange = { parameters: {}, capabilities: {} };

export function isEmptyChange({ parameters, capabilities }: SettingsChange): boolean {
  return Object.keys(parameters).length === 0 && Object.keys(capabilities).length === 0;
}

/** All of the changes as one; where they meet, the later one counts. */
export function mergedChange(changes: readonly SettingsChange[]): SettingsChange {
  return changes.reduce(
    (sum, { parameters, capabilities }) => ({
      parameters: { ...sum.parameters, ...parameters },
      capabilities: { ...sum.capabilities, ...capabilities },
    }),
    noChange,
  );
}

/** The facts as they would be after the change, if QEMU took it as it is. */
export function withChange(facts: VmFacts, { parameters, capabilities }: SettingsChange): VmFacts {
  const states = new Map(Object.entries(capabilities));
  return {
    ...facts,
    parameters: { ...facts.parameters, ...parameters },
    capabilities: facts.capabilities.map(({ name, enabled }) => ({
      name,
      enabled: states.get(name) ?? enabled,
    })),
  };
}

/** The names in a change or a state. */
export function namesOf({ parameters, capabilities }: SettingsState): {
  readonly parameters: readonly string[];
  readonly capabilities: readonly string[];
} {
  return { parameters: Object.keys(parameters), capabilities: Object.keys(capabilities) };
}

/** What QEMU reports of a parameter; `undefined` when it does not. */
export function reportedParameter(facts: VmFacts, name: string): JsonValue | undefined {
  return Object.hasOwn(facts.parameters, name) ? facts.parameters[name] : undefined;
}

/** What QEMU reports of a capability; `undefined` when it has none of that name. */
export function reportedCapability(facts: VmFacts, name: string): boolean | undefined {
  return facts.capabilities.find((capability) => capability.name === name)?.enabled;
}

/**
 * What QEMU reports of these settings, all that it reports by default. A named parameter that it
 * does not report is `undefined`, a named capability that it does not have is left out.
 */
export function settingsOf(facts: VmFacts, names?: SettingsNames): SettingsState {
  const wanted = names && new Set(names.capabilities);
  return {
    parameters: Object.fromEntries(
      [...(names?.parameters ?? Object.keys(facts.parameters))].map((name) => [
        name,
        reportedParameter(facts, name),
      ]),
    ),
    capabilities: Object.fromEntries(
      facts.capabilities
        .filter(({ name }) => wanted?.has(name) ?? true)
        .map(({ name, enabled }) => [name, enabled]),
    ),
  };
}

/** The part of `change` that would alter what QEMU reports now. */
export function effectiveChange(facts: VmFacts, change: SettingsChange): SettingsChange {
  return {
    parameters: Object.fromEntries(
      Object.entries(change.parameters).filter(([name, value]) => !isSetTo(facts, name, value)),
    ),
    capabilities: Object.fromEntries(
      Object.entries(change.capabilities).filter(
        ([name, state]) => reportedCapability(facts, name) !== state,
      ),
    ),
  };
}

/** Whether QEMU reports the parameter as it does after it was set to `value`. */
export function isSetTo(facts: VmFacts, name: string, value: JsonValue): boolean {
  const now = reportedParameter(facts, name);
  if (sameValue(now, value)) return true;
  // A text that may be null is emptied by null, and reported as empty or not at all.
  return value === null && (now === '' || now === undefined) && takesNull(facts, name);
}

function takesNull(facts: VmFacts, name: string): boolean {
  const type = facts.schema.argument('migrate-set-parameters', name)?.type;
  return type?.kind === 'alternate' && type.members.some(isNull);
}

function isNull(type: SchemaType): boolean {
  return type.kind === 'builtin' && type.json === 'null';
}

/** What gives settings back their earlier values. */
export interface Restoration {
  readonly change: SettingsChange;
  /**
   * Parameters that were not set then. QEMU cannot unset one: `change` empties it where its type
   * has an empty value, and leaves it alone otherwise.
   */
  readonly cannotUnset: readonly string[];
}

/** What leads from what QEMU reports now back to `before`; nothing for what is so already. */
export function restorationTo(before: SettingsState, facts: VmFacts): Restoration {
  const parameters: [string, JsonValue][] = [];
  const cannotUnset: string[] = [];
  for (const [name, value] of Object.entries(before.parameters)) {
    const now = reportedParameter(facts, name);
    if (sameValue(now, value)) continue;
    if (value === undefined) cannotUnset.push(name);
    const goal = value ?? emptyValue(facts.schema.argument('migrate-set-parameters', name)?.type);
    if (goal !== undefined && !sameValue(now, goal)) parameters.push([name, goal]);
  }
  const capabilities = Object.entries(before.capabilities).filter(
    ([name, state]) => reportedCapability(facts, name) !== state,
  );
  return {
    change: {
      parameters: Object.fromEntries(parameters),
      capabilities: Object.fromEntries(capabilities),
    },
    cannotUnset,
  };
}

function emptyValue(type: SchemaType | undefined): JsonValue | undefined {
  if (type?.kind === 'array') return [];
  const isText = (candidate: SchemaType): boolean =>
    candidate.kind === 'builtin' && candidate.json === 'string';
  if (type === undefined) return undefined;
  return isText(type) || (type.kind === 'alternate' && type.members.some(isText)) ? '' : undefined;
}
