import type { MachineId } from '../../vm/types';
import type { ConvergenceVerdict } from './pace/convergence';
import type { Obstacle } from './checks/obstacle';

/**
 * How the bytes travel: one `socketpair` handed over with `getfd`, a UNIX socket in a directory of
 * ours, or TCP. Methods that move a guest to a file or into itself do not ask for it.
 */
export type Transport = 'fd' | 'unix' | 'tcp';

/**
 * The ways to move a guest. `save`, `cpr-reboot` and `cpr-exec` have a source only, `restore` a
 * target only; there both sides of a request name the same machine.
 */
export type MethodName =
  | 'precopy'
  | 'postcopy'
  /** Both QEMUs map the same memory file; only the devices travel (`x-ignore-shared`). */
  | 'shared-ram'
  | 'cpr-transfer'
  | 'cpr-exec'
  | 'cpr-reboot'
  | 'save'
  | 'restore';

/** Settings and wishes of one run. What a method does not know is refused, never ignored. */
export interface RunOptions {
  /** `downtime-limit` for this run only, ms. */
  readonly downtimeLimitMs?: number;
  /** Turns `multifd` on, on both sides, with that many channels. */
  readonly multifdChannels?: number;
  /** `multifd-compression`; needs `multifdChannels`. */
  readonly multifdCompression?: string;
  readonly xbzrle?: boolean;
  readonly autoConverge?: boolean;
  /** Turns `dirty-limit` on with this `vcpu-dirty-limit`, MB/s. */
  readonly dirtyLimitMegabytesPerSecond?: number;
  /** For postcopy: start it after that pass over memory (from 1); absent: by hand. */
  readonly postcopyAfterPass?: number;
  readonly postcopyPreempt?: boolean;
  /** Stand still before the switchover until a person says go on (`pause-before-switchover`). */
  readonly holdSwitchover?: boolean;
  /**
   * Keep the target from starting by itself over the switchover, and continue it on proof: watertight
   * when the channel breaks there, for some ms of pause. Absent: as `guardsSwitchover` says.
   */
  readonly guardSwitchover?: boolean;
  readonly tcp?: TcpOptions;
  readonly file?: FileOptions;
  /** For cpr-transfer: the `cpr` channel's socket of the target's command line, absolute. */
  readonly cprSocket?: string;
  /** For cpr-exec: program and arguments, without `-incoming`; absent: those of the running QEMU. */
  readonly execCommand?: readonly string[];
  /** The file may be opened and read by everybody who can connect: agreed to by the user. */
  readonly plainTcpConsent?: boolean;
  /** For `cpr-reboot` and `restore`: `x-ignore-shared`, the memory stays in its own file. */
  readonly ignoreShared?: boolean;
}

export interface TcpOptions {
  /** Where the target listens, `HOST:PORT`; port 0: one that is free. */
  readonly listen: string;
  /** The host that the source connects to; absent: that of `listen`. */
  readonly host?: string;
}

export interface FileOptions {
  /** Absolute, as this host sees it. */
  readonly path: string;
  /** `mapped-ram`: each page has its place in the file. */
  readonly mappedRam?: boolean;
  /** Hand the open file over as a descriptor set (`add-fd`): QEMU needs no right to the path. */
  readonly passDescriptor?: boolean;
}

/** What the user wants of one run. */
export interface MigrationRequest {
  readonly source: MachineId;
  readonly target: MachineId;
  /** Absent: `precopy`. */
  readonly method?: MethodName;
  readonly transport: Transport;
  /** `as-is` leaves the parameter alone, but refuses when the two sides differ. */
  readonly backendTransfer: 'as-is' | 'on' | 'off';
  /** `max-bandwidth` of the source for this run only, bytes/s, 0 = no limit; absent: as it is set. */
  readonly maxBandwidthBytesPerSecond?: bigint;
  readonly options?: RunOptions;
  /** Go on in spite of obstacles that can be forced; the reason goes into the journal. */
  readonly force?: { readonly reason: string };
}

/**
 * Who may run the guest. `neither-yet`: it stands still between the two; `file`: it is saved, and
 * runs nowhere; `nobody`: no side has a guest that can run any more.
 */
export type GuestOwner = 'source' | 'target' | 'neither-yet' | 'file' | 'nobody' | 'unknown';

/** The states of `run/states.ts`. */
export type RunPhase =
  | 'plan'
  | 'preflight'
  | 'prepare'
  | 'transfer'
  | 'held'
  | 'switch-over'
  | 'postcopy'
  | 'interrupted'
  | 'cancel'
  | 'settle'
  | 'needs-you'
  | 'ended';

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
  /** What the guest writes, bytes/s, as QEMU measured it in the last pass. */
  readonly dirtyBytesPerSecond: number | undefined;
  /** `downtime-limit` of the source now, ms. */
  readonly downtimeLimitMs: number | undefined;
  /** `max-bandwidth` of the source now, bytes/s; 0: no limit. */
  readonly maxBandwidthBytesPerSecond: number | undefined;
  /** `cpu-throttle-percentage`; absent while the guest is not slowed. */
  readonly throttlePercent: number | undefined;
  /** Who may run the guest now; the lamp. */
  readonly owner: GuestOwner;
  /** Whether this migration will come to an end by itself; absent while there is nothing to say. */
  readonly verdict: ConvergenceVerdict | undefined;
  /** The cancel that was sent has had no effect for a while. */
  readonly cancelHangs: boolean;
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
  /** What went wrong, by its name in the catalogue of failures; absent when nothing did. */
  readonly causeId?: string | undefined;
  /** What mends that cause, without what is to be done with the two QEMUs; whole sentences. */
  readonly cure?: string | undefined;
  /** For `refused`: what a check found, where one has refused. */
  readonly obstacles?: readonly Obstacle[];
  /** For `refused`: a reason in `MigrationRequest.force` is all that is missing. */
  readonly canBeForced?: boolean;
}

/** One run from the moment it was accepted; kept as the last result after its end. */
export interface RunRecord {
  readonly id: number;
  readonly request: MigrationRequest;
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
