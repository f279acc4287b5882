import { switchoverEstimateBytesPerSecond } from '../run/checks/candidates';
import { bytesInPause, longestPauseMs, pauseFor, pauseToAllow } from '../run/pace/pauseMath';
import { formatBytes, formatDurationMs, formatRate } from '../settings/units';
import { effectiveBandwidth, numberOf, quickest } from './pace';
import { isOn, setting, switching, type Finding, type PreflightInput } from './types';

/** What was measured of the guest's writing. */
export type DirtyRate =
  | { readonly kind: 'measured'; readonly bytesPerSecond: number }
  /** It stands still and writes nothing. */
  | { readonly kind: 'paused' }
  | { readonly kind: 'unknown'; readonly reason: string };

/** Whether the migration comes to an end, judged by how much the guest wrote in one second. */
export function convergenceFinding(input: PreflightInput, rate: DirtyRate): Finding {
  const common = { id: 'convergence', side: 'source' } as const;
  if (rate.kind === 'unknown') {
    return {
      ...common,
      level: 'tells',
      what: 'How much the guest writes could not be measured.',
      why: rate.reason,
      nextStep: 'Try again in a moment.',
    };
  }
  if (rate.kind === 'paused') {
    return {
      ...common,
      level: 'tells',
      what: 'The migration will converge: the guest stands still and writes nothing.',
      why: 'Its memory is copied once.',
      nextStep: 'Nothing.',
    };
  }
  const limit = effectiveBandwidth(input) ?? 0n;
  // What one host copies at least, as measured.
  const bandwidth = Number(limit === 0n ? switchoverEstimateBytesPerSecond : limit);
  const pauseMs = Number(numberOf(input.source.facts, 'downtime-limit') ?? 300n);
  const fits = bytesInPause(bandwidth, pauseMs);
  const dirty = rate.bytesPerSecond;
  const numbers = `The guest wrote to ${formatBytes(dirty)} in one second; ${limit === 0n ? 'about ' : ''}${formatRate(bandwidth)} are copied, and ${formatBytes(Math.floor(fits))} fit into the pause of ${formatDurationMs(pauseMs)}.`;
  if (dirty <= fits) {
    return {
      ...common,
      level: 'tells',
      what: 'The migration will converge.',
      why: numbers,
      nextStep: 'Nothing.',
    };
  }
  if (dirty < bandwidth / 2) {
    return {
      ...common,
      level: 'tells',
      what: 'The migration will probably converge: each pass leaves less than the one before.',
      why: `${numbers} A guest that writes to the same pages over and over may need a longer pause.`,
      nextStep: 'If it does not end, raise downtime-limit while it goes on.',
    };
  }
  return { ...common, level: 'warns', ...remedy(input, { limit, bandwidth, dirty, numbers }) };
}

/** The next thing to change: the speed, then the guest, then the pause. */
function remedy(
  input: PreflightInput,
  {
    limit,
    bandwidth,
    dirty,
    numbers,
  }: {
    readonly limit: bigint;
    readonly bandwidth: number;
    readonly dirty: number;
    readonly numbers: string;
  },
): Pick<Finding, 'what' | 'why' | 'nextStep' | 'fix'> {
  const { facts } = input.source;
  const what = 'The migration will not converge.';
  const ownLimit = input.request.maxBandwidthBytesPerSecond !== undefined;
  if (limit !== 0n && limit < switchoverEstimateBytesPerSecond && !ownLimit) {
    const fix = quickest(facts);
    return { what, why: numbers, nextStep: `${fix.title}.`, fix };
  }
  const throttles = facts.capabilities.some(({ name }) => name === 'auto-converge');
  if (throttles && !isOn(facts, 'auto-converge')) {
    const fix = {
      title: 'Turn auto-converge on',
      source: switching({ 'auto-converge': true }),
    };
    return { what, why: numbers, nextStep: `${fix.title}: QEMU then slows the guest down.`, fix };
  }
  const neededMs = pauseToAllow(pauseFor(dirty, bandwidth)) ?? longestPauseMs;
  const fix = {
    title: `Set downtime-limit to ${formatDurationMs(neededMs)}`,
    source: setting({ 'downtime-limit': neededMs }),
  };
  return {
    what: throttles ? 'The migration converges only if slowing the guest down helps.' : what,
    why: numbers,
    nextStep: `${fix.title}, if the guest can bear that pause.`,
    fix,
  };
}
