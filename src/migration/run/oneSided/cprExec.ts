import type { RunContext } from '../runContext';
import type { RunOutcome } from '../types';

/** Replaces a QEMU by another program in the same process (`cpr-exec`); never rejects. */
export function runCprExec(_context: RunContext): Promise<RunOutcome> {
  return Promise.reject(new Error('not built yet'));
}
