import type { MachineSnapshot, VmFacts } from '../../../vm/types';
import { isOneSided } from '../../methods/names';
import { formatRate } from '../../settings/units';
import { sourceObstacle, targetObstacle } from './checks';
import type { Obstacle } from './obstacle';
import type { MethodName } from '../types';

/** A machine that could take a part in a migration, or the reason why it cannot. */
export interface Candidate {
  readonly snapshot: MachineSnapshot;
  readonly usable: boolean;
  /** Why not; empty when usable. */
  readonly reason: string;
}

/** All machines as sources, the usable ones first; for `restore`, those that wait for a guest. */
export function migrationSources(
  snapshots: readonly MachineSnapshot[],
  method: MethodName = 'precopy',
): readonly Candidate[] {
  return judge(snapshots, method === 'restore' ? targetObstacle : sourceObstacle);
}

/**
 * All machines but the source as targets, the usable ones first. A target of cpr-transfer is one that
 * does not answer yet; methods with one machine have the source itself.
 */
export function migrationTargets(
  source: MachineSnapshot | undefined,
  snapshots: readonly MachineSnapshot[],
  method: MethodName = 'precopy',
): readonly Candidate[] {
  if (isOneSided(method)) {
    return source === undefined ? [] : [{ snapshot: source, usable: true, reason: '' }];
  }
  const others = snapshots.filter(({ id }) => id !== source?.id);
  return method === 'cpr-transfer' ? usableFirst(others.map(late)) : judge(others, targetObstacle);
}

function late(snapshot: MachineSnapshot): Candidate {
  const answers = snapshot.state.kind === 'ready';
  const reason = 'Answers already; a QEMU that waits for a CPR channel does not.';
  return { snapshot, usable: !answers, reason: answers ? reason : '' };
}

function usableFirst(candidates: readonly Candidate[]): readonly Candidate[] {
  return [...candidates.filter(({ usable }) => usable), ...candidates.filter((c) => !c.usable)];
}

function judge(
  snapshots: readonly MachineSnapshot[],
  obstacle: (label: string, facts: VmFacts) => readonly Obstacle[],
): readonly Candidate[] {
  const candidates = snapshots.map((snapshot): Candidate => {
    if (snapshot.state.kind !== 'ready' || snapshot.facts === undefined) {
      return { snapshot, usable: false, reason: 'Not connected.' };
    }
    const [first] = obstacle(snapshot.label, snapshot.facts);
    return { snapshot, usable: first === undefined, reason: first?.reason ?? '' };
  });
  return usableFirst(candidates);
}

/**
 * With no bandwidth limit QEMU judges the pause by an early guess that may be far too good. This
 * value for `avail-switchover-bandwidth` keeps it honest. Measured with a guest that keeps writing to
 * 192 MiB: pauses of 100 to 160 ms, while a quarter of it made the same migration endless.
 */
export const switchoverEstimateBytesPerSecond = 1024n * 1024n * 1024n;

export interface BandwidthAdvice {
  readonly currentBytesPerSecond: bigint;
  /** 0: no limit. */
  readonly suggestedBytesPerSecond: bigint;
  /** Why, and the pause that it risks. */
  readonly explanation: string;
}

/** Limits below this slow every migration on one host, which copies memory at several times that. */
const slowBytesPerSecond = 1024n * 1024n * 1024n;

/** What to say about `max-bandwidth` before a local migration; `undefined`: nothing. */
export function bandwidthAdvice(source: VmFacts): BandwidthAdvice | undefined {
  const value = source.parameters['max-bandwidth'];
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const current = BigInt(value);
  if (current === 0n || current >= slowBytesPerSecond) return undefined;
  const bounded = source.parameters['avail-switchover-bandwidth'] !== undefined;
  const risk = bounded
    ? `To keep the pause near downtime-limit, avail-switchover-bandwidth is set to ${formatRate(switchoverEstimateBytesPerSecond)} for this run as well.`
    : 'Without a limit this QEMU may misjudge the last part: pauses of one to five times downtime-limit were measured.';
  return {
    currentBytesPerSecond: current,
    suggestedBytesPerSecond: 0n,
    explanation: `max-bandwidth limits this migration to ${formatRate(current)}, far less than one host can copy. ${risk}`,
  };
}
