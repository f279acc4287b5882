import path from 'node:path';
import type { MachineSnapshot } from '../../../vm/types';
import { methodOf } from '../../methods/names';
import { formatBytes } from '../../settings/units';
import type { Inventories } from './inventoryChecks';
import { mainMemory } from './memoryChecks';
import type { FileFacts, MethodFacts } from './methodFacts';
import type { Obstacle } from './obstacle';
import { isOn } from './projected';
import type { FileOptions, MigrationRequest } from '../types';

/** For the methods that write a file (`save`, `cpr-reboot`). */
export function saveObstacles(
  request: MigrationRequest,
  machine: MachineSnapshot,
  inventories: Inventories | undefined,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  const file = request.options?.file;
  if (file === undefined) return [];
  const bad = pathObstacles(file, machine);
  if (bad.length > 0) return bad;
  return [
    ...(facts?.file === undefined ? [] : newFileObstacles(request, file, facts.file, machine)),
    ...multifdOverFile(machine),
    ...withoutMemory(request, machine, inventories),
  ];
}

/** For `restore`. */
export function restoreObstacles(
  request: MigrationRequest,
  machine: MachineSnapshot,
  inventories: Inventories | undefined,
  facts: MethodFacts | undefined,
): readonly Obstacle[] {
  const file = request.options?.file;
  if (file === undefined) return [];
  const bad = pathObstacles(file, machine);
  if (bad.length > 0) return bad;
  return [
    ...(facts?.file === undefined ? [] : oldFileObstacles(file, facts.file, machine)),
    ...multifdOverFile(machine),
    ...memoryStaysInFile(request, machine, inventories),
  ];
}

function pathObstacles(
  { path: file, passDescriptor }: FileOptions,
  { label, process: qemu }: MachineSnapshot,
): readonly Obstacle[] {
  const bad = (reason: string): Obstacle => ({
    id: 'file-path',
    side: 'source',
    subject: file,
    reason,
    nextStep: 'Give the absolute path of a file.',
  });
  if (!path.isAbsolute(file) || path.normalize(file) !== file || file.endsWith('/')) {
    return [bad(`"${file}" is not the whole and plain path of a file.`)];
  }
  // QEMU reads what follows as an option of its own.
  if (/\p{Cc}/u.test(file) || /,offset=/.test(file)) {
    return [bad('The path holds what QEMU does not read as a path.')];
  }
  if (passDescriptor !== true && (qemu?.root ?? '/') !== '/') {
    return [
      {
        id: 'file-root',
        side: 'source',
        reason: `${label} runs in a root directory of its own, and would look for the file there.`,
        nextStep: 'Hand the open file over as a descriptor.',
      },
    ];
  }
  return [];
}

function newFileObstacles(
  request: MigrationRequest,
  { path: file, passDescriptor }: FileOptions,
  facts: FileFacts,
  machine: MachineSnapshot,
): readonly Obstacle[] {
  const common = { side: 'source', subject: file } as const;
  if (facts.kind !== 'none') {
    return [
      {
        ...common,
        id: 'file-exists',
        reason: `${file} is there already; it may be the only copy of a guest.`,
        nextStep: 'Choose another name, or move the file away.',
      },
    ];
  }
  if (facts.folder !== 'directory') {
    return [
      {
        ...common,
        id: 'file-missing',
        reason: `There is no folder ${path.dirname(file)}.`,
        nextStep: 'Make it, or choose another.',
      },
    ];
  }
  const may = passDescriptor === true ? facts.weMayWrite : facts.qemuMayWrite;
  if (may === false) {
    const who = passDescriptor === true ? 'You' : `The user of ${machine.label}`;
    return [
      {
        ...common,
        id: 'file-not-writable',
        reason: `${who} may not make a file in ${path.dirname(file)}.`,
        nextStep:
          passDescriptor === true
            ? 'Choose another folder.'
            : 'Choose another folder, or hand the open file over as a descriptor.',
      },
    ];
  }
  return spaceObstacle(request, file, facts, machine);
}

