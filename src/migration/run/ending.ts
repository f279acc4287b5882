import { untilReady } from '../../vm/ready';
import type { Channel } from '../methods/channel';
import { explain } from '../view/words';
import type { BorrowedSettings } from './borrowedSettings';
import type { Evidence } from './evidence';
import type { Followed } from './followTypes';
import type { Gate } from './gate';
import type { Recorder } from './journal/recorder';
import type { Side } from './look';
import type { Obstacle } from './checks/obstacle';
import { outcomeOfFailedStart, outcomeOfRun, type OutcomeEvidence } from './outcome';
import { Proof, type SideView } from './ownership';
import type { PostcopyRecovery } from './postcopyRecovery';
import type { MigrationRequest, RunOutcome, RunProgress } from './types';

/** What both ends of a run need: of one that we began, and of one that we took up. */
export interface Ending {
  readonly request: MigrationRequest;
  readonly sides: { readonly source: Side; readonly target: Side };
  readonly borrowed: BorrowedSettings;
  readonly channel: Channel | undefined;
  readonly gate: Gate;
  readonly recovery?: PostcopyRecovery | undefined;
  readonly recorder: Recorder;
  readonly evidence?: Evidence | undefined;
  /** What a person's force has overruled. */
  readonly overridden?: readonly Obstacle[];
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
}

/** The guest's side is settled: continues it where that is proven to be safe, and takes back. */
export async function endRun(
  ending: Ending,
  followed: Followed,
  ranBefore: boolean,
): Promise<RunOutcome> {
  const { sides, channel, borrowed, request } = ending;
  let { source: sourceView } = followed;
  const revive = ranBefore && (followed.end.kind === 'failed' || followed.end.kind === 'cancelled');
  if (revive && (await continueSource(ending, sourceView, followed.target))) {
    sourceView = await sides.source.look();
  }
  const { kind } = followed.end;
  const lostSight = kind === 'lost-sight' || kind === 'interrupted';
  await channel?.close();
  if (kind !== 'interrupted') await ending.recovery?.close();
  const happened = followed.end.kind === 'completed';
  // What a migration holds cannot be put back while we have lost sight of it.
  const notPutBack = lostSight ? [] : await borrowed.putBack(happened ? 'always' : 'all');
  const outcome = outcomeOfRun({
    followed: { ...followed, source: sourceView },
    sides,
    notPutBack,
    ranBefore,
    maxBandwidth: request.maxBandwidthBytesPerSecond,
    ...(await evidenceOf(ending)),
  });
  return conclude(ending, withArrivalError(outcome, followed));
}

/** The last state, and the lamp with it. */
function conclude({ gate, report, overridden = [], request }: Ending, end: RunOutcome): RunOutcome {
  // What it waited for is over.
  report({ note: undefined });
  gate.enter(end.kind === 'unknown' ? 'needs-you' : 'ended', end.owner);
  if (overridden.length === 0) return end;
  const reasons = overridden.map(({ reason }) => reason).join(' ');
  const told = `It was begun in spite of this: ${reasons} The reason given: ${request.force?.reason ?? ''}`;
  return { ...end, details: [...end.details, told] };
}

async function evidenceOf({ evidence }: Ending): Promise<{ evidence?: OutcomeEvidence }> {
  return evidence === undefined ? {} : { evidence: await evidence.read() };
}

/** A target that came up and could not be told to listen: why, in its own words. */
function withArrivalError(outcome: RunOutcome, { arrivalError }: Followed): RunOutcome {
  if (arrivalError === undefined) return outcome;
  const { headline, detail } = explain(arrivalError);
  const details = [headline, ...(detail === undefined ? [] : [detail]), ...outcome.details];
  return { ...outcome, details };
}

export interface FailedStartEnding {
  /** `undefined`: the user cancelled. */
  readonly error: unknown;
  /** The target was told to listen. */
  readonly targetListens: boolean;
}

/** QEMU did not accept `migrate`, or was not asked: takes back what can be taken back. */
export async function endFailedStart(
  ending: Ending,
  { error, targetListens }: FailedStartEnding,
): Promise<RunOutcome> {
  const { sides, channel, borrowed } = ending;
  ending.gate.enter('settle');
  await channel?.close();
  // A helper that failed half-way costs the connections, not the QEMUs.
  await Promise.all([sides.source, sides.target].map(({ machine }) => untilReady(machine)));
  const source = await sides.source.look();
  const target = await sides.target.look();
  const notPutBack = await borrowed.putBack('all');
  return conclude(
    ending,
    outcomeOfFailedStart({
      ...{ error, source, target, sides, notPutBack, targetListens },
      ...(await evidenceOf(ending)),
    }),
  );
}

/**
 * Brings the guest back on the source, where QEMU left it standing after a failed run, if and only
 * if the target's process is proven gone.
 */
async function continueSource(
  { gate, recorder, log }: Ending,
  sourceView: SideView,
  targetView: SideView,
): Promise<boolean> {
  if (sourceView.kind !== 'answered' || sourceView.runState.status !== 'postmigrate') return false;
  const proof = Proof.continueSource(sourceView, targetView);
  if (proof === undefined) return false;
  try {
    await recorder.record({ kind: 'continue-source' });
    await gate.sendProven('cont', proof, { timeoutMs: 5000 });
    return true;
  } catch (error) {
    log(`cont on the source: ${String(error)}`);
    return false;
  }
}
