import type { RunContext } from '../runContext';
import type { RunOutcome } from '../types';

/** Restores a saved guest into a waiting QEMU; never rejects. */
export function runRestore(_context: RunContext): Promise<RunOutcome> {
  return Promise.reject(new Error('not built yet'));
}
