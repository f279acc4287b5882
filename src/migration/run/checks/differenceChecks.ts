import type { VmFacts } from '../../../vm/types';
import { isBackendTransferParameter } from '../../settings/backendTransfer';
import { allCapabilities, allParameters, type Need } from '../../settings/catalogue';
import { comparesUuids, onlyOverRdma } from '../../settings/rules';
import { formatBytes } from '../../settings/units';
import type { Obstacle } from './obstacle';
import { isOn } from './projected';

/** What QEMU needs to be equal and would not notice, or notice by hanging. */
export function differences(source: VmFacts, target: VmFacts): readonly Obstacle[] {
  const nextStep = 'Make both sides equal.';
  const found: Obstacle[] = [];
  const { machineType, memoryBytes } = source;
  if (machineType !== target.machineType && machineType !== undefined) {
    found.push({
      id: 'machine-type',
      side: 'target',
      reason: `The machine types differ: ${machineType} and ${target.machineType ?? 'unknown'}.`,
      nextStep: `Start the target with "-machine ${machineType}".`,
    });
  }
  if (
    memoryBytes !== undefined &&
    target.memoryBytes !== undefined &&
    memoryBytes !== target.memoryBytes
  ) {
    found.push({
      id: 'memory-size',
      side: 'target',
      reason: `The memory sizes differ: ${formatBytes(memoryBytes)} and ${formatBytes(target.memoryBytes)}.`,
      nextStep: 'Start the target with as much memory as the source.',
    });
  }
  const comparing = comparesUuids.find((name) => isOn(source, name) && isOn(target, name));
  if (comparing !== undefined && source.uuid !== target.uuid) {
    found.push({
      id: 'uuid',
      side: 'target',
      reason: `The UUIDs differ, and with ${comparing} the target refuses another one: ${source.uuid ?? 'none'} and ${target.uuid ?? 'none'}.`,
      nextStep:
        source.uuid === undefined
          ? 'Start the target without "-uuid".'
          : `Start the target with "-uuid ${source.uuid}".`,
    });
  }
  for (const { name, sides } of allCapabilities) {
    if (sides !== 'both-equal' || onlyOverRdma.has(name)) continue;
    if (isOn(source, name) !== isOn(target, name)) {
      found.push({
        id: 'capability-differs',
        side: 'both',
        subject: name,
        reason: `${name} is on at one side only.`,
        nextStep,
      });
    }
  }
  for (const { name, sides, needs } of allParameters) {
    if (sides !== 'both-equal' || onlyOverRdma.has(name)) continue;
    // A run sets it on both sides, or checks it by the rules of its own.
    if (isBackendTransferParameter(name)) continue;
    if (!(needs ?? []).every((need) => inUse(need, source, target))) continue;
    const [a, b] = [source.parameters[name], target.parameters[name]];
    if (
      a !== undefined &&
      b !== undefined &&
      a !== b &&
      typeof a !== 'object' &&
      typeof b !== 'object'
    ) {
      found.push({
        id: 'parameter-differs',
        side: 'both',
        subject: name,
        reason: `${name} differs: ${String(a)} and ${String(b)}.`,
        nextStep,
      });
    }
  }
  return found;
}

function inUse({ capability }: Need, source: VmFacts, target: VmFacts): boolean {
  return capability === undefined || isOn(source, capability) || isOn(target, capability);
}
