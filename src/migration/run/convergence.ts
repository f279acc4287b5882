/** One look at a running migration; rates in bytes/s, times in ms. */
export interface ConvergenceSample {
  readonly atMs: number;
  readonly pass: number | undefined;
  readonly remainingBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
  readonly dirtyBytesPerSecond: number | undefined;
  readonly expectedDowntimeMs: number | undefined;
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
}
