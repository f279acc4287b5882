import { memberNamed, type QmpSchema, type SchemaType } from '../../qmp/schema';
import type { MachineSnapshot, VmFacts } from '../../vm/types';
import type { MethodName } from '../run/types';
import { describeCapability } from '../settings/capabilities';
import { isOneSided, methodNames } from './names';

/** Whether these machines offer a method, as found by their schemas. */
export interface MethodOffer {
  readonly method: MethodName;
  readonly offered: boolean;
  /** Why not, as a sentence; empty when offered. */
  readonly why: string;
}

/** Names of `RunOptions` that a QEMU may lack. */
export type OptionName =
  | 'multifdChannels'
  | 'multifdCompression'
  | 'xbzrle'
  | 'autoConverge'
  | 'dirtyLimitMegabytesPerSecond'
  | 'postcopyPreempt'
  | 'holdSwitchover'
  | 'mappedRam'
  | 'passDescriptor'
  | 'ignoreShared';

/** Whether these machines offer an option, as found by their schemas. */
export interface OptionOffer {
  readonly option: OptionName;
  readonly offered: boolean;
  /** Why not, as a sentence; empty when offered. */
  readonly why: string;
  /** What can be chosen on both sides, where the option is a choice. */
  readonly values?: readonly string[];
}

/**
 * All methods in the order of `methodNames`; those that are not offered with the reason.
 *
 * @param target absent, or without facts (a target of cpr-transfer answers late): judged by the
 *   source alone
 */
export function methodOffers(
  source: MachineSnapshot,
  target?: MachineSnapshot,
): readonly MethodOffer[] {
  return methodNames.map((method): MethodOffer => {
    // Where one machine plays both parts, what the other one offers does not matter.
    const why = firstLack(isOneSided(method) ? [source] : [source, target], (facts) =>
      methodLack(method, facts),
    );
    return { method, offered: why === '', why };
  });
}

/** The offer of one method. */
export function methodOffer(
  method: MethodName,
  source: MachineSnapshot,
  target?: MachineSnapshot,
): MethodOffer {
  const found = methodOffers(source, target).find((offer) => offer.method === method);
  return found ?? { method, offered: false, why: `No method is called "${method}".` };
}

/** The options that depend on the QEMU; the others can always be used. */
export function optionOffers(
  source: MachineSnapshot,
  target?: MachineSnapshot,
): readonly OptionOffer[] {
  const sides = [source, target];
  return optionNames.map((option): OptionOffer => {
    const onSourceAlone = !needsBothSides.has(option);
    const why = firstLack(onSourceAlone ? [source] : sides, (facts) => optionLack(option, facts));
    const offer = { option, offered: why === '', why };
    return option === 'multifdCompression' ? { ...offer, values: compressions(sides) } : offer;
  });
}

const optionNames: readonly OptionName[] = [
  'multifdChannels',
  'multifdCompression',
  'xbzrle',
  'autoConverge',
  'dirtyLimitMegabytesPerSecond',
  'postcopyPreempt',
  'holdSwitchover',
  'mappedRam',
  'passDescriptor',
  'ignoreShared',
];

const needsBothSides: ReadonlySet<OptionName> = new Set([
  'multifdChannels',
  'multifdCompression',
  'postcopyPreempt',
  'mappedRam',
  'ignoreShared',
]);

/** What both sides can compress with, `none` first. */
function compressions(sides: readonly (MachineSnapshot | undefined)[]): readonly string[] {
  const lists = sides.flatMap((side) =>
    side?.facts === undefined ? [] : [settableValues(side.facts.schema, 'multifd-compression')],
  );
  const [first = [], ...others] = lists;
  return first.filter((value) => others.every((list) => list.includes(value)));
}

/** In words with the machine's name; empty when nobody lacks anything. */
function firstLack(
  sides: readonly (MachineSnapshot | undefined)[],
  lackOf: (facts: VmFacts) => string | undefined,
): string {
  for (const side of sides) {
    if (side?.facts === undefined) continue;
    const lack = lackOf(side.facts);
    if (lack !== undefined) return `The QEMU of ${side.label} ${lack}.`;
  }
  return '';
}

