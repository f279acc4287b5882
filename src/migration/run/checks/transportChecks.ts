import type { MachineSnapshot } from '../../../vm/types';
import { isOneSided, methodOf } from '../../methods/names';
import { transportsOf } from '../../methods/offers';
import { readTcpAddress } from '../../methods/tcpAddress';
import type { MethodFacts } from './methodFacts';
import type { Obstacle } from './obstacle';
import { isOn } from './projected';
import type { MigrationRequest } from '../types';

/**
 * What the way of the bytes does not carry. Both machines as they will be when the run begins; the
 * target of a cpr-transfer has no facts yet.
 */
export function transportObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  if (isOneSided(methodOf(request))) return [];
  const sides = [source.facts, target.facts];
  if (sides.some((side) => isOn(side, 'mapped-ram'))) {
    return [
      {
        id: 'mapped-ram',
        side: 'both',
        reason: 'mapped-ram is on; it needs a file, not a connection.',
        nextStep: 'Turn mapped-ram off on both sides.',
      },
    ];
  }
  const tls = tlsObstacle(source, target);
  switch (request.transport) {
    case 'fd':
      return [...cprOverFd(request), ...manyOverFd(source, target), ...tls];
    case 'unix':
      return [...unixPathObstacles(source, target), ...zeroCopyObstacle(source), ...tls];
    case 'tcp':
      return [...tcpObstacles(request, source, target, facts), ...tls];
  }
}

function cprOverFd(request: MigrationRequest): readonly Obstacle[] {
  return methodOf(request) === 'cpr-transfer'
    ? [
        {
          id: 'cpr-main-fd',
          side: 'source',
          reason: 'A cpr-transfer over a descriptor ends the QEMU of the source.',
          nextStep: 'Choose the UNIX socket transport.',
        },
      ]
    : [];
}

/** They open connections of their own. */
const manyConnections = ['multifd', 'postcopy-preempt'] as const;

function manyOverFd(source: MachineSnapshot, target: MachineSnapshot): readonly Obstacle[] {
  return manyConnections
    .filter((name) => isOn(source.facts, name) || isOn(target.facts, name))
    .map((name) => ({
      id: 'multifd-over-fd',
      side: 'both',
      subject: name,
      reason: `${name} is on; it needs several connections, and a descriptor pair is one.`,
      nextStep: `Choose the UNIX socket transport, or turn ${name} off on both sides.`,
    }));
}

function unixPathObstacles(source: MachineSnapshot, target: MachineSnapshot): readonly Obstacle[] {
  const ours = process.getuid?.() ?? -1;
  const owners = [source.process?.uid, target.process?.uid].filter((uid) => uid !== undefined);
  const nextStep = 'Choose the descriptor pair as the transport: it needs no path.';
  if (new Set(owners).size > 1 || (ours !== 0 && owners.some((uid) => uid !== ours))) {
    return [
      {
        id: 'unix-path-users',
        side: 'both',
        reason: 'The QEMUs run as other users, who cannot enter a private folder of yours.',
        nextStep,
      },
    ];
  }
  const foreign = [source, target].find(({ process: qemu }) => (qemu?.root ?? '/') !== '/');
  return foreign === undefined
    ? []
    : [
        {
          id: 'unix-path-root',
          side: foreign.id === source.id ? 'source' : 'target',
          reason: `${foreign.label} runs in a root directory of its own.`,
          nextStep,
        },
      ];
}

function zeroCopyObstacle({ label, facts }: MachineSnapshot): readonly Obstacle[] {
  return isOn(facts, 'zero-copy-send')
    ? [
        {
          id: 'zero-copy-unix',
          side: 'source',
          reason: `zero-copy-send is on at ${label}, and UNIX sockets do not send without copying.`,
          nextStep: 'Turn zero-copy-send off, or migrate over TCP.',
        },
      ]
    : [];
}

function hasTls({ facts }: MachineSnapshot): boolean {
  const id = facts?.parameters['tls-creds'];
  return typeof id === 'string' && id !== '';
}

/** One side would wait for a greeting that the other does not send. */
function tlsObstacle(source: MachineSnapshot, target: MachineSnapshot): readonly Obstacle[] {
  if (target.facts === undefined || hasTls(source) === hasTls(target)) return [];
  return [
    {
      id: 'tls-one-side',
      side: hasTls(source) ? 'target' : 'source',
      reason: `TLS is on at ${hasTls(source) ? source.label : target.label} only.`,
      nextStep: 'Set tls-creds on both sides, or clear it on both.',
    },
  ];
}

function tcpObstacles(
  { options }: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  const { tcp, plainTcpConsent } = options ?? {};
  if (tcp === undefined) return [];
  const found: Obstacle[] = [];
  const address = readTcpAddress(tcp.listen);
  if (address === undefined) {
    found.push({
      id: 'tcp-address',
      side: 'target',
      subject: tcp.listen,
      reason: `"${tcp.listen}" is no address to listen at.`,
      nextStep: 'Give HOST:PORT, such as 127.0.0.1:0, or [::1]:4444; port 0 takes a free one.',
    });
  }
  // Those without a list of channels do not say at which port they came to listen.
  const tells = target.facts === undefined || transportsOf(target.facts.schema).length > 0;
  if (address?.port === 0 && !tells) {
    found.push({
      id: 'tcp-address',
      side: 'target',
      subject: tcp.listen,
      reason: `The QEMU of ${target.label} does not tell at which port it listens.`,
      nextStep: 'Give the number of a port that is free.',
    });
  }
  if (tcp.host !== undefined && readTcpAddress(`${bracketed(tcp.host)}:1`) === undefined) {
    found.push({
      id: 'tcp-address',
      side: 'source',
      subject: tcp.host,
      reason: `"${tcp.host}" is no host to connect to.`,
      nextStep: 'Give the name or the address of the host alone.',
    });
  }
  if (!(hasTls(source) && hasTls(target)) && plainTcpConsent !== true) {
    found.push({
      id: 'tcp-consent',
      side: 'both',
      reason:
        'The memory of the guest would go over TCP without encryption, and whoever reaches the port first could give the target another guest.',
      nextStep:
        'Set tls-creds on both sides, choose another transport, or agree to it for this run.',
    });
  }
  if (facts?.portTaken === true && address !== undefined) {
    found.push({
      id: 'tcp-port-taken',
      side: 'target',
      subject: String(address.port),
      reason: `Somebody listens at ${tcp.listen} already.`,
      nextStep: 'Choose another port, or 0 for one that is free.',
    });
  }
  return found;
}

function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}
