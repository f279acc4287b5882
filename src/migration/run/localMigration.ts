import { FdPassError } from '../../fdpass/errors';
import type { HelperLocation } from '../../fdpass/locate';
import { QmpClosedError, QmpCommandError, QmpTimeoutError } from '../../qmp/errors';
import { readInventory, type Inventory } from '../../vm/inventory';
import type { MachineHandle } from '../../vm/types';
import type { Channel } from '../methods/channel';
import { HelperMissingError, openDescriptorPair } from '../methods/descriptorPair';
import { addTransferredDevices } from '../methods/targetDevices';
import { openUnixPath } from '../methods/unixPath';
import { backendTransferOf } from '../settings/backendTransfer';
import { BorrowedSettings } from './borrowedSettings';
import { switchoverEstimateBytesPerSecond } from './candidates';
import { checkBeforeRun } from './checks';
import { endFailedStart, endRun, type Ending } from './ending';
import { Follower } from './follow';
import type { Claim } from './journal/journals';
import { noRecorder, type Recorder } from './journal/recorder';
import type { RunJournal } from './journal/runJournal';
import { Side } from './look';
import { outcomeOfRefusal } from './outcome';
import type { RunContext } from './runContext';
import type { RunOutcome, RunProgress } from './types';

/** The user's cancel came before QEMU was asked to migrate. */
class CancelledBeforeStart extends Error {}

/**
 * One local migration from the first check to the settled end. Never rejects: whatever happens is
 * told by the outcome, which names the side that may run the guest.
 */
export async function runLocalMigration(context: RunContext): Promise<RunOutcome> {
  const { source, target, report } = context;
  let helper: HelperLocation | undefined;
  let claim: Claim | undefined;
  let journal: RunJournal | undefined;
  const ranNow = (): boolean => source.snapshot.facts?.runState.running ?? false;
  try {
    report({ phase: 'preflight' });
    await Promise.all([source.refresh(), target.refresh()]);
    await Promise.all([source.identify(), target.identify()]);
    // Who has them is the better answer than what is seen of it.
    claim = await context.journals?.claim(source.snapshot, target.snapshot);
    const inventories = await readInventories(source, target);
    checkBeforeRun(context.request, source, target, inventories);
    if (context.request.transport === 'fd') helper = await findHelper(context);
    journal = await claim?.begin({ request: context.request, guestRan: ranNow() });
  } catch (error) {
    await claim?.release();
    return outcomeOfRefusal(error, { source, target });
  }
  if (journal !== undefined) context.named?.(journal.run);
  const outcome = await carryOut(context, helper, journal ?? noRecorder, ranNow());
  return journal === undefined ? outcome : journal.end(outcome);
}

async function carryOut(
  context: RunContext,
  helper: HelperLocation | undefined,
  recorder: Recorder,
  ranBefore: boolean,
): Promise<RunOutcome> {
  const { source, target, log } = context;
  const sides = {
    source: new Side(source, source.snapshot.process),
    target: new Side(target, target.snapshot.process),
  };
  const report = (patch: Partial<RunProgress>): void => {
    context.report(patch);
  };
  const borrowed = new BorrowedSettings({ source, target }, recorder);
  const follower = new Follower(sides.source, sides.target, { ...context, recorder });
  let channel: Channel | undefined;
  let targetListens = false;
  const ending = (): Ending => {
    return { request: context.request, sides, borrowed, channel, recorder, report, log };
  };
  try {
    report({ phase: 'prepare' });
    await prepare(context, borrowed);
    failIfCancelled(context);
    channel = await openChannel(context, helper, recorder);
    failIfCancelled(context);
    targetListens = true;
    await startIncoming(context, channel.uri, recorder);
    failIfCancelled(context);
    await startOutgoing(context, channel.uri, recorder);
  } catch (error) {
    // Whether QEMU migrates after all shows in its status; to go away now would leave it unwatched.
    if (channel === undefined || !isReplyLost(error, 'migrate')) {
      follower.dispose();
      return endFailedStart(ending(), {
        error: isCancel(error) ? undefined : error,
        targetListens,
      });
    }
    log(`migrate: ${String(error)}`);
  }
  report({ phase: 'transfer' });
  recorder.jot({ kind: 'phase', phase: 'transfer' });
  return endRun(ending(), await follower.follow(), ranBefore);
}

