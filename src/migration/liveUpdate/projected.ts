import type { MachineSnapshot, VmFacts } from '../../vm/types';
import type { BinaryOffer } from './binaries';
import type { SourceFacts } from './facts';

/**
 * The new QEMU as it will be when it has come up and waits, so that the checks of a run can be made
 * before there is one: the machine of the source, and the settings of a fresh QEMU of that program.
 */
export function projectedTarget(
  { side }: Pick<SourceFacts, 'side'>,
  binary: BinaryOffer,
  socketPath: string,
): MachineSnapshot {
  const facts: VmFacts = {
    ...side.facts,
    version: binary.version,
    schema: binary.schema,
    parameters: binary.parameters,
    capabilities: binary.capabilities,
    runState: { status: 'inmigrate', running: false },
    migration: {},
    failures: {},
  };
  return {
    id: socketPath,
    socketPath,
    origin: 'discovered',
    label: 'the new QEMU',
    state: { kind: 'ready' },
    process: undefined,
    facts,
  };
}

/** Whether the new QEMU is of an earlier version than the one that runs. */
export function isDowngrade({ side }: Pick<SourceFacts, 'side'>, binary: BinaryOffer): boolean {
  const [old, next] = [side.facts.version, binary.version].map(
    ({ major, minor, micro }) => (major * 1000 + minor) * 1000 + micro,
  );
  return (next ?? 0) < (old ?? 0);
}
