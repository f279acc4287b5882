import { methodOf } from '../methods/names';
import type { MethodFacts } from '../run/checks/methodFacts';
import type { MigrationRequest } from '../run/types';
import { formatBytes } from '../settings/units';
import { mainMemoryOf } from './memory';
import type { Finding, PreflightSide } from './types';

/** What is good to know of a method and of the way it goes, beyond what forbids a run. */
export function methodFindings(
  request: MigrationRequest,
  source: PreflightSide,
  facts: MethodFacts,
): readonly Finding[] {
  switch (methodOf(request)) {
    case 'precopy':
    case 'restore':
      return plainTcp(request, source);
    case 'postcopy':
      return [...plainTcp(request, source), postcopyRisk];
    case 'shared-ram':
      return [...plainTcp(request, source), twoOwners];
    case 'cpr-transfer':
      return [...plainTcp(request, source), ...otherProgram(source, facts), twoOwners];
    case 'cpr-exec':
      return [noWayBack, ...startsPaused(request, source)];
    case 'cpr-reboot':
      return [...longPause(request, source), ...fileSize(request, facts)];
    case 'save':
      return fileSize(request, facts);
  }
}

function plainTcp(
  { transport, options }: MigrationRequest,
  { facts }: PreflightSide,
): readonly Finding[] {
  const creds = facts.parameters['tls-creds'];
  if (transport !== 'tcp' || options?.plainTcpConsent !== true) return [];
  if (typeof creds === 'string' && creds !== '') return [];
  return [
    {
      id: 'tcp-plain',
      level: 'warns',
      side: 'both',
      what: 'The migration goes over TCP without encryption.',
      why: 'Whoever sees the traffic reads the memory of the guest; whoever is first at the port can give the target another guest.',
      nextStep: 'Set tls-creds on both sides, or listen at an address that only this host reaches.',
    },
  ];
}

const postcopyRisk: Finding = {
  id: 'postcopy-risk',
  level: 'tells',
  side: 'both',
  what: 'Once postcopy has begun, the memory of the guest is spread over both sides.',
  why: 'A channel that is cut can be made anew; but when either QEMU ends before all has arrived, the guest is lost.',
  nextStep: 'Keep both QEMUs until the run has ended.',
};

const twoOwners: Finding = {
  id: 'two-owners',
  level: 'tells',
  side: 'both',
  what: 'Afterwards both QEMUs have the same memory mapped.',
  why: 'If the source were continued, two guests would write to one memory.',
  nextStep: 'Quit the source soon after the migration.',
};

/** A target that is older than the source refuses what it is given. */
function otherProgram({ snapshot }: PreflightSide, { cprSocket }: MethodFacts): readonly Finding[] {
  const holder = cprSocket?.holder;
  const [here, there] = [snapshot.process?.executable, holder?.executable];
  if (holder === undefined || (here !== undefined && here === there)) return [];
  return [
    {
      id: 'cpr-other-program',
      level: 'warns',
      side: 'target',
      what: `The target (pid ${holder.pid}) is another program: ${there ?? 'one that cannot be told'}.`,
      why: 'An older QEMU does not take the guest of a newer one: it ends, and the guest goes on at the source.',
      nextStep: 'Use a target of the same version, or a newer one.',
    },
  ];
}

const noWayBack: Finding = {
  id: 'exec-no-way-back',
  level: 'warns',
  side: 'source',
  what: 'The program that takes over must come up, or the guest is lost.',
  why: 'The running QEMU is replaced in its own process. Connections to its monitors end, and descriptors that were given by name are closed.',
  nextStep:
    'Try the command with "-S" and other sockets first, or use cpr-transfer, which has a way back.',
};

function startsPaused({ options }: MigrationRequest, { facts }: PreflightSide): readonly Finding[] {
  if (options?.execCommand?.includes('-S') !== true || !facts.runState.running) return [];
  return [
    {
      id: 'exec-paused',
      level: 'warns',
      side: 'source',
      what: 'The command has "-S".',
      why: 'The guest, which runs now, would stand still afterwards.',
      nextStep: 'Leave "-S" out, or continue the guest by hand.',
    },
  ];
}

function longPause({ options }: MigrationRequest, side: PreflightSide): readonly Finding[] {
  const main = mainMemoryOf(side);
  const stays = main?.shared === true && main.path !== undefined;
  if (stays && options?.ignoreShared === true) return [];
  const size = side.facts.memoryBytes;
  return [
    {
      id: 'reboot-pause',
      level: 'warns',
      side: 'source',
      what: `The guest stands still while its memory is written${size === undefined ? '' : ` (up to ${formatBytes(size)})`}.`,
      why: 'cpr-reboot stops the guest first and then copies all.',
      nextStep: stays
        ? 'Leave the memory in its file (x-ignore-shared): then the devices alone are written.'
        : 'Have the memory in a file with share=on: then the devices alone are written.',
    },
  ];
}

function fileSize(request: MigrationRequest, { file }: MethodFacts): readonly Finding[] {
  if (request.options?.ignoreShared === true || file === undefined) return [];
  const { neededBytes: needed, freeBytes: free } = file;
  if (needed === undefined || free === undefined || needed > free) return [];
  const common = { id: 'file-size', side: 'host' } as const;
  const mapped = request.options?.file?.mappedRam === true;
  // Without a place of its own each page is written again whenever the guest has changed it.
  if (!mapped && methodOf(request) === 'save' && needed * 2 > free) {
    return [
      {
        ...common,
        level: 'warns',
        what: `The file takes ${formatBytes(needed)} or more, and ${formatBytes(free)} are free.`,
        why: 'Pages that the guest changes meanwhile are written again; when the disk is full the save fails, and the guest goes on.',
        nextStep:
          'Free some space, pause the guest, or take mapped-ram, where each page has one place.',
      },
    ];
  }
  return [
    {
      ...common,
      level: 'tells',
      what: `The file takes about ${formatBytes(needed)}; ${formatBytes(free)} are free.`,
      why: 'It holds what the guest uses of its memory.',
      nextStep: 'Nothing.',
    },
  ];
}
