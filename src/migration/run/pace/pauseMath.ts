/**
 * The arithmetic of the last pass, for the forecast before a run and the verdict during it. QEMU
 * stops the guest once what is left can be sent within `downtime-limit` at the rate that it sees.
 */

/** `downtime-limit` takes no more, ms. */
export const longestPauseMs = 2_000_000;

/** What one pass leaves varies from pass to pass; a limit just above one would be missed again. */
const margin = 1.2;

/** How much can be sent while the guest stands still. */
export function bytesInPause(bytesPerSecond: number, pauseMs: number): number {
  return (bytesPerSecond * pauseMs) / 1000;
}

/** How long sending takes, ms; infinite where nothing moves. */
export function pauseFor(bytes: number, bytesPerSecond: number): number {
  return bytesPerSecond > 0 ? (bytes / bytesPerSecond) * 1000 : Infinity;
}

/**
 * The `downtime-limit` to set, ms, where a pause of `neededMs` was seen to be needed: with a margin,
 * rounded up to a figure that can be said; `undefined` where QEMU takes none that long.
 */
export function pauseToAllow(neededMs: number): number | undefined {
  const exact = neededMs * margin;
  if (!(exact <= longestPauseMs)) return undefined;
  const step = exact <= 1000 ? 50 : 10 ** (Math.floor(Math.log10(exact)) - 1);
  return Math.min(longestPauseMs, Math.max(step, Math.ceil(exact / step) * step));
}
