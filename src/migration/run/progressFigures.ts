import type { JsonValue } from '../../qmp/json';
import { Convergence, convergenceSettings } from './pace/convergence';
import type { Side } from './look';
import type { MigrationInfo } from './migrationInfo';
import type { RunPhase, RunProgress } from './types';

/** The figures of one answer of `query-migrate`. */
export function progressOf(info: MigrationInfo): Partial<RunProgress> {
  const { totalBytes, remainingBytes } = info;
  const known = totalBytes !== undefined && remainingBytes !== undefined && totalBytes > 0;
  return {
    status: info.status,
    fraction: known ? Math.max(0, Math.min(1, 1 - remainingBytes / totalBytes)) : undefined,
    pass: info.pass,
    bytesPerSecond: info.bytesPerSecond,
    remainingBytes,
    transferredBytes: info.transferredBytes,
    expectedDowntimeMs: info.expectedDowntimeMs,
    dirtyBytesPerSecond: info.dirtyBytesPerSecond,
    throttlePercent: info.throttlePercent,
  };
}

/** The figures of a run as it goes on, with the verdict whether it will come to an end. */
export class ProgressFigures {
  private readonly source: Side;
  private readonly target: Side;
  private readonly convergence = new Convergence();

  constructor(source: Side, target: Side) {
    this.source = source;
    this.target = target;
  }

  /** To be told each answer of the source. */
  read(info: MigrationInfo, state: RunPhase): Partial<RunProgress> {
    const { facts } = this.source.lastSeen();
    const { pass, remainingBytes, bytesPerSecond, dirtyBytesPerSecond, expectedDowntimeMs } = info;
    const patch = {
      ...progressOf(info),
      downtimeLimitMs: figureOf(facts?.parameters['downtime-limit']),
      maxBandwidthBytesPerSecond: figureOf(facts?.parameters['max-bandwidth']),
      verdict: undefined,
    };
    // Only while the guest runs on the source it writes what has to be sent again.
    const writes = state === 'transfer' && facts?.runState.status !== 'paused';
    if (!writes || facts === undefined) return patch;
    this.convergence.add({
      atMs: Date.now(),
      ...{ pass, remainingBytes, bytesPerSecond, dirtyBytesPerSecond, expectedDowntimeMs },
    });
    const settings = convergenceSettings(facts, this.target.lastSeen().facts, info.throttlePercent);
    return { ...patch, verdict: this.convergence.verdict(settings) };
  }
}

function figureOf(value: JsonValue | undefined): number | undefined {
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
}
