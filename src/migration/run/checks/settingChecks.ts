import type { MachineSnapshot, VmFacts } from '../../../vm/types';
import { isOneSided, methodOf, methodTitles } from '../../methods/names';
import { knowsStatus, methodOffer, optionOffers, type OptionName } from '../../methods/offers';
import { plannedSettings } from '../../methods/planned';
import { capabilityInfo } from '../../settings/catalogue';
import { checkChange } from '../../settings/findings';
import type { Inventories } from './inventoryChecks';
import type { SideName } from '../journal/entries';
import type { Obstacle } from './obstacle';
import { asPlanned, isOn } from './projected';
import type { MethodName, MigrationRequest, RunOptions } from '../types';

/** Why these QEMUs cannot go that way at all; empty when they can. */
export function methodNotOffered(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly Obstacle[] {
  const { offered, why } = methodOffer(methodOf(request), source, target);
  return offered
    ? []
    : [
        {
          id: 'method-not-offered',
          side: why.includes(source.label) ? 'source' : 'target',
          reason: why,
          nextStep: 'Choose another method, or a QEMU that has it.',
        },
      ];
}

/** What stands in the way of the settings that the request asks for. Pure. */
export function settingObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories?: Inventories,
): readonly Obstacle[] {
  const misplaced = [...notForMethod(request), ...missingOptions(request)];
  const notOffered = optionsNotOffered(request, source, target);
  if (misplaced.length > 0 || notOffered.length > 0) return [...misplaced, ...notOffered];
  const sides: readonly (readonly [MachineSnapshot, SideName])[] = isOneSided(methodOf(request))
    ? [[source, methodOf(request) === 'restore' ? 'target' : 'source']]
    : [
        [source, 'source'],
        [target, 'target'],
      ];
  return [
    ...sides.flatMap(([machine, side]) => [
      ...refusals(request, machine, side),
      ...conflicts(request, machine, side),
    ]),
    ...dirtyRing(request, source, inventories),
  ];
}

/** Options by the methods that know them; what is not named here belongs to all. */
const knownBy: Readonly<Partial<Record<keyof RunOptions, readonly MethodName[]>>> = {
  downtimeLimitMs: ['precopy', 'postcopy', 'shared-ram', 'cpr-transfer', 'save'],
  multifdChannels: ['precopy', 'postcopy', 'save', 'cpr-reboot', 'restore'],
  multifdCompression: ['precopy', 'postcopy', 'save', 'cpr-reboot', 'restore'],
  xbzrle: ['precopy', 'postcopy'],
  autoConverge: ['precopy', 'postcopy', 'save'],
  dirtyLimitMegabytesPerSecond: ['precopy', 'postcopy', 'save'],
  postcopyAfterPass: ['postcopy'],
  postcopyPreempt: ['postcopy'],
  holdSwitchover: ['precopy', 'postcopy', 'shared-ram', 'cpr-transfer'],
  guardSwitchover: ['precopy', 'shared-ram', 'cpr-transfer'],
  file: ['save', 'cpr-reboot', 'cpr-exec', 'restore'],
  cprSocket: ['cpr-transfer'],
  execCommand: ['cpr-exec'],
  ignoreShared: ['cpr-reboot', 'restore'],
};

/** For a person. */
const optionTitles: Readonly<Record<keyof RunOptions, string>> = {
  downtimeLimitMs: 'A limit of the pause',
  multifdChannels: 'The number of channels (multifd)',
  multifdCompression: 'Compression of the channels',
  xbzrle: 'xbzrle',
  autoConverge: 'auto-converge',
  dirtyLimitMegabytesPerSecond: 'A limit of writing (dirty-limit)',
  postcopyAfterPass: 'A pass at which postcopy begins',
  postcopyPreempt: 'postcopy-preempt',
  holdSwitchover: 'A hold before the switchover',
  guardSwitchover: 'A guarded switchover',
  tcp: 'A TCP address',
  file: 'A file',
  cprSocket: 'A CPR socket',
  execCommand: 'A command',
  plainTcpConsent: 'Consent to plain TCP',
  ignoreShared: 'Memory that stays in its file',
};

function isGiven(value: RunOptions[keyof RunOptions]): boolean {
  return value !== undefined && value !== false;
}

function notForMethod(request: MigrationRequest): readonly Obstacle[] {
  const { options = {} } = request;
  const method = methodOf(request);
  const names = (Object.keys(options) as (keyof RunOptions)[]).filter((name) => {
    if (!isGiven(options[name])) return false;
    if (name === 'tcp') return isOneSided(method) || request.transport !== 'tcp';
    return knownBy[name]?.includes(method) === false;
  });
  return names.map((name) => ({
    id: 'option-not-for-method',
    side: 'both',
    subject: name,
    reason:
      name === 'tcp'
        ? 'A TCP address is given, and the migration does not go over TCP.'
        : `${optionTitles[name]} is given, which has no meaning for the method "${methodTitles[method]}".`,
    nextStep: 'Leave it out, or choose another method.',
  }));
}

