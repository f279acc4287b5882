import { formatBytes, formatDurationMs, formatRate } from '../settings/units';
import { pauseText } from './pace/convergence';
import { states } from './states';
import type { GuestOwner, RunProgress } from './types';

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

/** The note of a run whose source or target gives no answer. */
export function doesNotAnswer(label: string): string {
  return `${label} does not answer.`;
}

/**
 * One line such as `pass 3 · 71 % · 1.1 GiB/s · 40 MiB left · pause expected 40 ms of 300 ms allowed`.
 * What a person should act upon comes first; where figures say nothing, the words of the state.
 */
export function progressLine(progress: RunProgress): string {
  const { phase, note, verdict } = progress;
  switch (phase) {
    case 'transfer': {
      const endless = verdict?.kind === 'not-converging' ? verdict.text : undefined;
      const figures = transferFigures(progress, endless !== undefined);
      const shown =
        figures.length === 0 && endless === undefined ? [states.transfer.words] : figures;
      return joined([endless, ...shown, note]);
    }
    case 'held':
      return joined([states.held.words, note, leftText(progress)]);
    case 'postcopy':
    case 'interrupted':
      return joined([states[phase].words, note, leftText(progress), rateText(progress)]);
    case 'cancel': {
      const hangs = progress.cancelHangs ? 'it has had no effect yet' : undefined;
      return joined([states.cancel.words, hangs, note]);
    }
    case 'plan':
    case 'preflight':
    case 'prepare':
    case 'switch-over':
    case 'settle':
    case 'needs-you':
    case 'ended':
      return joined([states[phase].words, note]);
  }
}

/** @param ratesSaid the verdict in front has the rates, and the pause where it matters */
function transferFigures(progress: RunProgress, ratesSaid: boolean): readonly string[] {
  const { pass, fraction, throttlePercent } = progress;
  const slowed = throttlePercent !== undefined && throttlePercent > 0;
  return [
    pass !== undefined && pass > 0 ? `pass ${pass}` : undefined,
    fraction === undefined ? undefined : `${Math.floor(fraction * 100)} %`,
    ratesSaid ? undefined : rateText(progress),
    leftText(progress),
    ratesSaid ? undefined : pauseExpected(progress),
    slowed && !ratesSaid ? `guest slowed by ${throttlePercent} %` : undefined,
  ].filter((part) => part !== undefined);
}

function rateText({ bytesPerSecond }: RunProgress): string | undefined {
  return bytesPerSecond === undefined || bytesPerSecond === 0
    ? undefined
    : formatRate(bytesPerSecond);
}

function leftText({ remainingBytes }: RunProgress): string | undefined {
  return remainingBytes === undefined ? undefined : `${formatBytes(remainingBytes)} left`;
}

function pauseExpected({ expectedDowntimeMs, downtimeLimitMs }: RunProgress): string | undefined {
  if (expectedDowntimeMs === undefined) return undefined;
  const pause =
    downtimeLimitMs === undefined
      ? formatDurationMs(expectedDowntimeMs)
      : pauseText(expectedDowntimeMs, downtimeLimitMs);
  return `pause expected ${pause}`;
}

/** Who has the guest, in words: the lamp of a run. One line, no full stop. */
export function lampText(
  owner: GuestOwner,
  labels: { readonly source: string; readonly target: string },
): string {
  switch (owner) {
    case 'source':
      return `the guest is on ${labels.source}`;
    case 'target':
      return `the guest is on ${labels.target}`;
    case 'neither-yet':
      return 'the guest is on neither side yet: it stands still';
    case 'file':
      return 'the guest is saved in a file and runs nowhere';
    case 'nobody':
      return 'the guest is lost: no side can run it any more';
    case 'unknown':
      return 'who has the guest is unknown: needs you';
  }
}

function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(' · ');
}
