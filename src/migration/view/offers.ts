import type { MachineRegistry } from '../../vm/registry';
import { type ControlOffer, controlOffers } from '../run/controls';
import type { RunRecord } from '../run/types';

/** What can be done with a run now, with the reasons; none once it has ended. */
export function offersOf(
  record: RunRecord,
  registry: Pick<MachineRegistry, 'get'>,
): readonly ControlOffer[] {
  if (record.outcome !== undefined) return [];
  const { source, target } = record.request;
  return controlOffers(record, registry.get(source)?.snapshot, registry.get(target)?.snapshot);
}
