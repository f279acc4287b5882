import type { Inventory, MemoryBackend } from '../../../vm/inventory';
import type { SharedMapping } from '../../../vm/sharedMappings';
import type { MachineSnapshot } from '../../../vm/types';
import type { Inventories } from './inventoryChecks';
import type { SideName } from '../journal/entries';
import type { MethodFacts } from './methodFacts';
import type { Obstacle } from './obstacle';

/** The backend that is the guest's main memory; `undefined` where QEMU does not tell. */
export function mainMemory({ memory, mainMemory: id }: Inventory): MemoryBackend | undefined {
  return memory?.find((backend) => backend.id === id);
}

const startShared =
  '"-object memory-backend-file,id=ram0,size=SIZE,mem-path=FILE,share=on -machine memory-backend=ram0"';

/**
 * With `x-ignore-shared` no page travels: both sides must have mapped the same file, or the guest
 * goes on in memory that is not its own, and nobody notices.
 */
export function sharedMemoryObstacles(
  source: MachineSnapshot,
  target: MachineSnapshot,
  inventories: Inventories,
  facts: MethodFacts,
): readonly Obstacle[] {
  const sides = [
    { machine: source, side: 'source', main: mainMemory(inventories.source) },
    { machine: target, side: 'target', main: mainMemory(inventories.target) },
  ] as const;
  const notShared = sides.flatMap(({ machine, side, main }) =>
    notSharedObstacle(machine, side, main),
  );
  if (notShared.length > 0) return notShared;
  const [here, there] = [
    mapped(sides[0].main, facts.sourceMappings),
    mapped(sides[1].main, facts.targetMappings),
  ];
  if (here.length === 0 || there.length === 0) {
    return [
      {
        id: 'memory-unproven',
        side: here.length === 0 ? 'source' : 'target',
        reason: `Which file is the memory of ${here.length === 0 ? source.label : target.label} cannot be told from here.`,
        nextStep: 'Run this as the user of the QEMUs, or choose the method "precopy".',
      },
    ];
  }
  const known = new Set(there.map(({ identity }) => identity));
  if (here.every(({ identity }) => known.has(identity))) return [];
  return [
    {
      id: 'memory-file-differs',
      side: 'both',
      reason: `${source.label} and ${target.label} do not have the same file as their memory: ${here[0]?.path ?? ''} and ${there[0]?.path ?? ''}${here[0]?.path === there[0]?.path ? ', two files of that name' : ''}.`,
      nextStep: `Start the target with the "mem-path" of the source and share=on.`,
    },
  ];
}

function notSharedObstacle(
  { label }: MachineSnapshot,
  side: SideName,
  main: MemoryBackend | undefined,
): readonly Obstacle[] {
  if (main?.shared === true) return [];
  return [
    {
      id: 'memory-not-shared',
      side,
      ...(main && { subject: main.id }),
      reason: `The memory of ${label} is its own: it was started without share=on.`,
      nextStep: `Start it with ${startShared}.`,
    },
  ];
}

/** What of the mappings is that memory. */
function mapped(
  main: MemoryBackend | undefined,
  mappings: readonly SharedMapping[] | undefined,
): readonly SharedMapping[] {
  if (main === undefined || mappings === undefined) return [];
  const large = mappings.filter(({ bytes }) => BigInt(bytes) >= BigInt(main.bytes));
  const named = large.filter(({ path }) => path === main.path);
  return named.length > 0 ? named : large;
}

/** For `cpr-transfer` and `cpr-exec`: all memory stays where it is, and must be able to. */
export function cprMemoryObstacles(
  { label }: MachineSnapshot,
  inventory: Inventory,
  { auxRamShare }: MethodFacts,
): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const main = mainMemory(inventory);
  const own = [
    ...(main === undefined ? [undefined] : []),
    ...(inventory.memory ?? []).filter(({ shared }) => !shared),
  ];
  for (const backend of own) {
    const what = backend === undefined || backend === main ? 'The memory' : `"${backend.id}"`;
    found.push({
      id: 'memory-not-shared',
      side: 'source',
      ...(backend && { subject: backend.id }),
      reason: `${what} of ${label} was started without share=on, and would be lost.`,
      nextStep:
        'Start it with "-object memory-backend-memfd,id=ram0,size=SIZE,share=on -machine memory-backend=ram0,aux-ram-share=on".',
    });
  }
  if (auxRamShare !== true) {
    found.push({
      id: 'aux-ram-share',
      side: 'source',
      reason: `${label} was started without aux-ram-share=on: what its devices keep in memory would be lost.`,
      nextStep: 'Start it with "-machine aux-ram-share=on".',
    });
  }
  return found;
}
