import type { JsonObject } from '../../../qmp/json';
import type { VmFacts } from '../../../vm/types';
import { formatDurationMs, formatRate } from '../../settings/units';
import { remediesFor, unavailableRemedies } from './remedies';

/** One look at a running migration; rates in bytes/s, times in ms. */
export interface ConvergenceSample {
  readonly atMs: number;
  readonly pass: number | undefined;
  readonly remainingBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
  readonly dirtyBytesPerSecond: number | undefined;
  readonly expectedDowntimeMs: number | undefined;
}

/** What the source is set to now, as far as it decides whether a migration ends. */
export interface ConvergenceSettings {
  /** `undefined`: not known, and then there is no verdict. */
  readonly downtimeLimitMs: number | undefined;
  /** 0: no limit. */
  readonly maxBandwidthBytesPerSecond: number | undefined;
  /** `avail-switchover-bandwidth`; 0: QEMU's own estimate; `undefined`: this QEMU has none. */
  readonly switchoverBytesPerSecond: number | undefined;
  readonly autoConverge: boolean;
  readonly maxThrottlePercent: number | undefined;
  /** `cpu-throttle-percentage` now; `undefined` while the guest is not slowed. */
  readonly throttlePercent: number | undefined;
  /** `postcopy-ram` is on, at both sides. */
  readonly postcopy: boolean;
}

/** What could be done about a migration that does not come to an end; one click each. */
export interface Remedy {
  readonly id: 'no-bandwidth-limit' | 'longer-pause' | 'slow-the-guest' | 'start-postcopy';
  /** A verb phrase with its figure: `Allow a pause of 600 ms`. */
  readonly title: string;
  /** What it costs, as a sentence. */
  readonly explanation: string;
  /** Parameters of the source to set while it runs; empty for what is a command. */
  readonly parameters: Readonly<Record<string, number>>;
}

export interface ConvergenceVerdict {
  readonly kind: 'converging' | 'not-converging';
  /** With the numbers behind it: `guest writes 300 MB/s, channel moves 250: not converging`. */
  readonly text: string;
  /** Best first. */
  readonly remedies: readonly Remedy[];
  /** What would have helped and cannot be used in this run, as sentences with the reason. */
  readonly unavailable?: readonly string[];
}

/** The settings of a source as it answered last. */
export function convergenceSettings(
  { parameters, capabilities }: VmFacts,
  target: VmFacts | undefined,
  throttlePercent?: number,
): ConvergenceSettings {
  const isOn = (name: string): boolean => has(capabilities, name);
  return {
    downtimeLimitMs: numeric(parameters, 'downtime-limit'),
    maxBandwidthBytesPerSecond: numeric(parameters, 'max-bandwidth'),
    switchoverBytesPerSecond: numeric(parameters, 'avail-switchover-bandwidth'),
    autoConverge: isOn('auto-converge'),
    maxThrottlePercent: numeric(parameters, 'max-cpu-throttle'),
    throttlePercent,
    postcopy: isOn('postcopy-ram') && has(target?.capabilities ?? [], 'postcopy-ram'),
  };
}

function has(capabilities: VmFacts['capabilities'], wanted: string): boolean {
  return capabilities.some(({ name, enabled }) => name === wanted && enabled);
}

function numeric(parameters: JsonObject, name: string): number | undefined {
  const value = parameters[name];
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
}

type Kind = ConvergenceVerdict['kind'];

/** How long evidence has to last before a first verdict, ms. */
const firstAfterMs = { converging: 400, 'not-converging': 1000 } as const;
/** And before it overturns a verdict. */
const overturnAfterMs = 2000;
/** A guest that writes less than this part of what the channel moves leaves less with each pass. */
const shrinking = 0.75;
/** A pass that leaves less than this part of the least before is a step towards the end. */
const progress = 0.9;
/** Once it was found to converge, figures may be that much worse before it is doubted. */
const slack = 1.1;
const mostPasses = 12;
const samplesKept = 4;

/**
 * Watches whether a pre-copy comes to an end. QEMU stops the guest as soon as what the last pass left
 * takes no longer than `downtime-limit` to send; `expected-downtime` is that time. What the guest
 * wrote in a pass depends on how long the pass took: a guest that rewrites the same memory over and
 * over shows a rate near the channel's, whatever it could write, so the passes are compared as well.
 */
export class Convergence {
  private sample: ConvergenceSample | undefined;
  /** The pause needed after each of the last passes, ms; the present pass last. */
  private needs: { pass: number; ms: number }[] = [];
  private settled: Kind | undefined;
  private candidate: { kind: Kind; sinceMs: number } | undefined;
  private settingsKey = '';

  /** To be told each answer of the source while the guest runs there. */
  add(sample: ConvergenceSample): void {
    this.sample = sample;
    const { pass } = sample;
    const ms = expectedPauseMs(sample);
    if (pass === undefined || pass < 2 || ms === undefined) return;
    const last = this.needs.at(-1);
    // The last word of a pass counts: QEMU works it out anew some time after the pass began.
    if (last?.pass === pass) last.ms = ms;
    else this.needs = [...this.needs, { pass, ms }].slice(-samplesKept);
  }

