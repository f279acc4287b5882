import type { MachineId, QemuProcess } from '../../vm/types';
import type { Finding } from '../preflight/types';
import type {
  MethodName,
  MigrationRequest,
  RunOptions,
  RunOutcome,
  RunProgress,
} from '../run/types';

/**
 * The ways of putting a new QEMU under a running guest, best first. All but `cpr-exec` start a second
 * process, which is the target of a run.
 */
export type UpdateMethod =
  /** Pre-copy; QEMU hands the TAPs over (`local`, or an earlier spelling). */
  | 'backend-transfer'
  /** Pre-copy; the target is given duplicates of the source's TAP descriptors. */
  | 'tap-adoption'
  /** The memory stays where it is (`cpr-transfer`); TAPs are adopted. */
  | 'cpr-transfer'
  /** Both map the same memory file (`x-ignore-shared`); TAPs are adopted. */
  | 'shared-ram'
  /** The same process becomes another program; tried out beforehand. */
  | 'cpr-exec'
  /** Pre-copy; the target opens networks of its own. */
  | 'plain';

/** What the user wants. */
export interface LiveUpdateRequest {
  readonly machine: MachineId;
  /** The QEMU to run from now on, absolute; may be the same. */
  readonly program: string;
  readonly method: 'auto' | UpdateMethod;
  /**
   * The target's arguments as the user edited them, without the program; absent: as planned. What
   * is needed to drive it (its QMP socket, `-incoming`) must still be in them.
   */
  readonly args?: readonly string[];
  /** For the run itself: limits, multifd, ... */
  readonly options?: RunOptions;
  readonly maxBandwidthBytesPerSecond?: bigint;
  /** Go on in spite of findings that can be overruled; the reason goes into the journal. */
  readonly force?: { readonly reason: string };
}

/** Whether a way can be gone with this pair of binaries and this machine, and why (not). */
export interface UpdateMethodOffer {
  readonly method: UpdateMethod;
  readonly offered: boolean;
  /** One sentence. */
  readonly reason: string;
}

/** A descriptor of the source that the target gets under a number of its own choice. */
export interface AdoptedDescriptor {
  /** Number in the source. */
  readonly sourceFd: number;
  /** Number in the target's command line. */
  readonly targetFd: number;
  /** The TAP that it is a queue of; `undefined`: something else. */
  readonly tap: string | undefined;
  /** The netdev that it serves. */
  readonly netdev: string | undefined;
}

/** A NIC that is added to the target over QMP, after its settings and before it listens. */
export interface HotAddedNic {
  /** Arguments of `netdev_add`. */
  readonly netdev: Readonly<Record<string, unknown>>;
  /** Arguments of `device_add`. */
  readonly device: Readonly<Record<string, unknown>>;
}

/** A path of the target that takes the old name when the source is gone. */
export interface PathMove {
  /** What it is for a person: `QMP socket`, `monitor`, `serial console`, ... */
  readonly what: string;
  readonly from: string;
  readonly to: string;
}

