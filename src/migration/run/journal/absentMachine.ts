import { Emitter } from '../../../qmp/emitter';
import {
  NotConnectedError,
  type MachineChange,
  type MachineHandle,
  type MachineSnapshot,
  type MachineState,
} from '../../../vm/types';
import type { QmpEvent } from '../../../qmp/connection';
import type { MachineIdentity } from './entries';

/** Stands for a QEMU of a journal that is gone, or that its socket does not lead to any more. */
export class AbsentMachine implements MachineHandle {
  readonly id: string;
  readonly snapshot: MachineSnapshot;
  readonly onDidChange = new Emitter<MachineChange>().event;
  readonly onEvent = new Emitter<QmpEvent>().event;

  constructor({ socket, label }: MachineIdentity, hasEnded: boolean) {
    this.id = socket;
    const state: MachineState = hasEnded
      ? { kind: 'lost', reason: { kind: 'qemu-quit', guest: false, reason: 'ended' } }
      : { kind: 'idle' };
    this.snapshot = {
      id: socket,
      socketPath: socket,
      origin: 'remembered',
      label,
      state,
      process: undefined,
      facts: undefined,
    };
  }

  connection(): never {
    throw new NotConnectedError(this.snapshot);
  }

  refresh(): Promise<never> {
    return Promise.reject(new NotConnectedError(this.snapshot));
  }

  connect(): Promise<never> {
    return Promise.reject(new NotConnectedError(this.snapshot));
  }

  identify(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  watch(): { dispose: () => void } {
    return { dispose: () => undefined };
  }
}
