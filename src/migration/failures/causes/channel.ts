import { byEither, bySource, byTarget, group, type Cause } from '../cause';

/** The connection between the two sides, and how it is made safe. */
export const channelCauses: readonly Cause[] = [
  {
    id: 'tls-credentials',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /No TLS credentials with id '([^']*)'/, from: byEither },
      { pattern: /Object with id '([^']*)' is not TLS credentials/, from: byEither },
      { pattern: /Expected TLS credentials for a (\S+) endpoint/, from: byEither },
    ],
    what: ({ speaker }) => `${speaker} has no TLS credentials that serve`,
    meaning: (told) =>
      `tls-creds names "${group(told, 0, '?')}", and there is no such object for it.`,
    nextStep: ({ speaker }) =>
      `Add a "tls-creds-x509" or "tls-creds-psk" object with that id to ${speaker}, or clear tls-creds.`,
  },
  {
    id: 'tls-handshake',
    side: 'channel',
    weight: 'cause',
    texts: [
      { pattern: /TLS handshake failed/, from: byEither },
      { pattern: /Certificate \S+ purpose does not allow use with a TLS/, from: byEither },
      { pattern: /TLS x509 authz check for .* is denied/, from: byEither },
    ],
    what: 'the two sides could not agree on TLS',
    meaning:
      'One side has TLS off, or does not trust the certificate or the host name of the other.',
    nextStep: 'Check tls-creds, tls-hostname and tls-authz on both sides.',
  },
  {
    id: 'no-socket',
    side: 'channel',
    weight: 'kind',
    texts: [
      { pattern: /Failed to connect to '([^']*)': No such file or directory/, from: bySource },
    ],
    what: (told) => `there is no socket at ${group(told, 0, 'the given path')}`,
    meaning: ({ target }) =>
      `${target} does not listen there: it was not told to, it took another path, it sees other folders, or it has ended.`,
    nextStep:
      'Look whether the target waits, and at which path; every attempt needs a fresh target.',
  },
  {
    id: 'connection-refused',
    side: 'channel',
    weight: 'kind',
    texts: [{ pattern: /Failed to connect to '([^']*)': Connection refused/, from: bySource }],
    what: (told) => `nobody listens at ${group(told, 0, 'the given address')}`,
    meaning: ({ target }) =>
      `${target} has ended or does not listen there yet; over TCP a firewall may refuse as well.`,
    nextStep: 'Look whether the target waits, and at which address.',
  },
  {
    id: 'connect-permission',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /Failed to connect to '([^']*)': Permission denied/, from: bySource }],
    what: (told) => `${told.source} may not open ${group(told, 0, 'the socket')}`,
    meaning: 'The two QEMUs run as other users, or a sandbox keeps the source from that folder.',
    nextStep: 'Choose the descriptor pair as the transport: it needs no path.',
  },
  {
    id: 'host-unknown',
    side: 'source',
    weight: 'cause',
    texts: [{ pattern: /address resolution failed for ([^ ]+): (.*)/, from: byEither }],
    what: (told) => `the name ${group(told, 0, 'of the host')} is not known to ${told.speaker}`,
    meaning: 'The name could not be turned into an address.',
    nextStep: 'Give a name that both hosts know, or the address itself.',
  },
  {
    id: 'unreachable',
    side: 'channel',
    weight: 'kind',
    texts: [
      {
        pattern: /Failed to connect to '([^']*)': (?:No route|Network is|Host is|Connection timed)/,
        from: bySource,
      },
    ],
    what: (told) => `${group(told, 0, 'the address')} cannot be reached from ${told.source}`,
    meaning: 'The network has no way there, or a firewall swallows the packets.',
    nextStep: 'Check the address, the route and the firewall.',
  },
  {
    id: 'cannot-listen',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /Failed to bind socket(?: to ([^:]+))?: /, from: byTarget },
      { pattern: /UNIX socket path '([^']*)' is too long/, from: byEither },
    ],
    what: (told) => `${told.speaker} cannot use the address ${group(told, 0, 'that it was given')}`,
    meaning: 'The folder is missing or closed to it, the port is taken, or the path is too long.',
    nextStep: 'Choose another path or port; a socket path has at most 107 bytes.',
  },
  {
    id: 'multifd-needs-socket',
    side: 'speaker',
    weight: 'cause',
    texts: [{ pattern: /Migration requires multi-channel URIs/, from: byEither }],
    what: 'multifd is on, and the channel can only be one connection',
    meaning: 'multifd opens several connections; a descriptor pair is one.',
    nextStep: 'Choose a UNIX socket or TCP as the transport, or turn multifd off on both sides.',
  },
  {
    id: 'zero-copy',
    side: 'source',
    weight: 'cause',
    texts: [
      { pattern: /Zero copy send feature not detected in host kernel/, from: bySource },
      { pattern: /Requested Zero Copy feature is not available/, from: bySource },
    ],
    what: 'zero-copy-send is on, and this channel cannot do it',
    meaning:
      'Only TCP can send without copying, with a kernel that knows it; a UNIX socket cannot.',
    nextStep: 'Turn zero-copy-send off, or choose TCP.',
  },
  {
    id: 'postcopy-not-possible',
    side: 'speaker',
    weight: 'cause',
    texts: [
      { pattern: /Userfaultfd not available/i, from: byEither },
      { pattern: /Postcopy is not supported/, from: byEither },
    ],
    what: ({ speaker }) => `${speaker} may not do postcopy on this host`,
    meaning:
      'Postcopy handles page faults by userfaultfd, which the kernel allows to root only here, or not at all.',
    nextStep:
      'Set the sysctl vm.unprivileged_userfaultfd to 1 on the host of the target, or migrate by pre-copy.',
  },
  {
    id: 'descriptor-gone',
    side: 'speaker',
    weight: 'cause',
    texts: [{ pattern: /File descriptor named '([^']*)' has not been found/, from: byEither }],
    what: (told) => `${told.speaker} does not have the descriptor "${group(told, 0, '?')}"`,
    meaning: 'It belongs to another monitor, was used up already, or never arrived.',
    nextStep: 'Start again: each attempt hands over a pair of its own.',
  },
  {
    id: 'descriptor-is-file',
    side: 'speaker',
    weight: 'cause',
    texts: [{ pattern: /fd: migration to a file is not supported/, from: byEither }],
    what: 'the descriptor is a file, not a connection',
    meaning: 'Newer QEMUs take "fd:" for connections only.',
    nextStep: 'Save to the file by its path.',
  },
  {
    id: 'not-a-migration',
    side: 'channel',
    weight: 'kind',
    texts: [
      { pattern: /Not a migration stream/, from: byTarget },
      { pattern: /unknown channel magic/, from: byTarget },
      { pattern: /Unsupported migration stream version/, from: byTarget },
    ],
    what: ({ method }) =>
      method === 'restore' ? 'the file is not a saved guest' : 'what arrived is not a migration',
    meaning: ({ method, target }) =>
      method === 'restore'
        ? 'The file is empty, was written by another program, or its guest begins at another offset.'
        : `Another program spoke to ${target}, or the source closed before it had sent anything.`,
    nextStep: ({ method }) =>
      method === 'restore'
        ? 'Choose the file that "save" has written, with mapped-ram as it was then.'
        : 'Let nothing but the source connect to the target (no health check, no port scan).',
  },
  {
    id: 'cancelled',
    side: 'channel',
    weight: 'cause',
    texts: [{ pattern: /Switchover is interrupted/, from: bySource }],
    what: 'it was cancelled',
    meaning:
      'The channel was cut on purpose, and both sides complain about that; nothing is broken.',
    nextStep: 'Start it again when you like, with another target.',
  },
];
