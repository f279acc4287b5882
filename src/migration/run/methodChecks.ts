import type { MachineHandle, MachineSnapshot } from '../../vm/types';
import type { Inventories } from './inventoryChecks';
import type { Obstacle } from './obstacle';
import type { MigrationRequest } from './types';

/** What a method needs to know beside both pictures: files, sockets, descriptors, command lines. */
export interface MethodFacts {
  readonly placeholder?: never;
}

/** Reads it; changes nothing and never connects to a migration socket. */
export function readMethodFacts(
  _request: MigrationRequest,
  _source: MachineHandle,
  _target: MachineHandle,
): Promise<MethodFacts> {
  return Promise.resolve({});
}

/** What forbids this method with these machines. Pure; without `facts` their part is left out. */
export function methodObstacles(
  _request: MigrationRequest,
  _source: MachineSnapshot,
  _target: MachineSnapshot,
  _inventories: Inventories | undefined,
  _facts: MethodFacts | undefined,
): readonly Obstacle[] {
  return [];
}
