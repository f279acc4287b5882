import type { MachineSnapshot, VmFacts } from '../../../vm/types';
import { plannedSettings } from '../../methods/planned';
import type { SideName } from '../journal/entries';
import type { MigrationRequest } from '../types';

/**
 * The machine as it will be when the run begins: with the settings that the run makes before.
 * What this QEMU does not have is left out; `settingObstacles` names it. Pure.
 */
export function asPlanned(
  machine: MachineSnapshot,
  request: MigrationRequest,
  side: SideName,
): MachineSnapshot {
  return machine.facts === undefined
    ? machine
    : { ...machine, facts: factsAsPlanned(machine.facts, request, side) };
}

function factsAsPlanned(facts: VmFacts, request: MigrationRequest, side: SideName): VmFacts {
  const planned = plannedSettings(request, side);
  const parameters = Object.fromEntries(
    Object.entries(planned.parameters).filter(
      ([name]) => facts.schema.argument('migrate-set-parameters', name) !== undefined,
    ),
  );
  return {
    ...facts,
    parameters: { ...facts.parameters, ...parameters },
    capabilities: facts.capabilities.map((capability) => ({
      ...capability,
      enabled: planned.capabilities[capability.name] ?? capability.enabled,
    })),
  };
}

export function isOn(facts: VmFacts | undefined, capability: string): boolean {
  return facts?.capabilities.some(({ name, enabled }) => name === capability && enabled) ?? false;
}
