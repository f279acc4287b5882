import type { MachineSnapshot } from '../../vm/types';
import type { MethodName } from '../run/types';

/** Whether these machines offer a method, as found by their schemas. */
export interface MethodOffer {
  readonly method: MethodName;
  readonly offered: boolean;
  /** Why not, as a sentence; empty when offered. */
  readonly why: string;
}

/**
 * All methods in the order of `methodNames`; those that are not offered with the reason.
 *
 * @param target absent: judged by the source alone
 */
export function methodOffers(
  _source: MachineSnapshot,
  _target?: MachineSnapshot,
): readonly MethodOffer[] {
  return [];
}
