import type { HelperLocation } from '../../fdpass/locate';
import { settableValues } from '../methods/offers';
import { backendTransferOf, type BackendTransfer } from '../settings/backendTransfer';
import { mainMemoryOf } from '../preflight/memory';
import type { BinaryOffer } from './binaries';
import type { SourceFacts } from './facts';
import { isDowngrade, projectedTarget } from './projected';
import type { UpdateMethod, UpdateMethodOffer } from './types';

/** What decides which ways there are. */
export interface MethodInput {
  readonly source: SourceFacts;
  readonly binary: BinaryOffer;
  readonly helper: HelperLocation;
}

const order: readonly UpdateMethod[] = [
  ...(['backend-transfer', 'tap-adoption', 'cpr-transfer', 'shared-ram'] as const),
  ...(['cpr-exec', 'plain'] as const),
];

/** Without a TAP there is nothing to keep, and `cpr-exec` has no way back. */
const orderWithoutTap: readonly UpdateMethod[] = [
  ...(['backend-transfer', 'tap-adoption', 'cpr-transfer', 'shared-ram'] as const),
  ...(['plain', 'cpr-exec'] as const),
];

export function isUpdateMethod(text: string): text is UpdateMethod {
  return order.some((method) => method === text);
}

/** Whether the guest's network goes through a TAP. */
export function hasTaps({ taps }: Pick<SourceFacts, 'taps'>): boolean {
  return taps.netdevs.length + taps.unresolved.length + taps.loose.length > 0;
}

/** All ways, best first, with the reason for each. Pure. */
export function updateMethodOffers(input: MethodInput): readonly UpdateMethodOffer[] {
  return (hasTaps(input.source) ? order : orderWithoutTap).map((method) => {
    const lack = lackOf(method, input);
    return lack === undefined
      ? { method, offered: true, reason: meritOf(method, input) }
      : { method, offered: false, reason: lack };
  });
}

/** Why it is good, as one sentence. */
function meritOf(method: UpdateMethod, { source }: MethodInput): string {
  const tap = hasTaps(source);
  switch (method) {
    case 'backend-transfer':
      return 'Both QEMUs can hand open network devices over, so the guest keeps its TAP by their own means.';
    case 'tap-adoption':
      return 'The new QEMU is given duplicates of the open TAP queues, so the guest keeps its TAP; no QEMU has to know of it.';
    case 'cpr-transfer':
      return `The memory stays where it is, nothing of it is copied${tap ? ', and the TAPs are adopted' : ''}.`;
    case 'shared-ram':
      return `Both QEMUs map the same memory file, nothing of it is copied${tap ? ', and the TAPs are adopted' : ''}.`;
    case 'cpr-exec':
      return 'The process stays, with its memory and descriptors; there is no way back if the new program fails.';
    case 'plain':
      return tap
        ? 'The guest is copied into a QEMU that opens networks of its own; its TAP does not go with it.'
        : 'There is no TAP to keep, so the guest is copied into another process, which leaves a way back to the last moment.';
  }
}

/** Why it cannot be gone, as one sentence. */
function lackOf(method: UpdateMethod, input: MethodInput): string | undefined {
  const { source, binary } = input;
  switch (method) {
    case 'backend-transfer':
      return transferLack(input);
    case 'tap-adoption':
      return hasTaps(source) ? adoptionLack(input) : 'The machine has no TAP to keep.';
    case 'cpr-transfer':
      return (
        modeLack(input, method) ??
        sharedLack(source) ??
        (isDowngrade(source, binary)
          ? `A QEMU that is older (${binary.versionText}) cannot take over the memory of a newer one.`
          : undefined) ??
        tapLack(input)
      );
    case 'shared-ram':
      return capabilityLack(input, 'x-ignore-shared') ?? sharedFileLack(source) ?? tapLack(input);
    case 'cpr-exec':
      return (
        modeLack(input, method) ?? sharedLack(source) ?? execTapLack(source) ?? renamedLack(source)
      );
    case 'plain':
      return input.source.side.facts.schema.hasCommand('migrate')
        ? undefined
        : 'This QEMU cannot migrate.';
  }
}

/** What backend transfer is on both sides. */
export function transferOffers({ source, binary }: Pick<MethodInput, 'source' | 'binary'>): {
  readonly from: BackendTransfer | undefined;
  readonly to: BackendTransfer | undefined;
} {
  return {
    from: backendTransferOf(source.side.snapshot),
    to: backendTransferOf(projectedTarget(source, binary, '')),
  };
}

