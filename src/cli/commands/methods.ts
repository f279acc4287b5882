import { isOneSided, methodTitles } from '../../migration/methods/names';
import {
  methodOffers,
  optionOffers,
  type OptionName,
  type OptionOffer,
} from '../../migration/methods/offers';
import type { MethodName } from '../../migration/run/types';
import { ExitCode, sameMachineText, UsageError } from '../exitCodes';
import type { CommandResult } from '../result';
import type { Session } from '../session';
import { table } from '../text';

/** What is typed for each option that a QEMU may lack. */
const optionFlags: Readonly<Record<OptionName, string>> = {
  multifdChannels: '--multifd N',
  multifdCompression: '--compress HOW',
  xbzrle: '--xbzrle',
  autoConverge: '--auto-converge',
  dirtyLimitMegabytesPerSecond: '--dirty-limit RATE',
  postcopyPreempt: '--preempt',
  holdSwitchover: '--hold-switchover',
  mappedRam: '--mapped-ram',
  passDescriptor: '--pass-descriptor',
  ignoreShared: '--ignore-shared',
};

/** Which methods and options one or two QEMUs offer, and why not. */
export async function methods(
  session: Session,
  sockets: readonly string[],
): Promise<CommandResult> {
  if (sockets.length > 2) throw new UsageError('Name one SOCKET, or a source and a target.');
  const machines = await Promise.all(sockets.map((socket) => session.connect(socket)));
  const [source, target] = machines.map(({ snapshot }) => snapshot);
  if (source === undefined) throw new UsageError('No QMP socket was named.');
  if (source.id === target?.id) throw new UsageError(sameMachineText);
  const offered = methodOffers(source, target);
  const options = optionOffers(source, target);
  return {
    exitCode: ExitCode.ok,
    lines: [
      ...table([
        ['METHOD', '', ''],
        ...offered.map((offer) => [offer.method, methodTitles[offer.method], says(offer)]),
      ]),
      '',
      ...table([
        ['OPTION', ''],
        ...options.map((offer) => [optionFlags[offer.option], valuesText(offer)]),
      ]),
    ],
    document: {
      source: { name: source.label, socket: source.id },
      ...(target !== undefined && { target: { name: target.label, socket: target.id } }),
      methods: offered.map((offer) => ({ ...offer, machines: machinesFor(offer.method) })),
      options: options.map((offer) => ({ ...offer, flag: optionFlags[offer.option] })),
    },
  };
}

function machinesFor(method: MethodName): number {
  return isOneSided(method) ? 1 : 2;
}

function says({ offered, why }: { readonly offered: boolean; readonly why: string }): string {
  return offered ? 'offered' : `not offered: ${why}`;
}

function valuesText(offer: OptionOffer): string {
  const values = offer.offered && offer.values !== undefined ? `: ${offer.values.join(', ')}` : '';
  return `${says(offer)}${values}`;
}
