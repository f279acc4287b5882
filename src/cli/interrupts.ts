/** The part of `process` that tells of signals. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/**
 * SIGINT and SIGTERM, counted, for as long as a run lasts. SIGHUP is heard and does nothing: when the
 * terminal goes away the run is still watched to its end, and what was changed for it is put back.
 */
export class Interrupts {
  private count = 0;
  private readonly source: SignalSource;
  private readonly onInterrupt: (count: number) => void;
  private readonly hear = (): void => {
    this.count += 1;
    this.onInterrupt(this.count);
  };
  private readonly ignore = (): void => undefined;

  constructor(source: SignalSource, onInterrupt: (count: number) => void) {
    this.source = source;
    this.onInterrupt = onInterrupt;
    source.on('SIGINT', this.hear);
    source.on('SIGTERM', this.hear);
    source.on('SIGHUP', this.ignore);
  }

  dispose(): void {
    this.source.off('SIGINT', this.hear);
    this.source.off('SIGTERM', this.hear);
    this.source.off('SIGHUP', this.ignore);
  }
}
