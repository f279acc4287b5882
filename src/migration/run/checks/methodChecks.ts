import path from 'node:path';
import type { MachineSnapshot, QemuProcess } from '../../../vm/types';
import { isSameProcess } from '../../../vm/process';
import { isOneSided, methodOf } from '../../methods/names';
import { cprSocketOf } from './cprSocket';
import { execObstacles } from './execChecks';
import { restoreObstacles, saveObstacles } from './fileChecks';
import type { Inventories } from './inventoryChecks';
import { cprMemoryObstacles, sharedMemoryObstacles } from './memoryChecks';
import type { MethodFacts } from './methodFacts';
import type { Obstacle } from './obstacle';
import { isOn } from './projected';
import type { MigrationRequest } from '../types';

export { readMethodFacts, type MethodFacts } from './methodFacts';

/**
 * What forbids this method with these machines, given as they will be when the run begins. Pure;
 * without `inventories` or `facts` their part is left out.
 */
export function methodObstacles(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories: Inventories | undefined,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  const method = methodOf(request);
  const read = inventories !== undefined && facts !== undefined;
  const shared =
    read &&
    !isOneSided(method) &&
    method !== 'cpr-transfer' &&
    (isOn(source.facts, 'x-ignore-shared') || isOn(target.facts, 'x-ignore-shared'))
      ? sharedMemory(request, source, target, inventories, facts)
      : [];
  switch (method) {
    case 'precopy':
    case 'shared-ram':
      return shared;
    case 'postcopy':
      return [...shared, ...faultObstacle(target, facts)];
    case 'cpr-transfer':
      return [
        ...(read ? cprMemoryObstacles(source, inventories.source, facts) : []),
        ...cprSocketObstacles(request, source, facts),
      ];
    case 'cpr-exec':
      return read
        ? [
            ...cprMemoryObstacles(source, inventories.source, facts),
            ...execObstacles(request, source, facts),
          ]
        : [];
    case 'cpr-reboot':
    case 'save':
      return saveObstacles(request, source, inventories, facts);
    case 'restore':
      return restoreObstacles(request, target, inventories, facts);
  }
}

/** Memory that is nobody else's is copied all the same, if the method is to copy. */
function sharedMemory(
  request: MigrationRequest,
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories: Inventories,
  facts: MethodFacts,
): readonly Obstacle[] {
  const found = sharedMemoryObstacles(source, target, inventories, facts);
  const bothOwn = found.filter(({ id }) => id === 'memory-not-shared').length === 2;
  return bothOwn && methodOf(request) !== 'shared-ram' ? [] : found;
}

function faultObstacle(
  { label }: MachineSnapshot,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  if (facts?.userfaultfd !== false) return [];
  return [
    {
      id: 'userfaultfd',
      side: 'target',
      reason: `${label} may not handle page faults of its own, as postcopy does: on this host only root may.`,
      nextStep:
        'Set "sysctl vm.unprivileged_userfaultfd=1", or give the user of QEMU access to /dev/userfaultfd.',
    },
  ];
}

/** Judged by the file and `/proc` alone: who connects there freezes the QEMU that waits. */
function cprSocketObstacles(
  { options }: MigrationRequest,
  source: MachineSnapshot,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  const socket = options?.cprSocket;
  if (socket === undefined) return [];
  const bad = (reason: string, nextStep: string): readonly Obstacle[] => [
    { id: 'cpr-socket', side: 'target', subject: socket, reason, nextStep },
  ];
  const startIt = 'Start the target with that path in the CPR channel of its "-incoming".';
  if (!path.isAbsolute(socket) || Buffer.byteLength(socket) > 107) {
    return bad(`"${socket}" is no absolute path that a socket can have.`, 'Correct the path.');
  }
  const { cprSocket: found } = facts ?? {};
  if (found === undefined) return [];
  if (found.kind === 'missing') return bad(`There is no socket ${socket}.`, startIt);
  if (found.kind === 'not-a-socket') return bad(`${socket} is no socket.`, 'Correct the path.');
  const { holder } = found;
  if (holder === undefined) {
    const reason = `Nobody is seen to listen at ${socket}: it is a leftover, or the QEMU of another user.`;
    return bad(reason, startIt);
  }
  const problem = holderProblem(holder, source.process, socket);
  return problem === undefined
    ? []
    : [
        {
          id: 'cpr-socket-holder',
          side: 'target',
          subject: socket,
          reason: problem,
          nextStep: 'Give the socket of a QEMU that was started to take this guest.',
        },
      ];
}

function holderProblem(
  holder: QemuProcess,
  source: QemuProcess | undefined,
  socket: string,
): string | undefined {
  if (source !== undefined && isSameProcess(holder, source)) {
    return `${socket} belongs to the source itself.`;
  }
  const program = path.basename(holder.executable ?? holder.args[0] ?? '');
  const listens = cprSocketOf(holder.args);
  if (listens === undefined && !/qemu/.test(program)) {
    return `${socket} belongs to ${program || 'a program'} (pid ${holder.pid}), which is no QEMU.`;
  }
  if (listens === undefined) {
    return `The QEMU at ${socket} (pid ${holder.pid}) was not started to wait for a CPR channel.`;
  }
  return undefined;
}
