import { endWords, type Cause } from '../cause';

const look =
  "Look at its log, and at the kernel's for a process that was killed for want of memory";

function ends(side: 'source' | 'target'): readonly Cause[] {
  const common = { side, weight: 'kind', texts: [] } as const;
  return [
    {
      ...common,
      id: `${side}-killed`,
      ended: { side, how: 'killed' },
      what: (told) => `the QEMU of ${told[side]} ${endWords(told.end ?? {})}`,
      meaning: 'Something outside ended it: a person, a service, or the kernel for want of memory.',
      nextStep: `${look}.`,
    },
    {
      ...common,
      id: `${side}-crashed`,
      ended: { side, how: 'crashed' },
      what: (told) => `the QEMU of ${told[side]} crashed (it ${endWords(told.end ?? {})})`,
      meaning: 'A mistake in QEMU, or a setting that it does not survive.',
      nextStep: 'Keep its log and its core dump for a report, and try another way to migrate.',
    },
    {
      ...common,
      id: `${side}-ended`,
      // A target that refuses the guest ends too: whatever it said tells more.
      weight: 'consequence',
      ended: { side, how: 'ended' },
      what: (told) => `the QEMU of ${told[side]} ${endWords(told.end ?? {})}`,
      meaning: 'It tells why on its standard error, if anywhere.',
      nextStep: `${look}.`,
    },
  ];
}

/** Known by the end of a process: what the other side says then is mere consequence. */
export const sourceEnds = ends('source');
export const targetEnds = ends('target');
