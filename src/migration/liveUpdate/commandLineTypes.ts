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
  readonly netdevs: readonly LiveNetdev[] | undefined;
  readonly objects: readonly string[] | undefined;
  readonly chardevs: readonly string[] | undefined;
  /** Node names and drive ids. */
  readonly blocks: readonly string[] | undefined;
  /**
   * Devices without an id, in the order of `/machine/peripheral-anon` (`device[0]`, `device[1]`, ...);
   * needed only where a device before them is left out. Absent: not known.
   */
  readonly nameless?: readonly LiveDevice[];
  /** What makes an object again (`-object`), `qom-type` included, by id; needed for those added since the start. */
  readonly objectOptions?: ReadonlyMap<string, LiveOptions>;
  /** What makes a block node again, by node name: the JSON of `-blockdev`. */
  readonly blockOptions?: ReadonlyMap<string, string>;
  /** What makes a character device again (`-chardev`), `backend` included, by id. */
  readonly chardevOptions?: ReadonlyMap<string, LiveOptions>;
  /** `query-fdsets`: number of a set to the descriptors that the source has in it, in their order. */
  readonly fdsets?: ReadonlyMap<number, readonly number[]>;
  /** Files of the guest's disks as QEMU names them now; one that the command line does not name blocks. */
  readonly images?: readonly string[];
}

/** Keys and values of an option, unescaped. */
export type LiveOptions = ReadonlyMap<string, string>;

export interface LiveNetdev {
  readonly id: string;
  readonly type: string | undefined;
  /** What makes it again (`-netdev`) apart from `type` and `id`; needed for those added since the start. */
  readonly options?: LiveOptions;
}

/** A device below `/machine/peripheral` with what it takes to make it again. */
export interface LiveDevice {
  readonly id: string;
  readonly driver: string;
  /** Options of `-device` that make the same one: bus, addr, netdev, mac, drive, ...; `undefined`: not known. */
  readonly options: LiveOptions | undefined;
}

export interface RewriteWishes {
  /**
   * A path of the target's own: for an absolute path one beside it (a socket is renamed over it later,
   * which works only within one file system), for a bare word such as `serial0` one of that stem in
   * the directory of the QMP socket. The same argument gives the same path; if it is taken on
   * the command line a number is added.
   */
  readonly ownPath: (oldPath: string) => string;
  /**
   * The name by which others know a path of the source's command line, where an earlier update has
   * moved it; absent: its own name. Both absolute.
   */
  readonly knownAs?: (path: string) => string;
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
