import { memberNamed, type QmpSchema, type SchemaType } from '../../qmp/schema';
import type { MachineHandle, VmFacts } from '../../vm/types';
import { capabilityInfo, type CapabilityInfo } from './catalogue';
import { capabilityDefault, type DefaultValue } from './defaults';
import { sameValue } from './values';

/** All that is needed to show and switch one capability of one machine. */
export interface CapabilityDescription {
  readonly name: string;
  /** What we know of it; `undefined` for one that we have never heard of. */
  readonly info: CapabilityInfo | undefined;
  /** As QEMU reports it; `undefined`: it can be set, but is not reported. */
  readonly enabled: boolean | undefined;
  readonly unstable: boolean;
  readonly deprecated: boolean;
  readonly default: DefaultValue;
  /** Its default is known, and its state is another. */
  readonly changed: boolean;
}

const setCommand = 'migrate-set-capabilities';

/** Every capability that this QEMU reports or that its schema lets one set, by name. */
export function describeCapabilities(facts: VmFacts): readonly CapabilityDescription[] {
  const names = new Set([
    ...facts.capabilities.map(({ name }) => name),
    ...settable(facts.schema).keys(),
  ]);
  return [...names].sort().flatMap((name) => describeCapability(facts, name) ?? []);
}

/** One capability; `undefined` when this QEMU has no such capability. */
export function describeCapability(
  facts: VmFacts,
  name: string,
): CapabilityDescription | undefined {
  const reported = facts.capabilities.find((capability) => capability.name === name);
  const features = settable(facts.schema).get(name);
  if (reported === undefined && features === undefined) return undefined;
  const standard = capabilityDefault(facts, name);
  return {
    name,
    info: capabilityInfo(name),
    enabled: reported?.enabled,
    unstable: features?.includes('unstable') ?? false,
    deprecated: features?.includes('deprecated') ?? false,
    default: standard,
    changed:
      reported !== undefined &&
      standard.kind === 'known' &&
      !sameValue(reported.enabled, standard.value),
  };
}

type Settable = ReadonlyMap<string, readonly string[]>;
const settableOf = new WeakMap<QmpSchema, Settable>();

/** The capabilities in the schema, with their features. */
function settable(schema: QmpSchema): Settable {
  let found = settableOf.get(schema);
  if (found === undefined) {
    const type = capabilityType(schema);
    const values = type?.kind === 'enum' ? type.values : [];
    found = new Map(values.map(({ name, features }) => [name, features]));
    settableOf.set(schema, found);
  }
  return found;
}

/** `MigrationCapability`: of the list's objects, what `capability` may be. */
function capabilityType(schema: QmpSchema): SchemaType | undefined {
  const list = schema.argument(setCommand, 'capabilities')?.type;
  const entry = list?.kind === 'array' ? list.element : undefined;
  return entry?.kind === 'object' ? memberNamed(entry.members, 'capability')?.type : undefined;
}

/** QEMU reported another state than was set, without refusing. */
export class CapabilityNotTakenError extends Error {
  override readonly name = 'CapabilityNotTakenError';
  readonly capability: string;

  constructor(capability: string) {
    super(`QEMU accepted ${capability}, but reports another state`);
    this.capability = capability;
  }
}

/**
 * Sets several capabilities in one command, which QEMU takes all or not at all, and reads back.
 *
 * @returns what QEMU now reports of those named
 * @throws {QmpCommandError} QEMU's refusal; then nothing was set
 * @throws {CapabilityNotTakenError}
 */
export async function setCapabilities(
  machine: MachineHandle,
  wanted: Readonly<Record<string, boolean>>,
): Promise<Readonly<Record<string, boolean>>> {
  const capabilities = Object.entries(wanted).map(([capability, state]) => ({ capability, state }));
  await machine.connection().execute(setCommand, { capabilities });
  const facts = await machine.refresh(['capabilities']);
  if (facts.failures.capabilities !== undefined) throw facts.failures.capabilities;
  const now: Record<string, boolean> = {};
  for (const { name, enabled } of facts.capabilities) {
    if (Object.hasOwn(wanted, name)) now[name] = enabled;
  }
  for (const [name, enabled] of Object.entries(wanted)) {
    if (now[name] !== enabled) throw new CapabilityNotTakenError(name);
  }
  return now;
}
