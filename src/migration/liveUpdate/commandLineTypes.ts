import type { Finding } from '../preflight/types';
import type { AdoptedDescriptor, ArgumentChange, LateCommand, PathMove } from './types';

/** What the rewriting of a command line needs to know; all of it found out beforehand. */
export interface RewriteFacts {
  /** The running QEMU's arguments, without the program. */
  readonly args: readonly string[];
  readonly cwd: string;
  /** Versioned machine type of the running QEMU; `undefined`: not known. */
  readonly machineType: string | undefined;
  /** Whether the guest runs (else `-S` keeps its meaning). */
  readonly guestRuns: boolean;
  /** Contents of the files named by `-readconfig`; a missing one is a finding. */
  readonly configFiles: ReadonlyMap<string, string>;
  /** TAP queues that the source holds: by netdev id, in the order of the queues. */
  readonly taps: ReadonlyMap<string, { readonly ifname: string; readonly fds: readonly number[] }>;
  /** Descriptors that the source has, for `fd=` options: number to what it is. */
  readonly descriptors: ReadonlyMap<
    number,
    { readonly target: string; readonly tap: string | undefined }
  >;
  /** Devices, netdevs, objects, block nodes and character devices that exist now; `undefined`: unknown. */
  readonly live: LiveParts;
}

/** What exists now in the machine, by id. */
export interface LiveParts {
  readonly devices: readonly LiveDevice[] | undefined;
  readonly netdevs:
    readonly { readonly id: string; readonly type: string | undefined }[] | undefined;
  readonly objects: readonly string[] | undefined;
  readonly chardevs: readonly string[] | undefined;
  /** Node names and drive ids. */
  readonly blocks: readonly string[] | undefined;
}

/** A device below `/machine/peripheral` with what it takes to make it again. */
export interface LiveDevice {
  readonly id: string;
  readonly driver: string;
  /** Options of `-device` that make the same one: bus, addr, netdev, mac, drive, ...; `undefined`: not known. */
  readonly options: ReadonlyMap<string, string> | undefined;
}

export interface RewriteWishes {
  /** Directory and stem of the target's own paths; `own('qmp')` = an unused path beside the old one. */
  readonly ownPath: (oldPath: string) => string;
  /** The target's QMP socket. */
  readonly qmpSocket: string;
  /** The path of the QMP socket that the user knows, which the target takes over in the end. */
  readonly oldQmpSocket: string;
  /** Value of `-incoming`, in order (`defer`; for cpr-transfer the `cpr` channel besides). */
  readonly incoming: readonly string[];
  /**
   * What becomes of TAP netdevs: `adopt` them by descriptor, leave them out with their NICs (they are
   * added over QMP), `keep` them as they stand (an early spelling of backend transfer ignores the
   * name), or open `anew`.
   */
  readonly taps: 'adopt' | 'leave-out' | 'keep' | 'anew';
  /** Pin the machine type. */
  readonly machineType: string | undefined;
}

export interface RewrittenCommandLine {
  /** Without the program. */
  readonly args: readonly string[];
  readonly changes: readonly ArgumentChange[];
  readonly adopt: readonly AdoptedDescriptor[];
  /** Ids of netdevs and NICs that were left out. */
  readonly leftOut: readonly { readonly netdev: string; readonly device: string | undefined }[];
  readonly moves: readonly PathMove[];
  readonly late: readonly LateCommand[];
  readonly pidFile: string | undefined;
  readonly findings: readonly Finding[];
}

/** See `rewrite.ts`. */
export type RewriteCommandLine = (
  facts: RewriteFacts,
  wishes: RewriteWishes,
) => RewrittenCommandLine;
