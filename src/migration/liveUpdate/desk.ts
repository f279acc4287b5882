import type { Disposable, Event } from '../../qmp/emitter';
import type { MachineId } from '../../vm/types';
import type { LiveUpdatePlan, LiveUpdateRequest, UpdateOutcome, UpdateProgress } from './types';

/** A QEMU that a guest could be given. */
export interface QemuBinary {
  /** Absolute. */
  readonly path: string;
  /** As it says itself; `undefined`: it did not answer. */
  readonly version: string | undefined;
  /** The one that the machine runs now. */
  readonly current: boolean;
  /** Where it was found, for a person: `running now`, `installed`, `build tree`. */
  readonly origin: string;
}

/** One live update from the moment it was accepted; kept as the last result after its end. */
export interface UpdateRecord {
  readonly id: number;
  readonly plan: LiveUpdatePlan;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly progress: UpdateProgress;
  readonly outcome: UpdateOutcome | undefined;
  /** Its name in the journals, once it has one. */
  readonly journalId: string | undefined;
}

/** A live update under way or ended. */
export interface Update {
  readonly record: UpdateRecord;
  readonly onDidChange: Event<UpdateRecord>;
  /** Never rejects. */
  readonly outcome: Promise<UpdateOutcome>;
  /** Asks for a cancel; the outcome tells what became of it. Idempotent. */
  cancel(): void;
}

/** What the command line and the editor need of live updates. */
export interface UpdateDesk extends Disposable {
  /** Any update began, made progress or ended. */
  readonly onDidChange: Event<UpdateRecord>;
  binaries(machine: MachineId): Promise<readonly QemuBinary[]>;
  /** Changes nothing. @throws {LiveUpdateRefusedError} the facts could not be had */
  plan(request: LiveUpdateRequest): Promise<LiveUpdatePlan>;
  /** The plan as Markdown. */
  document(plan: LiveUpdatePlan): string;
  /** The plan as a shell script. */
  script(plan: LiveUpdatePlan): string;
  /** @throws {LiveUpdateRefusedError} the machine takes part in a run already */
  start(plan: LiveUpdatePlan): Update;
  /** The machine's update under way. */
  active(id: MachineId): Update | undefined;
  /** The machine's update under way, else its last one. */
  last(id: MachineId): UpdateRecord | undefined;
}
