import { formatBytes, formatDurationMs, formatRate } from '../settings/units';
import { states } from './states';
import type { RunProgress } from './types';

/** A run of which nothing is known yet. */
export const noProgress: RunProgress = {
  phase: 'plan',
  status: undefined,
  fraction: undefined,
  pass: undefined,
  bytesPerSecond: undefined,
  remainingBytes: undefined,
  transferredBytes: undefined,
  expectedDowntimeMs: undefined,
  dirtyBytesPerSecond: undefined,
  downtimeLimitMs: undefined,
  maxBandwidthBytesPerSecond: undefined,
  throttlePercent: undefined,
  owner: 'source',
  verdict: undefined,
  cancelHangs: false,
  note: undefined,
};

/** One line such as `pass 3 · 71 % · 1.1 GiB/s · 40 MiB left`; the phase where figures say nothing. */
export function progressLine(progress: RunProgress): string {
  if (progress.phase !== 'transfer') {
    return joined([states[progress.phase].words, progress.note]);
  }
  const { pass, fraction, bytesPerSecond, remainingBytes, expectedDowntimeMs } = progress;
  const figures = [
    pass !== undefined && pass > 0 ? `pass ${pass}` : undefined,
    fraction === undefined ? undefined : `${Math.floor(fraction * 100)} %`,
    bytesPerSecond === undefined || bytesPerSecond === 0 ? undefined : formatRate(bytesPerSecond),
    remainingBytes === undefined ? undefined : `${formatBytes(remainingBytes)} left`,
    expectedDowntimeMs === undefined
      ? undefined
      : `pause expected ${formatDurationMs(expectedDowntimeMs)}`,
  ].filter((part) => part !== undefined);
  return joined([...(figures.length === 0 ? [states.transfer.words] : figures), progress.note]);
}

function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(' · ');
}