/** What this QEMU lacks, to follow "The QEMU of a"; `undefined`: nothing. */
function methodLack(method: MethodName, facts: VmFacts): string | undefined {
  const { schema } = facts;
  switch (method) {
    case 'precopy':
      return schema.hasCommand('migrate') ? undefined : 'cannot migrate';
    case 'postcopy':
      return (
        capabilityLack(facts, 'postcopy-ram') ??
        (schema.hasCommand('migrate-start-postcopy') ? undefined : 'cannot switch to postcopy')
      );
    case 'shared-ram':
      return capabilityLack(facts, 'x-ignore-shared');
    case 'cpr-transfer':
      return modeLack(schema, method) ?? channelsLack(schema);
    case 'cpr-exec':
      return (
        modeLack(schema, method) ??
        (schema.argument('migrate-set-parameters', 'cpr-exec-command') === undefined
          ? 'has no parameter cpr-exec-command'
          : fileLack(schema))
      );
    case 'cpr-reboot':
      return modeLack(schema, method) ?? fileLack(schema);
    case 'save':
    case 'restore':
      return fileLack(schema);
  }
}

function optionLack(option: OptionName, facts: VmFacts): string | undefined {
  const { schema } = facts;
  switch (option) {
    case 'multifdChannels':
      return capabilityLack(facts, 'multifd') ?? parameterLack(schema, 'multifd-channels');
    case 'multifdCompression':
      return capabilityLack(facts, 'multifd') ?? parameterLack(schema, 'multifd-compression');
    case 'xbzrle':
      return capabilityLack(facts, 'xbzrle');
    case 'autoConverge':
      return capabilityLack(facts, 'auto-converge');
    case 'dirtyLimitMegabytesPerSecond':
      return capabilityLack(facts, 'dirty-limit') ?? parameterLack(schema, 'vcpu-dirty-limit');
    case 'postcopyPreempt':
      return capabilityLack(facts, 'postcopy-preempt');
    case 'holdSwitchover':
      return (
        capabilityLack(facts, 'pause-before-switchover') ??
        (schema.hasCommand('migrate-continue') ? undefined : 'cannot go on after a hold')
      );
    case 'mappedRam':
      return capabilityLack(facts, 'mapped-ram') ?? fileLack(schema);
    case 'passDescriptor':
      return (
        (schema.hasCommand('add-fd') ? undefined : 'takes no descriptor sets (add-fd)') ??
        fileLack(schema)
      );
    case 'ignoreShared':
      return capabilityLack(facts, 'x-ignore-shared');
  }
}

function capabilityLack(facts: VmFacts, name: string): string | undefined {
  return describeCapability(facts, name) === undefined ? `has no capability ${name}` : undefined;
}

function parameterLack(schema: QmpSchema, name: string): string | undefined {
  return schema.argument('migrate-set-parameters', name) === undefined
    ? `has no parameter ${name}`
    : undefined;
}

function modeLack(schema: QmpSchema, mode: string): string | undefined {
  return settableValues(schema, 'mode').includes(mode) ? undefined : `has no mode ${mode}`;
}

function channelsLack(schema: QmpSchema): string | undefined {
  return transportsOf(schema).includes('socket')
    ? undefined
    : 'takes no list of channels for a migration';
}

/** `file:` came with the list of channels, whose address names it. */
function fileLack(schema: QmpSchema): string | undefined {
  return transportsOf(schema).includes('file') ? undefined : 'knows no migration to or from a file';
}

/** The values that `migrate-set-parameters` takes for an enumeration; empty for what it lacks. */
export function settableValues(schema: QmpSchema, parameter: string): readonly string[] {
  return schema.enumValues('migrate-set-parameters', parameter);
}

const transportCache = new WeakMap<QmpSchema, readonly string[]>();

/** QAPI `MigrationAddressType` of the `channels` of `migrate`; empty where there are none. */
export function transportsOf(schema: QmpSchema): readonly string[] {
  let found = transportCache.get(schema);
  if (found === undefined) {
    found = readTransports(schema);
    transportCache.set(schema, found);
  }
  return found;
}

function readTransports(schema: QmpSchema): readonly string[] {
  const channels = schema.argument('migrate', 'channels')?.type;
  const channel = channels?.kind === 'array' ? channels.element : undefined;
  return enumOf(memberOf(memberOf(channel, 'addr'), 'transport'));
}

/** Whether this QEMU tells the last part of postcopy from what comes before (`postcopy-device`). */
export function knowsStatus(schema: QmpSchema, status: string): boolean {
  return enumOf(memberOf(schema.returnType('query-migrate'), 'status')).includes(status);
}

function memberOf(type: SchemaType | undefined, name: string): SchemaType | undefined {
  return type?.kind === 'object' ? memberNamed(type.members, name)?.type : undefined;
}

function enumOf(type: SchemaType | undefined): readonly string[] {
  return type?.kind === 'enum' ? type.values.map(({ name }) => name) : [];
}
