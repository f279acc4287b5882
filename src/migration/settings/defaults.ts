import type { JsonValue } from '../../qmp/json';
import type { VmFacts } from '../../vm/types';
import learntDefaults from './learntDefaults.json';
import { sameValue } from './values';
import { checkValue } from './valueTypes';

export type DefaultValue =
  | {
      readonly kind: 'known';
      /** `undefined`: a fresh QEMU does not report it ("not set"). */
      readonly value: JsonValue | undefined;
      /** Where we know it from, for people: `a fresh QEMU 11.1`, `this QEMU's own list of properties`. */
      readonly source: string;
    }
  | { readonly kind: 'unknown' };

/** What `npm run learn-defaults` wrote down. */
export interface LearntDefaults {
  /** By `MAJOR.MINOR`, oldest first. */
  readonly versions: Readonly<Record<string, LearntVersion>>;
  /** Settings that only patched builds have. */
  readonly patched: LearntSettings;
}

interface LearntSettings {
  readonly parameters: Readonly<Record<string, LearntValue>>;
  readonly capabilities: Readonly<Record<string, boolean>>;
}

interface LearntVersion extends LearntSettings {
  /** The exact version that was asked, such as `10.0.13`. */
  readonly qemu: string;
  /** Parameters that can be set, but are not reported before. */
  readonly notSet: readonly string[];
  /** By the version of a machine type, the `8.2` of `pc-q35-8.2`: what it changes. */
  readonly machines: Readonly<Record<string, Partial<LearntSettings>>>;
}

/** A value as JSON has it; an integer that a double cannot hold is a text with a marker. */
type LearntValue = JsonValue;

const bigintMarker = 'bigint:';

/** The value as `learntDefaults.json` holds it. */
export function toLearntValue(value: JsonValue): LearntValue {
  return typeof value === 'bigint' ? `${bigintMarker}${value}` : value;
}

function fromLearntValue(value: LearntValue): JsonValue {
  return typeof value === 'string' && value.startsWith(bigintMarker)
    ? BigInt(value.slice(bigintMarker.length))
    : value;
}

const learnt: LearntDefaults = learntDefaults;

/** What has to be known of a QEMU to tell its defaults; without the optional parts fewer are known. */
type Asked = Pick<VmFacts, 'version' | 'machineType'> &
  Partial<Pick<VmFacts, 'migrationProperties' | 'schema'>>;

type Kind = keyof LearntSettings;

/** What a fresh QEMU of this version and machine type reports for the parameter. */
export function parameterDefault(facts: Asked, name: string): DefaultValue {
  return defaultOf(facts, 'parameters', name);
}

/** Likewise for a capability; `value` is a boolean. */
export function capabilityDefault(facts: Asked, name: string): DefaultValue {
  const found = defaultOf(facts, 'capabilities', name);
  return found.kind === 'known' ? found : neverOn;
}

/**
 * What every fresh QEMU that was asked has for the parameter with its newest machine type; for texts
 * that are of no machine. Unknown where versions differ.
 */
export function usualParameterDefault(name: string): DefaultValue {
  return agreedDefault('parameters', name) ?? patchedDefault('parameters', name) ?? unknown;
}

const neverOn: DefaultValue = {
  kind: 'known',
  value: false,
  source: 'all QEMUs that we know, which start with every capability off',
};

const unknown: DefaultValue = { kind: 'unknown' };

/**
 * In this order: what we learnt of this version; this QEMU's own list of properties; what all
 * versions that we learnt agree on; what patched builds have. On top of that comes what the machine
 * type changes. Nothing is guessed: where it may change the value in a way not learnt, the default
 * is unknown.
 */
function defaultOf(facts: Asked, kind: Kind, name: string): DefaultValue {
  const version = `${facts.version.major}.${facts.version.minor}`;
  const own = ownDefault(facts, name);
  const base =
    learntDefault(version, kind, name) ??
    own ??
    fitting(agreedDefault(kind, name), facts, name) ??
    fitting(patchedDefault(kind, name), facts, name);
  if (base === undefined) return unknown;
  const machineVersion = /-(\d+(?:\.\d+)+)$/.exec(facts.machineType ?? '')?.[1];
  if (base === own && machineVersion !== version) {
    // A version that changed the default keeps the old one for older machine types.
    const before = agreedDefault(kind, name);
    if (before !== undefined && !sameValue(before.value, own.value)) return unknown;
  }
  if (!changedByMachines[kind].has(name)) return base;
  if (machineVersion === undefined) return isDownstream(facts.machineType) ? unknown : base;
  return machineDefault(version, machineVersion, kind, name) ?? base;
}

type Known = Extract<DefaultValue, { kind: 'known' }>;

function known(value: JsonValue | undefined, source: string): Known {
  return { kind: 'known', value, source };
}

