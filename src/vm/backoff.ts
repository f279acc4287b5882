const firstMs = 250;
const longestMs = 3000;
const factor = 1.6;
/** Spreads machines that were lost together, such as by a host's stop. */
const jitter = 0.2;

/** Growing pauses between attempts to connect: 250 ms up to 3 s. */
export class Backoff {
  private attempts = 0;

  /** Milliseconds to wait before the next attempt. */
  nextMs(): number {
    const base = Math.min(longestMs, firstMs * factor ** this.attempts);
    this.attempts += 1;
    return base * (1 + jitter * (Math.random() - 0.5));
  }

  /** After a success: the next loss starts with the shortest pause again. */
  reset(): void {
    this.attempts = 0;
  }
}
