import { FdPassError } from '../../fdpass/errors';
import type { HelperLocation } from '../../fdpass/locate';
import { QmpClosedError, QmpTimeoutError } from '../../qmp/errors';
import { readInventory, type Inventory } from '../../vm/inventory';
import { untilReady } from '../../vm/ready';
import type { MachineHandle } from '../../vm/types';
import type { Channel } from '../methods/channel';
import { HelperMissingError, openDescriptorPair } from '../methods/descriptorPair';
import { addTransferredDevices } from '../methods/targetDevices';
import { openUnixPath } from '../methods/unixPath';
import { backendTransferOf } from '../settings/backendTransfer';
import { BorrowedSettings } from './borrowedSettings';
import { switchoverEstimateBytesPerSecond } from './candidates';
import { checkBeforeRun } from './checks';
import { Follower } from './follow';
import { Side } from './look';
import { mayContinueSource, type SideView } from './ownership';
import { outcomeOfFailedStart, outcomeOfRefusal, outcomeOfRun } from './outcome';
import type { LocalMigrationRequest, RunOutcome, RunProgress } from './types';

export interface LocalMigrationContext {
  readonly request: LocalMigrationRequest;
  readonly source: MachineHandle;
  readonly target: MachineHandle;
  readonly locateHelper: () => Promise<HelperLocation>;
  /** Aborted when the user wants to cancel. */
  readonly cancel: AbortSignal;
  /** Aborted when nobody is to watch any more; both QEMUs are left as they are. */
  readonly detach: AbortSignal;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
}

/** The user's cancel came before QEMU was asked to migrate. */
class CancelledBeforeStart extends Error {}

/**
 * One local migration from the first check to the settled end. Never rejects: whatever happens is
 * told by the outcome, which names the side that may run the guest.
 */
export async function runLocalMigration(context: LocalMigrationContext): Promise<RunOutcome> {
  const { source, target, report } = context;
  let helper: HelperLocation | undefined;
  try {
    report({ phase: 'checking' });
    await Promise.all([source.refresh(), target.refresh()]);
    const [inventories] = await Promise.all([
      readInventories(source, target),
      source.identify(),
      target.identify(),
    ]);
    checkBeforeRun(context.request, source, target, inventories);
    if (context.request.transport === 'fd') helper = await findHelper(context);
  } catch (error) {
    return outcomeOfRefusal(error, { source, target });
  }
  const sides = {
    source: new Side(source, source.snapshot.process),
    target: new Side(target, target.snapshot.process),
  };
  const ranBefore = source.snapshot.facts?.runState.running ?? false;
  const borrowed = new BorrowedSettings();
  const follower = new Follower(sides.source, sides.target, context);
  let channel: Channel | undefined;
  let targetListens = false;
  try {
    report({ phase: 'preparing' });
    await prepare(context, borrowed);
    failIfCancelled(context);
    channel = await openChannel(context, helper);
    failIfCancelled(context);
    targetListens = true;
    await startIncoming(context, channel.uri);
    failIfCancelled(context);
    await startOutgoing(context, channel.uri);
  } catch (error) {
    // Whether QEMU migrates after all shows in its status; to go away now would leave it unwatched.
    if (channel === undefined || !isReplyLost(error, 'migrate')) {
      follower.dispose();
      return await abandon(error, { context, sides, borrowed, channel, targetListens });
    }
    context.log(`migrate: ${String(error)}`);
  }
  report({ phase: 'transferring' });
  const followed = await follower.follow();
  let { source: sourceView } = followed;
  const revive = ranBefore && (followed.end.kind === 'failed' || followed.end.kind === 'cancelled');
  if (revive && (await continueSource(context, sourceView, followed.target))) {
    sourceView = await sides.source.look();
  }
  await channel.close();
  const happened = followed.end.kind === 'completed' || followed.end.kind === 'lost-sight';
  // What a migration holds cannot be put back while we have lost sight of it.
  const notPutBack =
    followed.end.kind === 'lost-sight' ? [] : await borrowed.putBack(happened ? 'always' : 'all');
  report({ phase: 'done' });
  return outcomeOfRun({
    followed: { ...followed, source: sourceView },
    sides,
    notPutBack,
    ranBefore,
    maxBandwidth: context.request.maxBandwidthBytesPerSecond,
  });
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

function failIfCancelled({ cancel }: LocalMigrationContext): void {
  if (cancel.aborted) throw new CancelledBeforeStart('cancelled before the start');
}

/** Capabilities, backend transfer, `mode` and speed; in the order that each spelling needs. */
async function prepare(context: LocalMigrationContext, borrowed: BorrowedSettings): Promise<void> {
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
async function findHelper({ locateHelper }: LocalMigrationContext): Promise<HelperLocation> {
  const location = await locateHelper();
  if (location.kind === 'missing') throw new HelperMissingError(location);
  return location;
}

function openChannel(
  { source, target, cancel }: LocalMigrationContext,
  helper: HelperLocation | undefined,
): Promise<Channel> {
  return helper === undefined
    ? openUnixPath(target)
    : openDescriptorPair(source, target, helper, cancel);
}

async function startIncoming({ target }: LocalMigrationContext, uri: string): Promise<void> {
  const connection = target.connection();
  const schema = target.snapshot.facts?.schema;
  // A target that stays can tell why it failed.
  const stays = schema?.argument('migrate-incoming', 'exit-on-error') !== undefined;
  await connection.execute('migrate-incoming', { uri, ...(stays && { 'exit-on-error': false }) });
}

async function startOutgoing({ source }: LocalMigrationContext, uri: string): Promise<void> {
  await source.connection().execute('migrate', { uri });
}

interface Abandoned {
  readonly context: LocalMigrationContext;
  readonly sides: { readonly source: Side; readonly target: Side };
  readonly borrowed: BorrowedSettings;
  readonly channel: Channel | undefined;
  readonly targetListens: boolean;
}

/** Something failed before QEMU accepted `migrate`: takes back what can be taken back. */
async function abandon(error: unknown, abandoned: Abandoned): Promise<RunOutcome> {
  const { context, sides, borrowed, channel, targetListens } = abandoned;
  context.report({ phase: 'settling' });
  await channel?.close();
  // A helper that failed half-way costs the connections, not the QEMUs.
  await Promise.all([untilReady(context.source), untilReady(context.target)]);
  const source = await sides.source.look();
  const target = await sides.target.look();
  const notPutBack = await borrowed.putBack('all');
  context.report({ phase: 'done' });
  return outcomeOfFailedStart({
    error: isCancel(error) ? undefined : error,
    source,
    target,
    sides,
    notPutBack,
    targetListens,
  });
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

/**
 * Brings the guest back on the source, where QEMU left it standing after a failed run, if and only
 * if the target's process is proven gone.
 */
async function continueSource(
  { source, log }: LocalMigrationContext,
  sourceView: SideView,
  targetView: SideView,
): Promise<boolean> {
  if (sourceView.kind !== 'answered' || sourceView.runState.running) return false;
  const standing = sourceView.runState.status === 'postmigrate';
  if (!standing || !mayContinueSource(targetView)) return false;
  try {
    await source.connection().execute('cont', {}, { timeoutMs: 5000 });
    return true;
  } catch (error) {
    log(`cont on the source: ${String(error)}`);
    return false;
  }
}
