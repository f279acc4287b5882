import type { HelperLocation } from '../../fdpass/locate';
import type { Disposable, Event } from '../../qmp/emitter';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId } from '../../vm/types';
import type { Journals } from '../run/journal/journals';
import type { Attach, Runs } from '../run/runs';
import type { LiveUpdatePlan, LiveUpdateRequest } from './types';
import type { LiveUpdate, LiveUpdateRecord } from './updates';

/** A QEMU that a guest could be given. */
export interface QemuBinary {
  /** Absolute. */
  readonly program: string;
  readonly origin:
    | 'running'
    /** At the path of the running one there is another program now. */
    | 'replaced'
    | 'installed'
    | 'build-tree';
  /** As it says itself; `undefined`: it could not be asked. */
  readonly versionText: string | undefined;
  /** Why it cannot be taken. */
  readonly problem: string | undefined;
}

/** What the command line and the editor need of live updates. */
export interface UpdateDesk extends Disposable {
  /** Any update began, made progress or ended. */
  readonly onDidChange: Event<LiveUpdateRecord>;
  binaries(machine: MachineId): Promise<readonly QemuBinary[]>;
  /** Changes nothing. @throws {LiveUpdateRefusedError} the facts could not be had */
  plan(request: LiveUpdateRequest): Promise<LiveUpdatePlan>;
  /** The plan as Markdown. */
  document(plan: LiveUpdatePlan): string;
  /** The plan as a shell script. */
  script(plan: LiveUpdatePlan): string;
  /** @throws {LiveUpdateRefusedError} the machine takes part in a run already */
  start(plan: LiveUpdatePlan): LiveUpdate;
  /**
   * Takes up an update whose driver is gone.
   *
   * @throws {LiveUpdateRefusedError} the machine is in an update or a run of ours
   * @throws {NoSuchRunError}
   * @throws {MachineDrivenError} when another process was faster
   */
  recover(journalId: string, attach: Attach): Promise<LiveUpdate>;
  /** The machine's update under way. */
  active(id: MachineId): LiveUpdate | undefined;
  /** The machine's update under way, else its last one. */
  last(id: MachineId): LiveUpdateRecord | undefined;
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
  readonly record: LiveUpdateRecord | undefined;
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
