import { byEither, bySource, group, type Cause, type Place } from '../cause';

const fileFailed = (why: string): { pattern: RegExp; from: readonly Place[] }[] => [
  { pattern: new RegExp(`Could not (?:create|open) '([^']*)': ${why}`), from: byEither },
];

/** Saving to a file and restoring from it. */
export const fileCauses: readonly Cause[] = [
  {
    id: 'file-not-found',
    side: 'speaker',
    weight: 'cause',
    texts: fileFailed('No such file or directory'),
    what: (told) => `${group(told, 0, 'the file')} is not there for ${told.speaker}`,
    meaning: 'The file or its folder does not exist, or QEMU sees other folders than you do.',
    nextStep: 'Give a path that QEMU sees, or let the open file be handed over.',
  },
  {
    id: 'file-permission',
    side: 'speaker',
    weight: 'cause',
    texts: fileFailed('(?:Permission denied|Operation not permitted|Read-only file system)'),
    what: (told) => `${told.speaker} may not open ${group(told, 0, 'the file')}`,
    meaning: "QEMU's user has no right to the file or its folder, or a sandbox forbids it.",
    nextStep: 'Choose another folder, or let the open file be handed over.',
  },
  {
    id: 'file-is-folder',
    side: 'speaker',
    weight: 'cause',
    texts: fileFailed('Is a directory'),
    what: (told) => `${group(told, 0, 'the path')} is a folder`,
    meaning: 'A guest is saved to one file.',
    nextStep: 'Give the name of a file in it.',
  },
  {
    id: 'no-space',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /No space left on device/, from: byEither },
      { pattern: /Disk quota exceeded/, from: byEither },
      { pattern: /File too large/, from: byEither },
    ],
    what: 'there is no room for the file',
    meaning: 'The disk is full or a quota is used up; what was written is not a whole guest.',
    nextStep: 'Free as much as the guest has memory, or choose another disk; delete the torso.',
  },
  {
    id: 'file-not-written',
    side: 'source',
    weight: 'kind',
    texts: [
      { pattern: /ram_save_setup failed: Input\/output error/, from: bySource },
      { pattern: /Unable to write to file: /, from: bySource },
      { pattern: /Unable to write to command: /, from: bySource },
    ],
    what: ({ source }) => `what ${source} wrote was not taken`,
    meaning: 'Most often the disk is full: QEMU does not tell more than that writing failed.',
    nextStep: 'Look at the room on that disk, and delete the torso.',
  },
  {
    id: 'file-not-regular',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /failed to truncate migration file/i, from: byEither }],
    what: 'the path is not a file that can be written anew',
    meaning: 'QEMU empties the file first; a device or a pipe cannot be emptied.',
    nextStep: 'Give the path of a regular file.',
  },
  {
    id: 'descriptor-access',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /Failed to find file descriptor with matching flags=(\S+)/, from: byEither },
    ],
    what: ({ speaker }) => `the open file that ${speaker} was handed is open for something else`,
    meaning: 'Saving needs a descriptor open for writing only, restoring one for reading only.',
    nextStep: 'Let the file be handed over anew.',
  },
  {
    id: 'needs-file',
    side: 'speaker',
    weight: 'cause',
    texts: [{ pattern: /Migration requires seekable transport/, from: byEither }],
    what: 'mapped-ram is on, and the channel is not a file',
    meaning: 'With mapped-ram each page has its place, which only a file can give it.',
    nextStep: 'Turn mapped-ram off on both sides, or save to a file.',
  },
  {
    id: 'needs-stream',
    side: 'speaker',
    weight: 'cause',
    texts: [{ pattern: /Migration requires streamable transport/, from: byEither }],
    what: 'the mode needs a connection, and the channel is a file',
    meaning: 'This mode hands a guest from one process to another.',
    nextStep: 'Choose a UNIX socket as the main channel.',
  },
  {
    id: 'protocol-unknown',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /unknown migration protocol: (\S+)/, from: byEither },
      { pattern: /Parameter 'uri' expects a valid migration protocol/, from: byEither },
    ],
    what: ({ speaker }) => `the QEMU of ${speaker} does not know this kind of channel`,
    meaning: 'QEMU 7.2, for one, has no "file:".',
    nextStep: 'Choose another way, or a newer QEMU.',
  },
  {
    id: 'image-locked',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /Is another process using the image \[([^\]]*)\]/, from: byEither },
      { pattern: /Failed to get "[^"]*" lock/, from: byEither },
    ],
    what: (told) => `another QEMU holds ${group(told, 0, 'a disk image')}`,
    meaning:
      'A writable image belongs to one QEMU at a time; the lock goes over with the guest, or when its owner quits.',
    nextStep: 'Quit the QEMU that holds the image, once it is proven not to run the guest.',
  },
];
