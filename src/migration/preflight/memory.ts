import { formatBytes } from '../settings/units';
import type { MemoryBackend } from '../../vm/inventory';
import { isOn, type Finding, type PreflightInput, type PreflightSide } from './types';

/** Whether the host can hold the target's copy of the guest's memory. */
export function memoryFindings(input: PreflightInput): readonly Finding[] {
  return [...roomFinding(input), ...sharedFileFinding(input), ...memlockFinding(input)];
}

function roomFinding({ source, target, host }: PreflightInput): readonly Finding[] {
  const { memoryBytes } = target.facts;
  const { residentBytes } = target.use;
  const { availableBytes } = host;
  if (memoryBytes === undefined || residentBytes === undefined) return [];
  // Huge pages are put aside already.
  if (availableBytes === undefined || target.hugePages) return [];
  // The target maps the pages that the source has already.
  if (sharedFile({ source, target }) !== undefined) return [];
  const missing = Math.max(0, memoryBytes - residentBytes);
  if (missing <= availableBytes) return [];
  return [
    {
      id: 'host-memory',
      level: 'warns',
      side: 'host',
      what: `The target may need ${formatBytes(missing)} more memory, and this host has ${formatBytes(availableBytes)} available.`,
      why: 'When memory runs out the kernel kills a process, perhaps the QEMU that has the guest. Pages that the guest never used need none.',
      nextStep: 'Free memory on this host, or shrink the guest with its balloon.',
    },
  ];
}

/** The backend that is the guest's main memory. */
export function mainMemoryOf({
  inventory,
}: Pick<PreflightSide, 'inventory'>): MemoryBackend | undefined {
  return inventory.memory?.find(({ id }) => id === inventory.mainMemory);
}

/** The file that is the guest's memory on both sides. */
function sharedFile({
  source,
  target,
}: Pick<PreflightInput, 'source' | 'target'>): string | undefined {
  const [here, there] = [source, target].map((side) => {
    const main = mainMemoryOf(side);
    return main?.shared === true ? main.path : undefined;
  });
  return here !== undefined && here === there ? here : undefined;
}

function sharedFileFinding({ source, target }: PreflightInput): readonly Finding[] {
  const file = sharedFile({ source, target });
  if (file === undefined || isOn(source.facts, 'x-ignore-shared')) return [];
  return [
    {
      id: 'memory-file',
      level: 'warns',
      side: 'both',
      what: `Both sides use ${file} as the guest's memory, and x-ignore-shared is off.`,
      why: 'The target would write older pages into the memory of the guest that still runs at the source.',
      nextStep: 'Turn x-ignore-shared on at both sides, or give the target a file of its own.',
      fix: {
        title: 'Turn x-ignore-shared on at both sides',
        source: { parameters: {}, capabilities: { 'x-ignore-shared': true } },
        target: { parameters: {}, capabilities: { 'x-ignore-shared': true } },
      },
    },
  ];
}

function memlockFinding({ source }: PreflightInput): readonly Finding[] {
  const { snapshot, facts, use } = source;
  if (!isOn(facts, 'zero-copy-send') || snapshot.process?.uid === 0) return [];
  const { memlockBytes } = use;
  if (memlockBytes === undefined || memlockBytes === 'unlimited') return [];
  if (facts.memoryBytes !== undefined && memlockBytes >= facts.memoryBytes) return [];
  return [
    {
      id: 'memlock',
      level: 'warns',
      side: 'source',
      what: `zero-copy-send is on, and ${snapshot.label} may lock ${formatBytes(memlockBytes)} of memory only.`,
      why: 'The kernel locks the pages that are on their way; beyond the limit sending fails, and with it the migration.',
      nextStep: `Raise the limit ("prlimit --memlock=unlimited --pid ${snapshot.process?.pid ?? 'PID'}"), or turn zero-copy-send off.`,
      fix: {
        title: 'Turn zero-copy-send off',
        source: { parameters: {}, capabilities: { 'zero-copy-send': false } },
      },
    },
  ];
}
