import { formatDurationMs, formatRate } from '../../settings/units';
import { switchoverEstimateBytesPerSecond } from '../checks/candidates';
import type { ConvergenceSample, ConvergenceSettings, Remedy } from './convergence';
import { pauseToAllow } from './pauseMath';

/** What is known of a migration that does not come to an end. */
export interface Trouble {
  readonly sample: ConvergenceSample;
  readonly settings: ConvergenceSettings;
  /** The longest pause that one of the last passes would have needed, ms. */
  readonly neededMs: number | undefined;
}

/** Up to here a longer pause comes before what costs the guest more than that one moment, ms. */
const bearablePauseMs = 2000;
/** A channel that moves this part of `max-bandwidth` is held back by it. */
const heldBack = 0.8;
const estimate = Number(switchoverEstimateBytesPerSecond);

/** What can be done while it goes on, best first. */
export function remediesFor(trouble: Trouble): readonly Remedy[] {
  const pause = longerPause(trouble);
  const bearable = (pause?.parameters['downtime-limit'] ?? 0) <= bearablePauseMs;
  const others = [startPostcopy(trouble), slowTheGuest(trouble)];
  const ordered = bearable ? [pause, ...others] : [...others, pause];
  return [fasterChannel(trouble), ...ordered].filter((remedy) => remedy !== undefined);
}

/** Capabilities cannot change while a migration goes on: what that keeps from being offered. */
export function unavailableRemedies(settings: ConvergenceSettings): readonly string[] {
  const off: readonly [boolean, string, string][] = [
    [settings.autoConverge, 'The guest cannot be slowed', 'auto-converge is off'],
    [settings.postcopy, 'Postcopy cannot be started', 'postcopy-ram is not on at both sides'],
  ];
  return off
    .filter(([isOn]) => !isOn)
    .map(
      ([, what, why]) => `${what}: ${why}, and QEMU changes no capability while a migration runs.`,
    );
}

/**
 * `max-bandwidth` lifted, where it is what holds the channel back. QEMUs that cannot be told how fast
 * the end will be misjudge it without a limit, and get a high one first.
 */
function fasterChannel({ sample, settings }: Trouble): Remedy | undefined {
  const { maxBandwidthBytesPerSecond: limit, switchoverBytesPerSecond } = settings;
  const { bytesPerSecond } = sample;
  if (limit === undefined || limit === 0 || bytesPerSecond === undefined) return undefined;
  if (bytesPerSecond < limit * heldBack) return undefined;
  const id = 'no-bandwidth-limit';
  if (switchoverBytesPerSecond === undefined && limit < estimate) {
    const rate = formatRate(estimate);
    return {
      id,
      title: `Raise the speed limit from ${formatRate(limit)} to ${rate}`,
      explanation: `Sets max-bandwidth to ${rate}: the migration takes as much of this host's processors and memory bandwidth as it can get.`,
      parameters: { 'max-bandwidth': estimate },
    };
  }
  const withEstimate = switchoverBytesPerSecond === 0;
  return {
    id,
    title: `Lift the speed limit of ${formatRate(limit)}`,
    explanation: withEstimate
      ? `Sets max-bandwidth to no limit, and avail-switchover-bandwidth to ${formatRate(estimate)} so that the pause is not misjudged; the migration takes as much of this host as it can get.`
      : 'Sets max-bandwidth to no limit: the migration takes as much of this host as it can get, and the pause may become longer than expected.',
    parameters: {
      'max-bandwidth': 0,
      ...(withEstimate && { 'avail-switchover-bandwidth': estimate }),
    },
  };
}

function longerPause({ settings, neededMs }: Trouble): Remedy | undefined {
  const limitMs = settings.downtimeLimitMs;
  if (limitMs === undefined || neededMs === undefined) return undefined;
  const allowMs = pauseToAllow(neededMs);
  if (allowMs === undefined || allowMs <= limitMs) return undefined;
  return {
    id: 'longer-pause',
    title: `Allow a pause of ${formatDurationMs(allowMs)}`,
    explanation: `Raises downtime-limit from ${formatDurationMs(limitMs)}: the guest stands still for about ${formatDurationMs(neededMs)}, once, and whoever talks to it waits that long.`,
    parameters: { 'downtime-limit': allowMs },
  };
}

function startPostcopy({ settings }: Trouble): Remedy | undefined {
  if (!settings.postcopy) return undefined;
  return {
    id: 'start-postcopy',
    title: 'Start postcopy',
    explanation:
      'The guest goes over now and fetches its memory from there: it surely ends, but until then the guest is slow, there is no way back, and it is lost if either side dies.',
    parameters: {},
  };
}

const throttleSteps = [50, 75, 90, 99];

/** Takes effect at the end of a pass, where QEMU looks whether to slow the guest more. */
function slowTheGuest({ sample, settings }: Trouble): Remedy | undefined {
  if (!settings.autoConverge) return undefined;
  const now = settings.throttlePercent ?? 0;
  const { dirtyBytesPerSecond: dirty = 0, bytesPerSecond: rate = 0 } = sample;
  // For the guest to write half of what is moved. It may write far more than a pass can show.
  const enough = dirty > 0 ? 100 * (1 - (1 - now / 100) * ((rate * 0.5) / dirty)) : 0;
  const wanted = throttleSteps.find((step) => step > now && step >= enough) ?? 99;
  if (wanted <= now) return undefined;
  const most = Math.max(wanted, settings.maxThrottlePercent ?? 0);
  return {
    id: 'slow-the-guest',
    title: `Slow the guest by ${wanted} %`,
    explanation: `Auto-converge then takes ${wanted} % of the guest's processor time${now === 0 ? '' : ` instead of ${now} %`}, from the end of one of the next passes until the migration is over.`,
    parameters: {
      ...(now === 0
        ? { 'cpu-throttle-initial': wanted }
        : { 'cpu-throttle-increment': wanted - now }),
      'max-cpu-throttle': most,
    },
  };
}
