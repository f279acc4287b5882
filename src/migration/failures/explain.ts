import type { FailureEvidence, FailureExplanation } from './types';

/** Joins what both sides left into one explanation; pure. */
export function explainFailure(_evidence: FailureEvidence): FailureExplanation | undefined {
  return undefined;
}