function spaceObstacle(
  request: MigrationRequest,
  file: string,
  { freeBytes, neededBytes }: FileFacts,
  { label }: MachineSnapshot,
): readonly Obstacle[] {
  // Then the memory stays where it is, and the file has the devices alone.
  const needed = request.options?.ignoreShared === true ? 0 : neededBytes;
  if (freeBytes === undefined || needed === undefined || needed <= freeBytes) return [];
  return [
    {
      id: 'file-space',
      side: 'source',
      subject: file,
      reason: `${label} uses ${formatBytes(needed)} of memory, and ${path.dirname(file)} has ${formatBytes(freeBytes)} left.`,
      nextStep: 'Free some space, or choose another folder.',
    },
  ];
}

function oldFileObstacles(
  { path: file, passDescriptor }: FileOptions,
  facts: FileFacts,
  { label }: MachineSnapshot,
): readonly Obstacle[] {
  const common = { side: 'target', subject: file } as const;
  if (facts.kind === 'none') {
    return [
      {
        ...common,
        id: 'file-missing',
        reason: `There is no ${file}, or it cannot be seen from here.`,
        nextStep: 'Correct the path.',
      },
    ];
  }
  if (facts.kind === 'other') {
    return [
      {
        ...common,
        id: 'file-not-a-migration',
        reason: `${file} is no plain file.`,
        nextStep: 'Give the file that a guest was saved to.',
      },
    ];
  }
  const may = passDescriptor === true ? facts.weMayRead : facts.qemuMayRead;
  if (may === false) {
    return [
      {
        ...common,
        id: 'file-not-readable',
        reason: `${passDescriptor === true ? 'You' : `The user of ${label}`} may not read ${file}.`,
        nextStep:
          passDescriptor === true
            ? 'Change its mode.'
            : 'Change its mode, or hand the open file over as a descriptor.',
      },
    ];
  }
  return facts.isMigration === false
    ? [
        {
          ...common,
          id: 'file-not-a-migration',
          reason: `${file} does not begin as a saved guest does.`,
          nextStep: 'Give the file that a guest was saved to.',
        },
      ]
    : [];
}

/** Several channels write one file only where each page has its place in it. */
function multifdOverFile({ label, facts }: MachineSnapshot): readonly Obstacle[] {
  if (!isOn(facts, 'multifd') || isOn(facts, 'mapped-ram')) return [];
  return [
    {
      id: 'multifd-over-file',
      side: 'source',
      reason: `multifd is on at ${label}, and writes a file only together with mapped-ram.`,
      nextStep: 'Turn multifd off, or take mapped-ram.',
    },
  ];
}

/** `x-ignore-shared` leaves memory out of the file that nobody else may have. */
function withoutMemory(
  request: MigrationRequest,
  machine: MachineSnapshot,
  inventories: Inventories | undefined,
): readonly Obstacle[] {
  if (!isOn(machine.facts, 'x-ignore-shared')) return [];
  if (methodOf(request) === 'cpr-reboot' && request.options?.ignoreShared === true) {
    return memoryStaysInFile(request, machine, inventories);
  }
  const main = inventories && mainMemory(inventories.source);
  if (main !== undefined && !main.shared) return [];
  return [
    {
      id: 'file-without-memory',
      side: 'source',
      subject: 'x-ignore-shared',
      reason: `x-ignore-shared is on at ${machine.label}: the file would not have the memory of the guest.`,
      nextStep: 'Turn x-ignore-shared off.',
    },
  ];
}

/** What is to survive the QEMU must be in a file that has a name. */
function memoryStaysInFile(
  request: MigrationRequest,
  { label }: MachineSnapshot,
  inventories: Inventories | undefined,
): readonly Obstacle[] {
  if (request.options?.ignoreShared !== true || inventories === undefined) return [];
  const main = mainMemory(inventories.source);
  if (main?.shared === true && main.path !== undefined) return [];
  return [
    {
      id: 'memory-not-in-file',
      side: 'source',
      reason: `The memory of ${label} is in no file that outlives it: it would be lost.`,
      nextStep:
        'Start it with "-object memory-backend-file,id=ram0,size=SIZE,mem-path=FILE,share=on", or have the memory saved too.',
    },
  ];
}
