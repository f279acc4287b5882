import type { HelperLocation } from '../../fdpass/locate';
import type { Disposable, Event } from '../../qmp/emitter';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId } from '../../vm/types';
import type { Journals } from '../run/journal/journals';
import type { Runs } from '../run/runs';
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

/** What live updates are made with. */
export interface DeskParts {
  readonly registry: MachineRegistry;
  readonly runs: Runs;
  readonly journals: Journals;
  readonly locateHelper: () => Promise<HelperLocation>;
  readonly log: (line: string) => void;
}

export type OpenUpdateDesk = (parts: DeskParts) => UpdateDesk;

/** How several machines are updated. */
export interface FleetOptions {
  /** The longest pause that lets the next ones begin, ms; absent: any. */
  readonly pauseLimitMs?: number;
  /** How many at once, once the first one is through. */
  readonly atATime: number;
}

/** One machine of several. */
export interface FleetRow {
  readonly plan: LiveUpdatePlan;
  readonly record: UpdateRecord | undefined;
  /** Why it was never begun. */
  readonly skipped: string | undefined;
}

export interface FleetEnd {
  readonly rows: readonly FleetRow[];
  /** Why it did not go on to the last; `undefined`: it did. */
  readonly stopped: string | undefined;
  /** It stopped because a pause was longer than allowed. */
  readonly breached: boolean;
}