function transferLack(input: MethodInput): string | undefined {
  const { source, binary } = input;
  const { from, to } = transferOffers(input);
  if (from?.kind !== 'boolean' && from?.kind !== 'list') {
    return 'The QEMU that runs has no backend transfer.';
  }
  if (to?.kind !== 'boolean' && to?.kind !== 'list') {
    return `The QEMU of ${binary.program} (${binary.versionText}) has no backend transfer.`;
  }
  if (from.kind === 'list' || to.kind === 'list') {
    return 'In one of the QEMUs backend transfer is a list, which has to be edited by hand.';
  }
  if (from.parameter !== to.parameter || from.permission?.on !== to.permission?.on) {
    return `The QEMUs have different stages of backend transfer ("${from.parameter}" and "${to.parameter}").`;
  }
  if (!hasTaps(source)) return 'The machine has no TAP to hand over.';
  const kept = from.devices.find(
    ({ device, permission }) => device.netdev?.type === 'tap' && permission !== 'permitted',
  );
  if (kept !== undefined) {
    const option = from.permission?.name ?? from.parameter;
    return `"${kept.device.id}" was not started with "${option}=on", which cannot be changed later.`;
  }
  const other = from.devices.find(
    ({ device }) => device.netdev !== undefined && device.netdev.type !== 'tap',
  );
  return other === undefined
    ? undefined
    : `The back end of "${other.device.id}" is no TAP, and cannot be handed over.`;
}

/** Where there are TAPs they have to be adopted. */
function tapLack(input: MethodInput): string | undefined {
  return hasTaps(input.source) ? adoptionLack(input) : undefined;
}

function adoptionLack({ source, helper }: MethodInput): string | undefined {
  const { taps, descriptors, notTraceable, side } = source;
  if (descriptors === undefined) {
    return `The open files of ${side.snapshot.label} may not be looked at.`;
  }
  if (notTraceable !== undefined) return notTraceable;
  if (helper.kind === 'missing') return helper.sentence;
  const [unknown] = taps.unresolved;
  if (unknown !== undefined) {
    return `Which open TAP queues belong to "${unknown}" cannot be told.`;
  }
  const [loose] = taps.loose;
  return loose === undefined
    ? undefined
    : `Nothing tells which network descriptor ${loose.fd} (TAP ${loose.tap ?? ''}) belongs to.`;
}

function modeLack({ source, binary }: MethodInput, mode: string): string | undefined {
  if (!settableValues(source.side.facts.schema, 'mode').includes(mode)) {
    return `The QEMU that runs has no mode ${mode}.`;
  }
  return settableValues(binary.schema, 'mode').includes(mode)
    ? undefined
    : `The QEMU of ${binary.program} (${binary.versionText}) has no mode ${mode}.`;
}

function capabilityLack({ source, binary }: MethodInput, wanted: string): string | undefined {
  const has = (list: readonly { readonly name: string }[]): boolean =>
    list.some(({ name }) => name === wanted);
  if (!has(source.side.facts.capabilities)) return `The QEMU that runs has no ${wanted}.`;
  return has(binary.capabilities)
    ? undefined
    : `The QEMU of ${binary.program} (${binary.versionText}) has no ${wanted}.`;
}

function sharedLack({ side, auxRamShare }: SourceFacts): string | undefined {
  const { label } = side.snapshot;
  const main = mainMemoryOf(side);
  const alone = main?.shared === true ? side.inventory.memory?.find(({ shared }) => !shared) : main;
  if (main?.shared !== true || alone !== undefined) {
    return `The memory of ${label} was started without share=on, and cannot stay when its QEMU goes.`;
  }
  return auxRamShare === true
    ? undefined
    : `${label} was started without "-machine aux-ram-share=on".`;
}

function sharedFileLack({ side }: SourceFacts): string | undefined {
  const { label } = side.snapshot;
  const main = mainMemoryOf(side);
  if (main?.shared !== true) return `The memory of ${label} is its own, not a shared file.`;
  return main.path === undefined || main.path === ''
    ? `The memory of ${label} is shared, but no file with a name that another QEMU could map.`
    : undefined;
}

/** The old descriptor survives, and keeps the new program from opening the interface. */
function execTapLack({ taps, descriptors, side }: SourceFacts): string | undefined {
  if (descriptors === undefined) {
    return `The open files of ${side.snapshot.label} may not be looked at.`;
  }
  const named = side.snapshot.process?.args ?? [];
  const byName = taps.netdevs.find(
    ({ id }) =>
      !named.some(
        (word) => new RegExp(`id=${escapeText(id)}(,|$)`).test(word) && /fds?=/.test(word),
      ),
  );
  return byName === undefined
    ? undefined
    : `"${byName.id}" was not started with an open descriptor ("fd="): the new program would find ${byName.ifname} busy, and the guest would be lost.`;
}

/** The program would bind the paths of its command line, and be looked for at the others. */
function renamedLack({ side, process }: SourceFacts): string | undefined {
  const own = `${side.snapshot.socketPath}.new`;
  return process.args.some((word) => word.includes(own))
    ? `An earlier live update renamed the sockets of ${side.snapshot.label}: its command line names paths at which nobody would look for the new program.`
    : undefined;
}

function escapeText(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
