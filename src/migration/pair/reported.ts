import type { JsonValue } from '../../qmp/json';
import type { VmFacts } from '../../vm/types';
import type { ParameterDescription } from '../settings/parameters';

/** In place of a value where this QEMU has no such setting. */
export const notHere = 'not in this QEMU';
/** In place of a value that QEMU refused to tell. */
export const unread = 'could not be read';

/** The value as far as it has an effect: QEMU takes null for the empty text. */
export function plainValue({ value, info }: ParameterDescription): JsonValue | undefined {
  return value === null && info?.type === 'string-or-null' ? '' : value;
}

/** Whether each capability is on, by name. */
export function capabilityStates({ capabilities }: VmFacts): ReadonlyMap<string, boolean> {
  return new Map(capabilities.map(({ name, enabled }) => [name, enabled]));
}
