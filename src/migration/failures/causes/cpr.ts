import { byEither, bySource, byTarget, group, type Cause } from '../cause';

const sharedMemory =
  'Start the source with "-object memory-backend-memfd,id=ram0,size=SIZE,share=on" and "-machine memory-backend=ram0,aux-ram-share=on"; it cannot be changed while it runs.';

/** Live update into another process, or in place. */
export const cprCauses: readonly Cause[] = [
  {
    id: 'cpr-memory-not-shared',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /Memory region (\S+) is not compatible with CPR/, from: bySource }],
    what: (told) => `the memory "${group(told, 0, '?')}" of ${told.source} cannot be handed over`,
    meaning: 'A live update keeps the memory where it is, which needs memory that can be shared.',
    nextStep: sharedMemory,
  },
  {
    id: 'cpr-channel-missing',
    side: 'source',
    weight: 'cause',
    texts: [
      { pattern: /missing 'cpr' migration channel/, from: bySource },
      { pattern: /cpr_state_save: assertion failed: \(channel\)/i, from: bySource },
      { pattern: /bad cpr channel address; must be unix/, from: byEither },
    ],
    what: 'there is no channel for the descriptors of the guest',
    meaning:
      "cpr-transfer needs two channels, and that named cpr has to be a UNIX socket of the target's command line.",
    nextStep: 'Give the next target an "-incoming" for the cpr channel too, and name its socket.',
  },
  {
    id: 'exec-not-permitted',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /execvp (.+) failed: Operation not permitted/, from: bySource }],
    what: ({ source }) => `${source} may not start a program`,
    meaning: 'Its sandbox ("-sandbox on,spawn=deny") or the host forbids it.',
    nextStep: 'Move the guest into another process instead (cpr-transfer or a migration).',
  },
  {
    id: 'exec-failed',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /execvp (.+) failed: (.+)/, from: bySource }],
    what: (told) => `${group(told, 0, 'the program')} could not be started`,
    meaning: (told) =>
      `The host said: ${group(told, 1, 'no')}. The path is looked for by the running QEMU, in its own root folder.`,
    nextStep: 'Correct the program in cpr-exec-command.',
  },
  {
    id: 'exec-no-command',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /cpr-exec mode requires setting cpr-exec-command/, from: bySource }],
    what: 'there is no program to become',
    meaning: 'cpr-exec replaces QEMU by the program in cpr-exec-command, and that is empty.',
    nextStep: 'Set cpr-exec-command: the program and all its arguments.',
  },
  {
    id: 'bad-argument',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /'([^']*)' is not a valid device model name/, from: byEither },
      { pattern: /: (-\S+): invalid option/, from: byEither },
      { pattern: /Property '([^']*)' not found/, from: byEither },
      { pattern: /Invalid parameter '([^']*)'/, from: byEither },
    ],
    what: (told) => `the new QEMU does not know "${group(told, 0, 'an argument')}"`,
    meaning:
      'A QEMU with a wrong argument ends at once, and what it was to take over is not taken.',
    nextStep:
      'Try the command line alone, with "-S" and without "-incoming", before the next time.',
  },
  {
    id: 'cpr-saved-memory',
    side: 'target',
    weight: 'kind',
    texts: [{ pattern: /vmstate_load_state error -2/, from: byTarget }],
    what: ({ target }) => `${target} cannot take over the descriptors of the source`,
    meaning:
      'A live update from a newer QEMU to an older one does not work (11.1 to 10.0 for one).',
    nextStep: 'Use the same or a newer QEMU for the next target.',
  },
];
