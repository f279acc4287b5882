import type { Driver } from './entries';

/** The journal of a run could not be begun; so the run was not, either. */
export class JournalUnavailableError extends Error {
  override readonly name = 'JournalUnavailableError';
  /** The file or directory that could not be written. */
  readonly path: string;

  constructor(path: string, cause: unknown) {
    super(`cannot keep its journal at ${path}`, { cause });
    this.path = path;
  }
}

/** Another process, or another run of this one, has the machine in its hands. */
export class MachineDrivenError extends Error {
  override readonly name = 'MachineDrivenError';
  readonly label: string;
  readonly driver: Driver;

  constructor(label: string, driver: Driver) {
    super(`${label} is driven by ${driver.program} (pid ${driver.pid})`);
    this.label = label;
    this.driver = driver;
  }
}

/** A run of this machine was left in the middle, and nobody has found out how it ended. */
export class UnfinishedRunError extends Error {
  override readonly name = 'UnfinishedRunError';
  readonly run: string;
  readonly sourceLabel: string;
  readonly targetLabel: string;

  constructor(run: string, sourceLabel: string, targetLabel: string) {
    super(`run ${run} of ${sourceLabel} to ${targetLabel} is unfinished`);
    this.run = run;
    this.sourceLabel = sourceLabel;
    this.targetLabel = targetLabel;
  }
}

/** There is no such journal, or it is of a run that has ended. */
export class NoSuchRunError extends Error {
  override readonly name = 'NoSuchRunError';
  readonly run: string;
  readonly reason: 'missing' | 'ended' | 'ambiguous';

  constructor(run: string, reason: 'missing' | 'ended' | 'ambiguous') {
    super(`run ${run}: ${reason}`);
    this.run = run;
    this.reason = reason;
  }
}

/** The process that drove the run ended in the middle of it. */
export class RunInterruptedError extends Error {
  override readonly name = 'RunInterruptedError';
  readonly driver: Driver;

  constructor(driver: Driver) {
    super(`${driver.program} (pid ${driver.pid}) ended in the middle of the run`);
    this.driver = driver;
  }
}
