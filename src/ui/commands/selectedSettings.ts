import { backendTransferOf } from '../../migration/settings/backendTransfer';
import { type ViewNode, withAllBelow } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { CommandTarget } from '../command';

/** The settings that were selected in the tree, of one machine. */
export interface SelectedSettings {
  readonly machine: MachineHandle;
  readonly parameters: ReadonlySet<string>;
  readonly capabilities: ReadonlySet<string>;
  /** The machine's own row is among the selected ones. */
  readonly whole: boolean;
}

/** By machine, what the rows stand for: a setting, or all that is shown below a row. */
export function selectedSettings(
  targets: readonly CommandTarget[],
  rows: { node(nodeId: string): ViewNode | undefined },
  registry: Pick<MachineRegistry, 'get'>,
): readonly SelectedSettings[] {
  const found = new Map<
    MachineId,
    { machine: MachineHandle; parameters: Set<string>; capabilities: Set<string>; whole: boolean }
  >();
  for (const { machineId, nodeId } of targets) {
    const machine = machineId === undefined ? undefined : registry.get(machineId);
    if (machine === undefined) continue;
    const entry = found.get(machine.id) ?? {
      machine,
      parameters: new Set<string>(),
      capabilities: new Set<string>(),
      whole: false,
    };
    found.set(machine.id, entry);
    const row = nodeId === undefined ? undefined : rows.node(nodeId);
    if (row === undefined || row.kind === 'machine') {
      entry.whole = true;
      continue;
    }
    for (const { kind, subject } of withAllBelow(row)) {
      if (kind === 'parameter' && subject !== undefined) entry.parameters.add(subject);
      if (kind === 'capability' && subject !== undefined) entry.capabilities.add(subject);
      if (kind === 'backend-transfer') {
        const offer = backendTransferOf(machine.snapshot);
        if (offer !== undefined && offer.kind !== 'absent') entry.parameters.add(offer.parameter);
      }
    }
  }
  return [...found.values()];
}