/** What each side is made of, for the checks alone. */
async function readInventories(
  source: MachineHandle,
  target: MachineHandle,
): Promise<{ source: Inventory; target: Inventory }> {
  const [here, there] = await Promise.all([
    readInventory(source.connection()),
    readInventory(target.connection()),
  ]);
  return { source: here, target: there };
}

function failIfCancelled({ cancel }: RunContext): void {
  if (cancel.aborted) throw new CancelledBeforeStart('cancelled before the start');
}

/** Capabilities, backend transfer, `mode` and speed; in the order that each spelling needs. */
async function prepare(context: RunContext, borrowed: BorrowedSettings): Promise<void> {
  const { source, target, request } = context;
  for (const machine of [target, source]) {
    await borrowed.enable(machine, ['return-path', 'events']);
  }
  if (request.backendTransfer !== 'as-is') {
    const on = request.backendTransfer === 'on';
    for (const machine of [source, target]) {
      const offer = backendTransferOf(machine.snapshot);
      if (offer?.kind === 'boolean') await borrowed.set(machine, offer.parameter, on, false);
    }
  }
  const added = await addTransferredDevices(source, target);
  if (added.length > 0) context.log(`added to ${target.snapshot.label}: ${added.join(', ')}`);
  // It stays from an earlier run, and another mode with these arguments would end QEMU.
  if (source.snapshot.facts?.schema.argument('migrate-set-parameters', 'mode') !== undefined) {
    await borrowed.set(source, 'mode', 'normal', true);
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

/** @throws {HelperMissingError} */
async function findHelper({ locateHelper }: RunContext): Promise<HelperLocation> {
  const location = await locateHelper();
  if (location.kind === 'missing') throw new HelperMissingError(location);
  return location;
}

function openChannel(
  { source, target, cancel }: RunContext,
  helper: HelperLocation | undefined,
  recorder: Recorder,
): Promise<Channel> {
  const announce: Parameters<typeof openUnixPath>[1] = (channel) =>
    recorder.record({ kind: 'channel', channel });
  return helper === undefined
    ? openUnixPath(target, announce)
    : openDescriptorPair(source, target, helper, cancel, announce);
}

async function startIncoming(
  { target }: RunContext,
  uri: string,
  recorder: Recorder,
): Promise<void> {
  await recorder.record({ kind: 'incoming' });
  const connection = target.connection();
  const schema = target.snapshot.facts?.schema;
  // A target that stays can tell why it failed.
  const stays = schema?.argument('migrate-incoming', 'exit-on-error') !== undefined;
  await connection.execute('migrate-incoming', { uri, ...(stays && { 'exit-on-error': false }) });
}

async function startOutgoing(
  { source }: RunContext,
  uri: string,
  recorder: Recorder,
): Promise<void> {
  await recorder.record({ kind: 'migrate' });
  try {
    await source.connection().execute('migrate', { uri });
  } catch (error) {
    if (error instanceof QmpCommandError) await recorder.record({ kind: 'migrate-refused' });
    throw error;
  }
}

/** The command went out, and nobody knows what became of it. */
function isReplyLost(error: unknown, command: string): boolean {
  const lost = error instanceof QmpTimeoutError || error instanceof QmpClosedError;
  return lost && error.command === command;
}

function isCancel(error: unknown): boolean {
  if (error instanceof CancelledBeforeStart) return true;
  return error instanceof FdPassError && error.reason === 'aborted';
}
