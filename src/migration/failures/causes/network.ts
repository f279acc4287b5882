import { byEither, byTarget, group, type Cause } from '../cause';

/** Network devices, and back ends that travel with the guest. */
export const networkCauses: readonly Cause[] = [
  {
    id: 'tap-busy',
    side: 'speaker',
    weight: 'cause',
    texts: [
      {
        pattern: /could not configure \/dev\/net\/tun \(([^)]*)\): Device or resource busy/,
        from: byEither,
      },
    ],
    what: (told) => `the TAP "${group(told, 0, '?')}" is in use`,
    meaning:
      'A TAP of one queue serves one QEMU at a time, and the other side still has it; "ifname=" tries to open it anew.',
    nextStep:
      'Hand the TAP over as a descriptor ("fd="), or by backend transfer, on and permitted on both sides.',
  },
  {
    id: 'tap-too-early',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /TAP is already initialized and cannot receive incoming fd/, from: byTarget },
      { pattern: /must be set before creating the TAP device/, from: byTarget },
    ],
    what: ({ target }) => `${target} has opened a TAP of its own already`,
    meaning:
      'The TAP comes with the migration: the parameter has to be on, and the netdev to permit it, before that netdev is made.',
    nextStep:
      "Leave the netdev and its NIC out of the next target's command line; they are added once the parameter is on.",
  },
  {
    id: 'tap-options',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /Local incoming migration of TAP device .* is incompatible with/, from: byEither },
    ],
    what: 'the netdev of the target says where its TAP comes from',
    meaning: 'Its TAP comes with the migration, so ifname, fd, helper and the like have no place.',
    nextStep: 'Add the netdev with empty script= and downscript= and none of those options.',
  },
  {
    id: 'tap-mixed-queues',
    side: 'target',
    weight: 'cause',
    texts: [{ pattern: /Mixed peer states: some peers wait for incoming/, from: byEither }],
    what: 'only some queues of the NIC wait for their TAP',
    meaning: 'All queues of one NIC have to come with the migration, or none.',
    nextStep: 'Set all netdevs of that NIC up alike.',
  },
  {
    id: 'needs-unix-socket',
    side: 'channel',
    weight: 'cause',
    texts: [
      { pattern: /local migration requires a UNIX domain socket channel/, from: byEither },
      { pattern: /Channel does not support file descriptor passing/, from: byEither },
      { pattern: /does not support fd passing/, from: byEither },
    ],
    what: 'the channel cannot carry descriptors',
    meaning: 'Backend transfer hands open devices over, which only a UNIX socket can do.',
    nextStep: 'Choose the descriptor pair or a UNIX socket, or turn backend transfer off.',
  },
  {
    id: 'not-a-tap',
    side: 'speaker',
    weight: 'cause',
    texts: [{ pattern: /Unable to query TUNGETIFF on FD/, from: byEither }],
    what: 'the descriptor for the netdev is not a TAP',
    meaning: 'Another descriptor was handed over than that of the network device.',
    nextStep: 'Start again with another target.',
  },
];
