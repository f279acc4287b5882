import type { MachineHandle, MachineSnapshot } from '../../vm/types';
import {
  backendTransferOf,
  switchBackendTransfer,
  type BackendTransfer,
  type Permission,
} from '../settings/backendTransfer';
import type { ChangeRequest } from '../settings/change';
import { pairDevices } from './transferDevices';
import { orderOf } from './transferOrder';
import { problemsOf } from './transferProblems';

export interface PairDevice {
  readonly side: 'source' | 'target';
  readonly device: string;
  readonly netdev: string | undefined;
  readonly permission: Permission;
  /** What to do where it is missing, with the exact option text; `undefined` where nothing is. */
  readonly advice: string | undefined;
}

/** Backend transfer of a pair as one idea. */
export interface PairBackendTransfer {
  /** `on`, `off`: both sides; `mixed`: they differ; `absent`: a side has no such parameter (or a list). */
  readonly state: 'on' | 'off' | 'mixed' | 'absent';
  /** The parameter's name on each side. */
  readonly names: { readonly source: string | undefined; readonly target: string | undefined };
  readonly devices: readonly PairDevice[];
  /** What stands in the way, as sentences with what to do; empty: it can work. */
  readonly problems: readonly string[];
  /** The order that this spelling needs, as steps. */
  readonly order: readonly string[];
}

/** `undefined` while nothing is known of one of them. Pure. */
export function pairBackendTransfer(
  source: MachineSnapshot,
  target: MachineSnapshot,
): PairBackendTransfer | undefined {
  const [from, to] = [backendTransferOf(source), backendTransferOf(target)];
  if (from === undefined || to === undefined) return undefined;
  const ends = {
    source: { snapshot: source, offer: from },
    target: { snapshot: target, offer: to },
  };
  return {
    state: stateOf(from, to),
    names: { source: nameOf(from), target: nameOf(to) },
    devices: pairDevices(ends),
    problems: problemsOf(ends),
    order: orderOf(ends),
  };
}

function stateOf(from: BackendTransfer, to: BackendTransfer): PairBackendTransfer['state'] {
  if (from.kind !== 'boolean' || to.kind !== 'boolean') return 'absent';
  if (from.enabled !== to.enabled) return 'mixed';
  return from.enabled ? 'on' : 'off';
}

function nameOf(offer: BackendTransfer): string | undefined {
  return offer.kind === 'absent' ? undefined : offer.parameter;
}

/**
 * What switches both sides, each under its own name.
 *
 * @throws {BackendTransferError} when a side has no such switch
 */
export function switchRequests(
  source: MachineHandle,
  target: MachineHandle,
  on: boolean,
): readonly ChangeRequest[] {
  return [source, target].map((machine) => ({
    machine,
    change: switchBackendTransfer(machine.snapshot, on),
  }));
}
