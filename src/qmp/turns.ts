/** First come, first served: one holder at a time. */
export class Turns {
  private last: Promise<void> = Promise.resolve();

  /** Waits for one's turn. Whoever gets it must call the function that it resolves with, once. */
  async take(): Promise<() => void> {
    const before = this.last;
    let end: () => void = () => undefined;
    this.last = new Promise((resolve) => (end = resolve));
    await before;
    return end;
  }
}
