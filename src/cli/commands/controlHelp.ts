import { controlOffers } from '../../migration/run/controls';
import type { RunRecord } from '../../migration/run/types';
import type { MachineId, MachineSnapshot } from '../../vm/types';
import { wrap } from '../text';
import { controlWords } from './controlLine';

/** What each control does and risks, and why one cannot be used now. */
export function controlHelp(
  record: RunRecord,
  machineAt: (id: MachineId) => MachineSnapshot | undefined,
): readonly string[] {
  const { source, target } = record.request;
  return controlOffers(record, machineAt(source), machineAt(target)).flatMap((offer) => {
    const word = controlWords[offer.id];
    const typed = offer.id === 'set-parameters' ? `${word} NAME=VALUE` : word;
    return [
      `${typed}: ${offer.title.toLowerCase()}`,
      ...wrap(offer.explanation, '    '),
      ...(offer.offered ? [] : wrap(`Not now. ${offer.refusal}`, '    ')),
    ];
  });
}