function missingOptions(request: MigrationRequest): readonly Obstacle[] {
  const { options = {}, transport } = request;
  const method = methodOf(request);
  const missing = (subject: string, reason: string, nextStep: string): Obstacle => ({
    id: 'option-missing',
    side: 'both',
    subject,
    reason,
    nextStep,
  });
  const found: Obstacle[] = [];
  if (options.multifdCompression !== undefined && options.multifdChannels === undefined) {
    const reason = 'Compression is given without a number of channels; it is done by multifd.';
    found.push(missing('multifdChannels', reason, 'Give the number of channels too.'));
  }
  if (method === 'cpr-transfer' && options.cprSocket === undefined) {
    const reason = 'The socket at which the target waits for the CPR channel is not given.';
    const nextStep = 'Give the path that stands in the "-incoming" of the target.';
    found.push(missing('cprSocket', reason, nextStep));
  }
  if (['save', 'cpr-reboot', 'restore'].includes(method) && options.file === undefined) {
    found.push(missing('file', 'No file is given.', 'Give the absolute path of a file.'));
  }
  if (!isOneSided(method) && transport === 'tcp' && options.tcp === undefined) {
    const reason = 'No address is given at which the target listens.';
    found.push(missing('tcp', reason, 'Give one, such as 127.0.0.1:0.'));
  }
  return found;
}

function optionsNotOffered(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
): readonly Obstacle[] {
  const { options = {} } = request;
  const wanted: Readonly<Record<OptionName, boolean>> = {
    multifdChannels: options.multifdChannels !== undefined,
    multifdCompression: options.multifdCompression !== undefined,
    xbzrle: options.xbzrle === true,
    autoConverge: options.autoConverge === true,
    dirtyLimitMegabytesPerSecond: options.dirtyLimitMegabytesPerSecond !== undefined,
    postcopyPreempt: options.postcopyPreempt === true,
    holdSwitchover: options.holdSwitchover === true || options.guardSwitchover === true,
    mappedRam: options.file?.mappedRam === true,
    passDescriptor: options.file?.passDescriptor === true,
    ignoreShared: options.ignoreShared === true,
  };
  const compression = options.multifdCompression;
  return optionOffers(source, target).flatMap(({ option, offered, why, values }): Obstacle[] => {
    if (!wanted[option]) return [];
    const lacksValue =
      offered && values !== undefined && compression !== undefined && !values.includes(compression);
    if (offered && !lacksValue) return [];
    return [
      {
        id: 'option-not-offered',
        side: why.includes(source.label) ? 'source' : 'both',
        subject: option,
        reason: lacksValue
          ? `The compression "${compression}" is not offered; there is ${values.join(', ')}.`
          : why,
        nextStep: lacksValue ? 'Choose one of those.' : 'Leave it out, or use a QEMU that has it.',
      },
    ];
  });
}

/** What QEMU would refuse of the change itself: ranges, needs, unknown names. */
function refusals(
  request: MigrationRequest,
  { facts, label }: MachineSnapshot,
  side: SideName,
): readonly Obstacle[] {
  if (facts === undefined) return [];
  const { capabilities, parameters } = plannedSettings(request, side);
  // A QEMU without modes knows the normal one alone, and there is nothing to set.
  const { mode, ...others } = parameters;
  const change = {
    capabilities,
    parameters: { ...others, ...(mode !== undefined && mode !== 'normal' && { mode }) },
  };
  return checkChange(facts, change)
    .filter(({ level }) => level === 'refuse')
    .map(({ name, text }) => ({
      id: 'option-refused',
      side,
      subject: name,
      reason: `${label}: ${text}`,
      nextStep: `Choose another ${name}.`,
    }));
}

/** Capabilities that QEMU does not have on together, where the run turns one of them on. */
function conflicts(
  request: MigrationRequest,
  machine: MachineSnapshot,
  side: SideName,
): readonly Obstacle[] {
  const { facts } = asPlanned(machine, request, side);
  if (facts === undefined) return [];
  const { capabilities } = plannedSettings(request, side);
  const found = new Map<string, Obstacle>();
  for (const name of Object.keys(capabilities)) {
    // They are always on; the rules for what runs on at the source name what does not suit them.
    if (name === 'return-path' || name === 'events') continue;
    for (const other of capabilityInfo(name)?.conflicts ?? []) {
      if (!isOn(facts, other) || goTogether(name, other, facts)) continue;
      const pair = [name, other].sort();
      found.set(pair.join(), {
        id: 'options-conflict',
        side,
        subject: other,
        reason: `${pair.join(' and ')} do not go together at ${machine.label}.`,
        nextStep: `Turn ${other} off, or leave ${name} out.`,
      });
    }
  }
  return [...found.values()];
}

/**
 * QEMUs that know the status `postcopy-device` take multifd with postcopy; of the others some refuse,
 * and some take the two and lose pages.
 */
function goTogether(name: string, other: string, { schema }: VmFacts): boolean {
  const pair = [name, other].sort().join();
  return pair === 'multifd,postcopy-ram' && knowsStatus(schema, 'postcopy-device');
}

/** QEMU limits writing by KVM's dirty ring alone. */
function dirtyRing(
  { options }: MigrationRequest,
  { label, process }: MachineSnapshot,
  inventories: Inventories | undefined,
): readonly Obstacle[] {
  if (options?.dirtyLimitMegabytesPerSecond === undefined) return [];
  const withoutKvm = inventories?.source.kvm === false;
  const withoutRing =
    process !== undefined && !process.args.some((each) => each.includes('dirty-ring-size='));
  if (!withoutKvm && !withoutRing) return [];
  return [
    {
      id: 'dirty-limit-ring',
      side: 'source',
      reason: withoutKvm
        ? `${label} runs without KVM, and writing can be limited with it alone.`
        : `${label} was started without a dirty ring, by which writing is limited.`,
      nextStep: 'Start it with "-accel kvm,dirty-ring-size=4096", or use auto-converge.',
    },
  ];
}
