import type { CloseReason, QmpError } from '../qmp/errors';
import type { JsonObject, JsonValue } from '../qmp/json';
import type { Disposable, Event } from '../qmp/emitter';
import type { QmpConnection, QmpEvent, QmpVersion } from '../qmp/connection';
import type { QmpSchema } from '../qmp/schema';

/** Names a machine for good: the absolute path of its QMP socket. */
export type MachineId = string;

/** How we came to know the machine. */
export type MachineOrigin = 'remembered' | 'setting' | 'discovered';

/** The connection to one monitor, as one union; nothing else says whether we are connected. */
export type MachineState =
  /** Known, but nobody asked to connect (found by discovery, or disconnected by the user). */
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'ready' }
  /** Lost or not reachable; tried again until the user disconnects. */
  | { readonly kind: 'lost'; readonly reason: CloseReason }
  | { readonly kind: 'closing' };

/** The QEMU process behind a socket, as `/proc` tells it. */
export interface QemuProcess {
  readonly pid: number;
  /** Field 22 of `/proc/PID/stat`, clock ticks since boot: tells a reused pid apart. */
  readonly startTicks: bigint;
  readonly uid: number;
  readonly executable: string | undefined;
  /** The root directory that it sees; `undefined` when we may not know. */
  readonly root: string | undefined;
  readonly args: readonly string[];
}

/** Answer of `query-status`. */
export interface RunState {
  /** QAPI `RunState`: running, paused, inmigrate, postmigrate, ... */
  readonly status: string;
  readonly running: boolean;
}

export interface Capability {
  readonly name: string;
  readonly enabled: boolean;
}

/** A host network back end, from HMP `info network` (QMP has no query for it). */
export interface NetdevFacts {
  readonly id: string;
  /** tap, user, vhost-user, ...; `undefined` when QEMU did not tell. */
  readonly type: string | undefined;
  readonly ifname: string | undefined;
  /** A TAP without descriptors yet: they come with the migration. */
  readonly incoming: boolean;
}

/** A user-created device below `/machine/peripheral`. */
export interface DeviceFacts {
  readonly id: string;
  readonly path: string;
  /** QOM type, such as `virtio-net-pci`. */
  readonly driver: string;
  readonly netdev: NetdevFacts | undefined;
  /** Values of those permission properties (see `MachineOptions`) that this device has. */
  readonly permissions: Readonly<Record<string, JsonValue>>;
}

/** What QEMU answered last; each part is replaced as a whole. */
export interface VmFacts {
  readonly version: QmpVersion;
  /** `query-name`; `undefined` without `-name`. */
  readonly name: string | undefined;
  /** `query-uuid`; `undefined` when all zero. */
  readonly uuid: string | undefined;
  /** Versioned machine type without the `-machine` suffix, such as `pc-q35-10.0`. */
  readonly machineType: string | undefined;
  /** Base plus plugged memory in bytes (`query-memory-size-summary`). */
  readonly memoryBytes: number | undefined;
  readonly runState: RunState;
  /** `query-migrate-parameters`, as QEMU gave it. */
  readonly parameters: JsonObject;
  readonly capabilities: readonly Capability[];
  /** `query-migrate`, as QEMU gave it. */
  readonly migration: JsonObject;
  readonly devices: readonly DeviceFacts[];
  readonly schema: QmpSchema;
  /**
   * The options of `-global migration.NAME=` with the value each has in a fresh QEMU, `undefined`
   * where QEMU does not tell (`device-list-properties` of the type `migration`); empty where it
   * has no such list.
   */
  readonly migrationProperties: ReadonlyMap<string, JsonValue | undefined>;
  /** Parts whose last query failed; their values above are the last known or empty. */
  readonly failures: Readonly<Partial<Record<FactPart, QmpError>>>;
}

export type FactPart = 'status' | 'parameters' | 'capabilities' | 'migration' | 'devices';
export type MachinePart = FactPart | 'state' | 'identity';

/** The one immutable picture of a machine; a new object each time something changed. */
export interface MachineSnapshot {
  readonly id: MachineId;
  readonly socketPath: string;
  readonly origin: MachineOrigin;
  /**
   * `query-name`, else `-name` of the command line, else the socket's file name; where several
   * machines of the list have the same, with the end of the socket's path behind it.
   */
  readonly label: string;
  readonly state: MachineState;
  readonly process: QemuProcess | undefined;
  /** Present while ready and, as last known, after the connection was lost. */
  readonly facts: VmFacts | undefined;
}

export interface MachineChange {
  readonly id: MachineId;
  readonly parts: ReadonlySet<MachinePart>;
}

/** A machine as the domain sees it: facts, and QMP commands; no sockets. */
export interface MachineHandle {
  readonly id: MachineId;
  readonly snapshot: MachineSnapshot;
  readonly onDidChange: Event<MachineChange>;
  readonly onEvent: Event<QmpEvent>;
  /** The live connection at the moment of use. @throws {NotConnectedError} */
  connection(): QmpConnection;
  /** Reads the named parts again (all by default). @throws {NotConnectedError} */
  refresh(parts?: readonly FactPart[]): Promise<VmFacts>;
  /** Connects now instead of at the next attempt. @throws {QmpConnectError} */
  connect(): Promise<void>;
  /** Finds the process behind the socket anew; `undefined` where `/proc` does not tell. */
  identify(): Promise<QemuProcess | undefined>;
  /** While held, and while a migration runs, `query-migrate` is polled. */
  watch(): Disposable;
}

/** A command needed a connection that is not there. */
export class NotConnectedError extends Error {
  override readonly name = 'NotConnectedError';
  readonly machineId: MachineId;
  readonly label: string;
  readonly state: MachineState;

  constructor(snapshot: Pick<MachineSnapshot, 'id' | 'label' | 'state'>) {
    super(`${snapshot.label} is not connected (${snapshot.state.kind})`);
    this.machineId = snapshot.id;
    this.label = snapshot.label;
    this.state = snapshot.state;
  }
}
