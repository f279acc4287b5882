import type { HelperLocation } from '../../fdpass/locate';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { ControlRequest } from './controls';
import type { Journals } from './journal/journals';
import type { Patience } from './patience';
import type { MigrationRequest, RunProgress } from './types';

/** What every run is given, whatever its method. */
export interface RunContext {
  readonly request: MigrationRequest;
  readonly source: MachineHandle;
  /** The same as `source` for methods with one machine. */
  readonly target: MachineHandle;
  readonly locateHelper: () => Promise<HelperLocation>;
  /** A machine of the list, to ask whether it runs the same guest. */
  readonly machineAt?: (id: MachineId) => MachineHandle | undefined;
  /** Where the run is written down; absent: nowhere. */
  readonly journals?: Journals | undefined;
  /** Told the run's name in the journals. */
  readonly named?: (journalId: string) => void;
  /** Aborted when the user wants to cancel. */
  readonly cancel: AbortSignal;
  /** Aborted when nobody is to watch any more; QEMU is left as it is. */
  readonly detach: AbortSignal;
  /** What a person wants of the run while it goes on. */
  readonly wishes: Wishes;
  readonly report: (patch: Partial<RunProgress>) => void;
  readonly log: (line: string) => void;
  /** Absent: the usual. */
  readonly patience?: Patience | undefined;
}

/** The inbox of a run: controls wait here until its driver comes to them. */
export interface Wishes {
  /** Sets the one who carries controls out; they reject with `ControlRefusedError` before that. */
  handle(handler: ControlHandler): void;
}

/** @throws {ControlRefusedError} it cannot be done now; `QmpError` when QEMU refuses */
export type ControlHandler = (request: ControlRequest) => Promise<void>;
