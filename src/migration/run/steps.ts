import { QmpCommandError } from '../../qmp/errors';
import type { JsonObject } from '../../qmp/json';
import type { MachineHandle } from '../../vm/types';
import type { Announce, Channel } from '../methods/channel';
import { openDescriptorPair } from '../methods/descriptorPair';
import { methodOf } from '../methods/names';
import { plannedSettings, type PlannedSettings } from '../methods/planned';
import { addTransferredDevices } from '../methods/targetDevices';
import { openTcp, TcpAddressError } from '../methods/tcpAddress';
import { openUnixPath } from '../methods/unixPath';
import { backendTransferOf } from '../settings/backendTransfer';
import type { BorrowedSettings } from './borrowedSettings';
import { switchoverEstimateBytesPerSecond } from './checks/candidates';
import type { Gate } from './gate';
import type { Recorder } from './journal/recorder';
import type { RunContext } from './runContext';
import type { MigrationRequest } from './types';

type Sides = Pick<RunContext, 'request' | 'source' | 'target'>;

/** The target's monitor answers only after the source began. */
export function isArriving(request: MigrationRequest): boolean {
  return methodOf(request) === 'cpr-transfer';
}

/** Backend transfer comes before the devices that it brings. */
export async function prepareTarget(
  {
    request,
    source,
    target,
    log,
    targetDevices,
  }: Sides & Pick<RunContext, 'log' | 'targetDevices'>,
  borrowed: BorrowedSettings,
): Promise<void> {
  await applyPlanned(borrowed, target, plannedSettings(request, 'target'));
  await switchBackendTransfer(request, borrowed, target);
  const added = await (targetDevices === undefined
    ? addTransferredDevices(source, target)
    : targetDevices.add(target));
  if (added.length > 0) log(`added to ${target.snapshot.label}: ${added.join(', ')}`);
}

export async function prepareSource(
  { request, source }: Sides,
  borrowed: BorrowedSettings,
  gate: Gate,
): Promise<void> {
  gate.check('migrate-set-parameters');
  const planned = plannedSettings(request, 'source');
  const { mode, ...parameters } = planned.parameters;
  await applyPlanned(borrowed, source, { ...planned, parameters });
  await switchBackendTransfer(request, borrowed, source);
  // It stays from an earlier run, and another mode with these arguments would end QEMU.
  if (source.snapshot.facts?.schema.argument('migrate-set-parameters', 'mode') !== undefined) {
    await borrowed.set(source, 'mode', mode ?? 'normal', true);
  }
  const { maxBandwidthBytesPerSecond: maxBandwidth } = request;
  if (maxBandwidth === undefined) return;
  await borrowed.set(source, 'max-bandwidth', maxBandwidth, true);
  const estimate = source.snapshot.facts?.parameters['avail-switchover-bandwidth'];
  if (estimate === 0 && maxBandwidth === 0n) {
    const name = 'avail-switchover-bandwidth';
    await borrowed.set(source, name, switchoverEstimateBytesPerSecond, true);
  }
}

/** Capabilities first: some parameters count only with them. */
async function applyPlanned(
  borrowed: BorrowedSettings,
  machine: MachineHandle,
  { capabilities, parameters }: PlannedSettings,
): Promise<void> {
  const isCommon = (name: string): boolean => name === 'return-path' || name === 'events';
  const names = Object.keys(capabilities);
  await borrowed.enable(machine, names.filter(isCommon));
  const own = names.filter((name) => !isCommon(name));
  await borrowed.enable(machine, own, true);
  for (const [name, value] of Object.entries(parameters)) {
    await borrowed.set(machine, name, value, true);
  }
}

async function switchBackendTransfer(
  { backendTransfer }: MigrationRequest,
  borrowed: BorrowedSettings,
  machine: MachineHandle,
): Promise<void> {
  if (backendTransfer === 'as-is') return;
  const offer = backendTransferOf(machine.snapshot);
  if (offer?.kind !== 'boolean') return;
  await borrowed.set(machine, offer.parameter, backendTransfer === 'on', false);
}

/** @throws {HelperMissingError} and what the transport throws */
export async function openChannel(
  {
    request,
    source,
    target,
    cancel,
    locateHelper,
  }: Sides & Pick<RunContext, 'cancel' | 'locateHelper'>,
  recorder: Recorder,
  gate: Gate,
): Promise<Channel> {
  const announce: Announce = (channel) => recorder.record({ kind: 'channel', channel });
  const { tcp } = request.options ?? {};
  if (isArriving(request)) return openUnixPath(target, announce);
  switch (request.transport) {
    case 'fd':
      gate.check('getfd');
      return openDescriptorPair(source, target, await locateHelper(), cancel, announce);
    case 'unix':
      return openUnixPath(target, announce);
    case 'tcp':
      if (tcp === undefined) throw new TcpAddressError('No address was given for TCP.');
      return openTcp(target, tcp, announce);
  }
}

export async function startIncoming(
  target: MachineHandle,
  gate: Gate,
  uri: string,
  recorder: Recorder,
  announced: () => void = () => undefined,
): Promise<void> {
  await recorder.record({ kind: 'incoming' });
  announced();
  const schema = target.snapshot.facts?.schema;
  // A target that stays can tell why it failed.
  const stays = schema?.argument('migrate-incoming', 'exit-on-error') !== undefined;
  await gate.send('target', 'migrate-incoming', { uri, ...(stays && { 'exit-on-error': false }) });
}

export async function startOutgoing(
  request: MigrationRequest,
  gate: Gate,
  uri: string,
  recorder: Recorder,
): Promise<void> {
  await recorder.record({ kind: 'migrate' });
  try {
    await gate.send('source', 'migrate', migrateArguments(request, uri));
  } catch (error) {
    if (error instanceof QmpCommandError) await recorder.record({ kind: 'migrate-refused' });
    throw error;
  }
}

/** A `uri` while `mode` is cpr-transfer, or a list without `main`, ends QEMU. */
function migrateArguments(request: MigrationRequest, uri: string): JsonObject {
  if (!isArriving(request)) return { uri };
  const socket = (type: string, path: string): JsonObject => ({
    'channel-type': type,
    addr: { transport: 'socket', type: 'unix', path },
  });
  const main = uri.replace(/^unix:/, '');
  return { channels: [socket('main', main), socket('cpr', request.options?.cprSocket ?? '')] };
}
