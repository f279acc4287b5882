import { byEither, bySource, byTarget, type Cause } from '../cause';
import { sourceEnds, targetEnds } from './ends';

/** What a side says, or does, because of something that went wrong elsewhere; the most telling first. */
export const consequences: readonly Cause[] = [
  ...sourceEnds,
  {
    id: 'stream-cut',
    side: 'channel',
    weight: 'consequence',
    texts: [
      { pattern: /Read section footer failed/, from: byTarget },
      { pattern: /Section footer error, section_id: (\d+)/, from: byTarget },
      { pattern: /load of migration failed: Input\/output error/, from: byTarget },
      { pattern: /error while loading state section id \d+/, from: byTarget },
      { pattern: /Failed to load \S+ state: stream error/, from: byTarget },
    ],
    what: ({ method }) =>
      method === 'restore'
        ? 'the file ends too early'
        : 'what the target got ends in the middle, or is laid out otherwise than it expects',
    meaning: ({ method }) =>
      method === 'restore'
        ? 'It was not written to its end, or was cut off later.'
        : 'The source closed or ended while it was sending, or the machines differ; the standard error of the target may tell more.',
    nextStep: ({ method }) =>
      method === 'restore'
        ? 'Save the guest anew, to a disk with room enough.'
        : 'Look for the cause at the source, and compare both command lines.',
  },
  {
    id: 'nothing-arrived',
    side: 'channel',
    weight: 'consequence',
    texts: [{ pattern: /Failed to peek at channel/, from: byTarget }],
    what: 'a connection was opened and closed again without a word',
    meaning:
      'The source gave up before it had sent anything, or another program only tried whether somebody listens, which uses the target up.',
    nextStep: 'Look for the cause at the source; let nothing else connect to the target.',
  },
  {
    id: 'target-refused',
    side: 'target',
    weight: 'consequence',
    texts: [{ pattern: /load of migration failed/, from: byTarget }],
    what: ({ target }) => `${target} could not load the guest`,
    meaning: 'Its QEMU says why on its standard error, if anywhere.',
    nextStep: "Look at the log of the target's QEMU, and compare both command lines.",
  },
  ...targetEnds,
  {
    id: 'target-told-failure',
    side: 'target',
    weight: 'consequence',
    texts: [{ pattern: /Sibling indicated error/, from: bySource }],
    what: ({ target }) => `${target} reported that it failed`,
    meaning: 'The source knows no more than that; the cause is at the target.',
    nextStep: "Look at the log of the target's QEMU.",
  },
  {
    id: 'channel-broken',
    side: 'channel',
    weight: 'consequence',
    texts: [
      { pattern: /Unable to (?:write to|read from) \w+: /, from: byEither },
      { pattern: /Channel error: Input\/output error/, from: byEither },
      { pattern: /^(?:\S+: )?Bad file descriptor$/, from: bySource },
    ],
    what: 'the connection between the two sides broke',
    meaning: ({ target }) =>
      `The other end was closed: ${target} refused the guest or ended, or the network failed.`,
    nextStep: "Look at the log of the target's QEMU for the cause.",
  },
];