/** A QMP command for the target once the source is gone, such as the VNC server's old address. */
export interface LateCommand {
  readonly what: string;
  readonly command: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** One line of the difference between the two command lines. */
export interface ArgumentChange {
  /** `kept` | `changed` | `added` | `removed` */
  readonly kind: 'kept' | 'changed' | 'added' | 'removed';
  /** The words as they were; empty when added. */
  readonly before: readonly string[];
  /** The words as they will be; empty when removed. */
  readonly after: readonly string[];
  /** Why it is not kept. */
  readonly why: string | undefined;
}

/** One step of the plan, in the order of doing. */
export interface PlanStep {
  readonly phase: 'before' | 'pause' | 'after';
  /** Whose QMP, or `host` for what we do ourselves. */
  readonly side: 'source' | 'target' | 'host';
  readonly what: string;
  /** The QMP line as it is sent, or the call of the helper; `undefined`: nothing is sent. */
  readonly line: string | undefined;
}

/** A descriptor of the source, and what becomes of it. */
export interface LedgerRow {
  readonly kind: 'tap' | 'vhost' | 'memory' | 'eventfd' | 'disk' | 'socket' | 'kvm' | 'other';
  /** `TAP web0, queue 1`, a path, ... */
  readonly what: string;
  readonly sourceFd: number;
  /** Number in the target; `undefined`: not (yet) there. */
  readonly targetFd: number | undefined;
  readonly fate: 'handed-over' | 'opened-anew' | 'unclaimed' | 'ends-with-source';
}

/** How the target is started. */
export interface TargetStart {
  readonly program: string;
  /** Without the program. */
  readonly args: readonly string[];
  /** Started alike: user, groups, namespaces, cgroup, limits. */
  readonly like: QemuProcess;
  readonly adopt: readonly AdoptedDescriptor[];
  /** The target's QMP socket while both are there; in the directory of the source's. */
  readonly qmpSocket: string;
  /** What it writes on stderr. */
  readonly logFile: string;
  /** For cpr-transfer: the socket of the `cpr` channel. */
  readonly cprSocket: string | undefined;
}

/**
 * Everything that is going to happen, found out without changing anything. The run does this and
 * nothing else; a step that cannot be done as planned ends it, and the guest stays on the source.
 */
export interface LiveUpdatePlan {
  readonly request: LiveUpdateRequest;
  readonly label: string;
  readonly sourceVersion: string;
  /** As the new program says; `undefined`: it was not asked, or did not answer. */
  readonly targetVersion: string | undefined;
  readonly method: UpdateMethod;
  /** Why this one. */
  readonly why: string;
  /** All ways, best first. */
  readonly methods: readonly UpdateMethodOffer[];
  /** The method of the run engine and how the bytes travel. */
  readonly run: Omit<MigrationRequest, 'source' | 'target' | 'method'> & {
    readonly method: MethodName;
  };
  readonly sourceArgs: readonly string[];
  /** For cpr-exec `start.args` are the arguments that the process gets, without `-incoming`. */
  readonly start: TargetStart;
  readonly changes: readonly ArgumentChange[];
  readonly hotAdd: readonly HotAddedNic[];
  readonly moves: readonly PathMove[];
  /** Rewritten when the source is gone. */
  readonly pidFile: string | undefined;
  readonly late: readonly LateCommand[];
  readonly steps: readonly PlanStep[];
  readonly findings: readonly Finding[];
  readonly ledger: readonly LedgerRow[];
}

/** The update may not begin: a finding blocks, or facts could not be had. Nothing was changed. */
export class LiveUpdateRefusedError extends Error {
  override readonly name = 'LiveUpdateRefusedError';
  readonly findings: readonly Finding[];
  readonly nextStep: string;

  constructor(message: string, findings: readonly Finding[], nextStep: string, cause?: unknown) {
    super(message, { cause });
    this.findings = findings;
    this.nextStep = nextStep;
  }
}

export type UpdatePhase =
  | 'plan'
  /** The target is started and made ready; the guest runs on the source. */
  | 'start'
  /** The run of the engine; see its own progress. */
  | 'run'
  /** The source is told to quit, names are moved. */
  | 'settle'
  /** The target is ended and everything put back. */
  | 'roll-back'
  | 'ended';

export interface UpdateProgress {
  readonly phase: UpdatePhase;
  /** What is being done, for a person. */
  readonly step: string;
  /** The run's, once there is one. */
  readonly run: RunProgress | undefined;
}

/** Times in ms; `undefined` where it was not measured. */
export interface UpdateTimes {
  /** From the begin of the update to `migrate`. */
  readonly beforeMs: number | undefined;
  /** `downtime` of `query-migrate`. */
  readonly downtimeMs: number | undefined;
  /** The source's STOP to the target's RESUME, by the events' timestamps. */
  readonly blackoutMs: number | undefined;
  /** From `completed` to the source's end, and to the last moved name. */
  readonly sourceGoneMs: number | undefined;
  readonly afterMs: number | undefined;
}

/** The truthful end of a live update. */
export interface UpdateOutcome {
  /** `updated`: the guest runs in the new QEMU; `refused`: nothing was begun. */
  readonly kind: 'updated' | 'refused' | 'failed' | 'cancelled' | 'unknown';
  /** Of the run, when it came to one. */
  readonly run: RunOutcome | undefined;
  readonly headline: string;
  readonly details: readonly string[];
  readonly nextStep: string;
  readonly times: UpdateTimes;
  /** After the end: what the target has of the source's descriptors. */
  readonly ledger: readonly LedgerRow[];
  /** What could not be put in order, each as a sentence; empty: nothing is left behind. */
  readonly leftovers: readonly string[];
  readonly targetPid: number | undefined;
  readonly findings: readonly Finding[];
}
