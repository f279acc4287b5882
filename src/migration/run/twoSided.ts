import { FdPassError } from '../../fdpass/errors';
import { QmpClosedError, QmpTimeoutError } from '../../qmp/errors';
import { findListener } from '../../vm/listener';
import type { QemuProcess } from '../../vm/types';
import type { Channel } from '../methods/channel';
import { HelperMissingError } from '../methods/descriptorPair';
import { methodOf } from '../methods/names';
import { guardsSwitchover } from '../methods/planned';
import { Arrival } from './arrival';
import { BorrowedSettings } from './borrowedSettings';
import { checkBeforeRun } from './checks/checks';
import { endFailedStart, endRun, type Ending } from './ending';
import { Evidence } from './evidence';
import { Follower } from './follow';
import { Gate } from './gate';
import { readInventories } from './checks/inventoryChecks';
import type { Claim } from './journal/journals';
import { noRecorder, type Recorder } from './journal/recorder';
import type { RunJournal } from './journal/runJournal';
import { Side } from './look';
import { readMethodFacts } from './checks/methodChecks';
import type { Obstacle } from './checks/obstacle';
import { outcomeOfRefusal } from './outcome';
import { PostcopyRecovery } from './postcopyRecovery';
import type { RunContext } from './runContext';
import { controlsOf } from './runControls';
import { StateReporter } from './stateReporter';
import {
  isArriving,
  openChannel,
  prepareSource,
  prepareTarget,
  startIncoming,
  startOutgoing,
} from './steps';
import type { RunOutcome } from './types';

/** The user's cancel came before QEMU was asked to migrate. */
class CancelledBeforeStart extends Error {}

/**
 * One migration between two QEMUs, from the first check to the settled end. Never rejects: whatever
 * happens is told by the outcome, which names the side that may run the guest.
 */
export async function runTwoSided(context: RunContext): Promise<RunOutcome> {
  const { request, source, target, log } = context;
  let claim: Claim | undefined;
  let journal: RunJournal | undefined;
  let process = target.snapshot.process;
  let overridden: readonly Obstacle[] = [];
  const states = new StateReporter(context.report);
  const gate = new Gate({
    sides: { source, target },
    log,
    onState: (state, owner) => states.enter(state, owner),
  });
  const ranNow = (): boolean => source.snapshot.facts?.runState.running ?? false;
  try {
    gate.enter('preflight');
    const present = isArriving(request) ? [source] : [source, target];
    await Promise.all(present.map((machine) => machine.refresh()));
    await Promise.all(present.map((machine) => machine.identify()));
    process = await processOfTarget(context);
    // Who has them is the better answer than what is seen of it.
    claim = await context.journals?.claim(
      source.snapshot,
      { ...target.snapshot, process },
      undefined,
      context.holding,
    );
    const facts = await readMethodFacts(request, source, target);
    const later = new Set(context.targetDevices?.ids);
    const inventories = { ...(await readInventories(request, source, target)), later };
    overridden = checkBeforeRun(request, source, target, inventories, facts);
    if (request.transport === 'fd' && !isArriving(request)) await failWithoutHelper(context);
    journal = await claim?.begin({ request, guestRan: ranNow() });
  } catch (error) {
    await claim?.release();
    const outcome = outcomeOfRefusal(error, { source, target });
    gate.enter('ended', outcome.owner);
    return outcome;
  }
  if (journal !== undefined) context.named?.(journal.run);
  states.recordIn(journal);
  for (const { id, reason } of overridden) {
    log(`forced: ${id}: ${reason}`);
    journal?.jot({ kind: 'control', control: `force ${id}`, detail: request.force?.reason });
  }
  const evidence = await Evidence.begin(request, source.snapshot.process, process);
  states.onEnter((state) => evidence.enter(state));
  const sides = {
    source: new Side(source, source.snapshot.process, context.patience),
    target: new Side(target, process, context.patience),
  };
  const course = new Course(context, {
    ...{ gate, sides, recorder: journal ?? noRecorder },
    ...{ evidence, overridden },
  });
  const outcome = await course.carryOut(ranNow());
  return journal === undefined ? outcome : journal.end(outcome);
}