/** The names that any machine type of any version changes: few, so that all others stay cheap. */
const changedByMachines: Readonly<Record<Kind, ReadonlySet<string>>> = {
  parameters: namesChanged('parameters'),
  capabilities: namesChanged('capabilities'),
};

function namesChanged(kind: Kind): ReadonlySet<string> {
  return new Set(
    Object.values(learnt.versions).flatMap(({ machines }) =>
      Object.values(machines).flatMap((machine) => Object.keys(machine[kind] ?? {})),
    ),
  );
}

/**
 * Whether the machine type is one of those that have versions, but this one is a vendor's own
 * (`pc-q35-rhel9.4.0`, `pc-i440fx-noble`), which may change what it likes.
 */
function isDownstream(machineType: string | undefined): boolean {
  return machineType === undefined || /^(pc|virt|pseries|s390-ccw-virtio|spapr)-/.test(machineType);
}

function learntDefault(version: string, kind: Kind, name: string): Known | undefined {
  return ofName(kind, name).byVersion.get(version);
}

function agreedDefault(kind: Kind, name: string): Known | undefined {
  return ofName(kind, name).agreed;
}

function patchedDefault(kind: Kind, name: string): Known | undefined {
  return ofName(kind, name).patched;
}

/** All that was learnt of one setting, whatever the machine type. */
interface LearntName {
  readonly byVersion: ReadonlyMap<string, Known>;
  /** Present when all versions that have it say the same. */
  readonly agreed: Known | undefined;
  readonly patched: Known | undefined;
}

const names: Readonly<Record<Kind, Map<string, LearntName>>> = {
  parameters: new Map(),
  capabilities: new Map(),
};

/** Looked up once per name: the tree asks for every setting of every machine at each build. */
function ofName(kind: Kind, name: string): LearntName {
  let found = names[kind].get(name);
  if (found === undefined) names[kind].set(name, (found = lookUp(kind, name)));
  return found;
}

function lookUp(kind: Kind, name: string): LearntName {
  const byVersion = new Map<string, Known>();
  for (const [version, settings] of Object.entries(learnt.versions)) {
    const source = freshQemus([version]);
    const value = valueIn(settings[kind], name);
    if (value !== undefined) byVersion.set(version, known(fromLearntValue(value), source));
    else if (kind === 'parameters' && settings.notSet.includes(name)) {
      byVersion.set(version, known(undefined, source));
    }
  }
  const [first, ...others] = byVersion.values();
  const agree = first !== undefined && others.every((next) => sameValue(next.value, first.value));
  const patched = valueIn(learnt.patched[kind], name);
  return {
    byVersion,
    agreed: agree ? known(first.value, freshQemus([...byVersion.keys()])) : undefined,
    patched:
      patched === undefined
        ? undefined
        : known(fromLearntValue(patched), 'a fresh QEMU with the patches that bring it'),
  };
}

function valueIn<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}

/** `a fresh QEMU 11.1`, `fresh QEMUs 7.2, 10.0 and 11.1`. */
function freshQemus(versions: readonly string[]): string {
  const last = versions.at(-1) ?? '';
  return versions.length === 1
    ? `a fresh QEMU ${last}`
    : `fresh QEMUs ${versions.slice(0, -1).join(', ')} and ${last}`;
}

/** By the list that `device-list-properties` gives of the type `migration`. */
function ownDefault({ migrationProperties }: Asked, name: string): Known | undefined {
  const value = migrationProperties?.get(name) ?? migrationProperties?.get(`x-${name}`);
  return value === undefined ? undefined : known(value, "this QEMU's own list of properties");
}

/** What a machine type of that version changes, in this QEMU or, unless learnt, in all others. */
function machineDefault(
  version: string,
  machineVersion: string,
  kind: Kind,
  name: string,
): Known | undefined {
  const asked = learnt.versions[version];
  const [first, ...others] = (asked === undefined ? Object.values(learnt.versions) : [asked])
    .map(({ machines }) => valueIn(machines[machineVersion]?.[kind], name))
    .filter((value) => value !== undefined);
  if (first === undefined || !others.every((other) => sameValue(other, first))) return undefined;
  const source = `a fresh QEMU with a machine type of version ${machineVersion}`;
  return known(fromLearntValue(first), source);
}

/**
 * A value of another build, unless it does not fit the type that this QEMU gives the parameter: a
 * name that only patches bring may have had another type in an earlier draft.
 */
function fitting(found: Known | undefined, facts: Asked, name: string): Known | undefined {
  if (found?.value === undefined) return found;
  const type = facts.schema?.argument('migrate-set-parameters', name)?.type;
  return type === undefined || checkValue(type, found.value) === undefined ? found : undefined;
}
