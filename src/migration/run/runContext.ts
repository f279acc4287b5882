import type { HelperLocation } from '../../fdpass/locate';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { ControlRequest } from './controls';
import type { Holding, Journals } from './journal/journals';
import type { Patience } from './patience';
import type { MigrationRequest, RunProgress } from './types';

/** Devices that the target of a run has to be given before it listens. */
export interface TargetDevices {
  /** Their ids: they are not missed before the run. */
  readonly ids: readonly string[];
  /**
   * Adds them, when the target's settings are made. What it added and could not make use of it takes back
   * itself.
   *
   * @returns ids of what was added
   */
  add(target: MachineHandle): Promise<readonly string[]>;
}

/** What the caller of a run adds to it that does more than this run, such as a live update. */
export interface RunParts {
  /** Machines that the caller has claimed already. */
  readonly holding?: Holding | undefined;
  /** Absent: what backend transfer needs, as found on the source. */
  readonly targetDevices?: TargetDevices | undefined;
  /**
   * Done once, while the guest stands still and before the source hands over: only in runs that pause
   * there (`guardsSwitchover`, or `holdSwitchover`). If it rejects, the run is cancelled.
   */
  readonly beforeSwitchover?: (() => Promise<void>) | undefined;
}

/** What every run is given, whatever its method. */
export interface RunContext extends RunParts {
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