interface CourseParts {
  readonly gate: Gate;
  readonly sides: { readonly source: Side; readonly target: Side };
  readonly recorder: Recorder;
  readonly evidence: Evidence;
  readonly overridden: readonly Obstacle[];
}

/** The part of a run that changes something. */
class Course {
  private readonly context: RunContext;
  private readonly parts: CourseParts;
  private readonly borrowed: BorrowedSettings;
  private channel: Channel | undefined;
  private targetListens = false;

  constructor(context: RunContext, parts: CourseParts) {
    this.context = context;
    this.parts = parts;
    const { source, target } = context;
    this.borrowed = new BorrowedSettings({ source, target }, parts.recorder, [], parts.gate);
  }

  async carryOut(ranBefore: boolean): Promise<RunOutcome> {
    const { context, parts, borrowed } = this;
    const { gate, sides, recorder } = parts;
    const { request, target, report, log } = context;
    const { options = {} } = request;
    const arrival: Arrival | undefined = isArriving(request)
      ? new Arrival(target, () => this.tellArrived(arrival))
      : undefined;
    const recovery = new PostcopyRecovery({
      ...{ gate, ...sides, recorder, log },
      reopen: () => openChannel(context, recorder, gate),
      betweenMs: context.patience?.recoveryMs,
    });
    const follower = new Follower(sides.source, sides.target, {
      ...{ gate, cancel: context.cancel, detach: context.detach, report, log, recorder },
      holdSwitchover: options.holdSwitchover === true,
      beforeSwitchover: context.beforeSwitchover,
      guardSwitchover: guardsSwitchover(request),
      postcopyAfterPass: methodOf(request) === 'postcopy' ? options.postcopyAfterPass : undefined,
      arrival,
      recovery,
      patience: context.patience,
    });
    const ending = (): Ending => {
      const { channel } = this;
      const { evidence, overridden } = parts;
      return {
        ...{ request, sides, borrowed, channel, gate, recovery, recorder, report, log },
        ...{ evidence, overridden },
      };
    };
    try {
      gate.enter('prepare');
      if (arrival === undefined) await prepareTarget(context, borrowed);
      await prepareSource(context, borrowed, gate);
      failIfCancelled(context);
      this.channel = await openChannel(context, recorder, gate);
      failIfCancelled(context);
      if (arrival === undefined) {
        this.targetListens = true;
        await startIncoming(target, gate, this.channel.uri, recorder);
        failIfCancelled(context);
      }
      const uri = (await this.channel.outgoingUri?.()) ?? this.channel.uri;
      await startOutgoing(request, gate, uri, recorder);
    } catch (error) {
      // Whether QEMU migrates after all shows in its status; to go away now would leave it unwatched.
      if (this.channel === undefined || !isReplyLost(error, 'migrate')) {
        follower.dispose();
        return endFailedStart(ending(), {
          error: isCancel(error) ? undefined : error,
          targetListens: this.targetListens,
        });
      }
      log(`migrate: ${String(error)}`);
    }
    gate.enter('transfer');
    context.wishes.handle(
      controlsOf({
        ...{ gate, source: sides.source, target: sides.target, follower, borrowed, recorder },
        recovery,
      }),
    );
    return endRun(ending(), await follower.follow(), ranBefore);
  }

  /** The target's monitor answers at last. */
  private async tellArrived(arrival: Arrival | undefined): Promise<void> {
    const { context, parts, borrowed, channel } = this;
    if (channel === undefined) return;
    await context.target.refresh();
    await prepareTarget(context, borrowed);
    await startIncoming(context.target, parts.gate, channel.uri, parts.recorder, () => {
      this.targetListens = true;
      arrival?.markTold();
    });
  }
}

/** The very process that is to take the guest. */
async function processOfTarget({ request, target }: RunContext): Promise<QemuProcess | undefined> {
  const { cprSocket } = request.options ?? {};
  if (!isArriving(request) || cprSocket === undefined) return target.snapshot.process;
  return findListener(cprSocket);
}

/** @throws {HelperMissingError} before anything is changed */
async function failWithoutHelper({ locateHelper }: RunContext): Promise<void> {
  const location = await locateHelper();
  if (location.kind === 'missing') throw new HelperMissingError(location);
}

function failIfCancelled({ cancel }: RunContext): void {
  if (cancel.aborted) throw new CancelledBeforeStart('cancelled before the start');
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
