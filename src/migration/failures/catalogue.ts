import type { Cause } from './cause';
import { channelCauses } from './causes/channel';
import { consequences } from './causes/consequences';
import { cprCauses } from './causes/cpr';
import { differences } from './causes/differences';
import { fileCauses } from './causes/files';
import { networkCauses } from './causes/network';
import { refusals } from './causes/refusals';

/**
 * The known causes of failures. Of those of one weight that fit, the first counts, so the particular
 * stands before the general.
 */
export const catalogue: readonly Cause[] = [
  ...consequences,
  ...differences,
  ...fileCauses,
  ...cprCauses,
  ...networkCauses,
  ...refusals,
  ...channelCauses,
];

/** For a failure that none of these fits. */
export const unknownCause: Cause = {
  id: 'unknown',
  side: 'unknown',
  weight: 'consequence',
  texts: [],
  what: 'the cause is not known',
  meaning: 'What was said is not among the causes known here; it stands below as it was said.',
  nextStep: 'Look at the logs of both QEMUs, and compare both command lines.',
};
