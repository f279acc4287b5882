import type { RunContext } from '../runContext';
import type { RunOutcome } from '../types';

/** Saves the guest to a file (`save`, `cpr-reboot`); never rejects. */
export function runSave(_context: RunContext): Promise<RunOutcome> {
  return Promise.reject(new Error('not built yet'));
}