  /** By the last sample; `undefined` while it is too early, and where QEMU does not tell enough. */
  verdict(settings: ConvergenceSettings): ConvergenceVerdict | undefined {
    const { sample } = this;
    if (sample === undefined) return undefined;
    const { downtimeLimitMs, maxBandwidthBytesPerSecond, switchoverBytesPerSecond } = settings;
    const key = `${downtimeLimitMs} ${maxBandwidthBytesPerSecond} ${switchoverBytesPerSecond}`;
    if (key !== this.settingsKey) {
      // Under other conditions nothing of what was found holds.
      this.settingsKey = key;
      this.settled = undefined;
      this.candidate = undefined;
    }
    this.weigh(this.evidence(sample, settings), sample.atMs);
    if (this.settled === undefined || downtimeLimitMs === undefined) return undefined;
    const facts = { sample, settings, neededMs: this.neededMs() };
    return this.settled === 'converging'
      ? { kind: 'converging', text: this.hopefulText(sample, downtimeLimitMs), remedies: [] }
      : {
          kind: 'not-converging',
          text: sadText(sample, settings),
          remedies: remediesFor(facts),
          unavailable: unavailableRemedies(settings),
        };
  }

  /** One verdict gives way to another only when that has lasted a while. */
  private weigh(kind: Kind | undefined, atMs: number): void {
    if (kind === undefined || kind === this.settled) {
      this.candidate = undefined;
      return;
    }
    if (this.candidate?.kind !== kind) this.candidate = { kind, sinceMs: atMs };
    const wait = this.settled === undefined ? firstAfterMs[kind] : overturnAfterMs;
    if (atMs - this.candidate.sinceMs < wait) return;
    this.settled = kind;
    this.candidate = undefined;
  }

  private evidence(sample: ConvergenceSample, settings: ConvergenceSettings): Kind | undefined {
    const { downtimeLimitMs } = settings;
    const needMs = expectedPauseMs(sample);
    // The first pass copies what is there, and shows nothing of what the guest writes.
    if (sample.pass === undefined || sample.pass < 2) return undefined;
    if (needMs === undefined || downtimeLimitMs === undefined) return undefined;
    const share = writtenShare(sample);
    // Before it has measured anything, QEMU gives the limit itself for the pause.
    if (needMs === downtimeLimitMs && (share ?? 0) === 0) return undefined;
    const tolerance = this.settled === 'converging' ? slack : 1;
    if (needMs <= downtimeLimitMs * tolerance) return 'converging';
    const before = this.needs.slice(0, -1).map(({ ms }) => ms);
    const getsLess = before.length === 0 || needMs < Math.min(...before) * progress;
    if (share === undefined || share === 0) {
      // Passes too short for QEMU to measure what was written.
      return before.length < 2 ? undefined : getsLess ? 'converging' : 'not-converging';
    }
    if (!getsLess || share >= shrinking * tolerance) return 'not-converging';
    return passesLeft(needMs, downtimeLimitMs, share) <= mostPasses
      ? 'converging'
      : 'not-converging';
  }

  /** The longest pause that any of the last passes would have needed, ms. */
  private neededMs(): number | undefined {
    return this.needs.length === 0 ? undefined : Math.max(...this.needs.map(({ ms }) => ms));
  }

  private hopefulText(sample: ConvergenceSample, limitMs: number): string {
    const needMs = expectedPauseMs(sample);
    if (needMs === undefined || needMs > limitMs) {
      return `${ratesText(sample)}each pass leaves less, will converge`;
    }
    return `pause expected ${pauseText(needMs, limitMs)}: will converge`;
  }
}

/** `40 ms of 300 ms allowed`. */
export function pauseText(expectedMs: number, limitMs: number): string {
  return `${formatDurationMs(expectedMs)} of ${formatDurationMs(limitMs)} allowed`;
}

function ratesText({ dirtyBytesPerSecond, bytesPerSecond }: ConvergenceSample): string {
  if (dirtyBytesPerSecond === undefined || dirtyBytesPerSecond === 0) return '';
  if (bytesPerSecond === undefined) return '';
  return `guest writes ${formatRate(dirtyBytesPerSecond)}, channel moves ${formatRate(bytesPerSecond)}: `;
}

function sadText(sample: ConvergenceSample, settings: ConvergenceSettings): string {
  const { throttlePercent, downtimeLimitMs = 0 } = settings;
  const slowed =
    throttlePercent === undefined || throttlePercent === 0
      ? ''
      : `, though slowed by ${throttlePercent} %`;
  const needMs = expectedPauseMs(sample);
  const share = writtenShare(sample) ?? 0;
  // Where the guest writes less than is moved, the pause is what the trouble is.
  const pause =
    needMs !== undefined && needMs > downtimeLimitMs && share < 1
      ? `pause expected ${pauseText(needMs, downtimeLimitMs)}: `
      : '';
  const rates = ratesText(sample);
  const numbers = rates !== '' && pause !== '' ? `${rates.slice(0, -2)}, ${pause}` : rates + pause;
  return `${numbers}not converging${slowed}`;
}

/** What the guest writes, as a part of what the channel moves. */
function writtenShare({
  dirtyBytesPerSecond,
  bytesPerSecond,
}: ConvergenceSample): number | undefined {
  if (dirtyBytesPerSecond === undefined || bytesPerSecond === undefined) return undefined;
  return bytesPerSecond > 0 ? dirtyBytesPerSecond / bytesPerSecond : undefined;
}

/** Passes until the pause fits, each leaving that share of the one before. */
function passesLeft(needMs: number, limitMs: number, share: number): number {
  if (limitMs <= 0) return Infinity;
  return Math.ceil(Math.log(limitMs / needMs) / Math.log(share));
}

/** The pause that would be needed now, ms: QEMU's figure, else what is left at the rate seen. */
function expectedPauseMs(sample: ConvergenceSample): number | undefined {
  const { expectedDowntimeMs, remainingBytes, bytesPerSecond } = sample;
  if (expectedDowntimeMs !== undefined) return expectedDowntimeMs;
  if (remainingBytes === undefined || bytesPerSecond === undefined) return undefined;
  return bytesPerSecond > 0 ? (remainingBytes / bytesPerSecond) * 1000 : undefined;
}
