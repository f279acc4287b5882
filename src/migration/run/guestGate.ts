import type { MachineHandle, MachineSnapshot } from '../../vm/types';
import type { Journals } from './journal/journals';

/** Whether a person may continue or quit a machine now. */
export interface GateVerdict {
  readonly allowed: boolean;
  /** One sentence: what is proven, or what is missing. */
  readonly reason: string;
  /** What to do, or to look at. */
  readonly nextStep: string;
}

export interface GateSurroundings {
  /** All machines of the list, to ask whether another one runs the same guest. */
  readonly machines: readonly MachineSnapshot[];
  /** What past runs proved. */
  readonly journals?: Journals | undefined;
}

/** `continue`: `cont`; `quit`: end a QEMU whose guest lives elsewhere. */
export type GateVerb = 'continue' | 'quit';

/** Asks anew, sends nothing that changes anything. Never rejects. */
export function judgeGuest(
  _verb: GateVerb,
  _machine: MachineHandle,
  _around: GateSurroundings,
): Promise<GateVerdict> {
  return Promise.resolve({ allowed: false, reason: 'Not built yet.', nextStep: '' });
}
