import type { MachineId } from '../../vm/types';

/** How the bytes travel: one `socketpair` handed over with `getfd`, or a UNIX socket in a directory of ours. */
export type Transport = 'fd' | 'unix';

/** What the user wants of one local migration. */
export interface LocalMigrationRequest {
  readonly source: MachineId;
  readonly target: MachineId;
  readonly transport: Transport;
  /** `as-is` leaves the parameter alone, but refuses when the two sides differ. */
  readonly backendTransfer: 'as-is' | 'on' | 'off';
  /** `max-bandwidth` of the source for this run only, bytes/s, 0 = no limit; absent: as it is set. */
  readonly maxBandwidthBytesPerSecond?: bigint;
}

/** The side that may run the guest. `nobody`: neither has a guest that can run any more. */
export type GuestOwner = 'source' | 'target' | 'nobody' | 'unknown';

export type RunPhase =
  'checking' | 'preparing' | 'transferring' | 'switching-over' | 'cancelling' | 'settling' | 'done';

/** What is known while a run goes on. */
export interface RunProgress {
  readonly phase: RunPhase;
  /** QAPI `MigrationStatus` of the source, as last seen. */
  readonly status: string | undefined;
  /** 0..1 of the guest's memory in this pass; `undefined` when QEMU does not tell. */
  readonly fraction: number | undefined;
  /** Number of the pass over memory, from 1. */
  readonly pass: number | undefined;
  readonly bytesPerSecond: number | undefined;
  readonly remainingBytes: number | undefined;
  readonly transferredBytes: number | undefined;
  readonly expectedDowntimeMs: number | undefined;
  /** Something that the user should know now, in words. */
  readonly note: string | undefined;
}

export type OutcomeKind =
  | 'completed'
  /** Not begun: a check before the start forbade it, and nothing was changed. */
  | 'refused'
  | 'failed'
  | 'cancelled'
  /** Cancel was asked for, but the guest had gone over already: it runs on the target. */
  | 'too-late-to-cancel'
  /** We could not find out, or stopped looking: the owner says what is known. */
  | 'unknown';

/** The truthful end of a run. Times in ms, sizes in bytes; absent where QEMU did not tell. */
export interface RunOutcome {
  readonly kind: OutcomeKind;
  readonly owner: GuestOwner;
  /** Whether the guest runs or stands still on the owner's side. */
  readonly guestRunning: boolean | undefined;
  /** QEMU's own words, from `error-desc` or a refused command. */
  readonly sourceError: string | undefined;
  readonly targetError: string | undefined;
  readonly totalTimeMs: number | undefined;
  readonly downtimeMs: number | undefined;
  readonly transferredBytes: number | undefined;
  /** One line: what happened and where the guest is. */
  readonly headline: string;
  /** What it means, and anything that was not put back. */
  readonly details: readonly string[];
  /** What to do now. */
  readonly nextStep: string;
}

/** One run from the moment it was accepted; kept as the last result after its end. */
export interface RunRecord {
  readonly id: number;
  readonly request: LocalMigrationRequest;
  readonly sourceLabel: string;
  readonly targetLabel: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly progress: RunProgress;
  readonly outcome: RunOutcome | undefined;
  /** Its name in the journals, once it has one. */
  readonly journalId?: string | undefined;
  /** It was begun by another process, which is gone. */
  readonly takenUp?: boolean;
}

/** What forbids a run, by a name that stays. */
export type ObstacleId =
  | 'same-machine'
  | 'not-connected'
  | 'same-process'
  | 'source-waits'
  | 'source-gave-away'
  | 'source-migrating'
  | 'blocked-reason'
  | 'target-not-waiting'
  | 'target-used'
  | 'guest-runs-on'
  | 'mapped-ram'
  | 'multifd-over-fd'
  | 'unix-path-users'
  | 'unix-path-root'
  | 'machine-type'
  | 'memory-size'
  | 'uuid'
  | 'capability-differs'
  | 'parameter-differs'
  | 'backend-transfer-listed'
  | 'backend-transfer-empty'
  | 'backend-transfer-unable'
  | 'backend-transfer-one-side'
  | 'netdev-not-permitted'
  | 'netdev-too-early'
  | 'permission-one-side'
  | 'vcpu-count'
  | 'device-missing'
  | 'device-differs'
  | 'ram-block'
  | 'block-job'
  | 'tls-creds';

/** Something that forbids a run, and what to do about it; one sentence each. */
export interface Obstacle {
  readonly id: ObstacleId;
  /** Where it is to be put right. */
  readonly side: 'source' | 'target' | 'both';
  /** The setting or the device, where there may be several. */
  readonly subject?: string;
  readonly reason: string;
  readonly nextStep: string;
}
