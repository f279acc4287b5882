import path from 'node:path';
import { Emitter, type Disposable, type Event } from '../qmp/emitter';
import { discoverQemus } from './discovery';
import { distinctLabels } from './labels';
import { Machine, type MachineOptions } from './machine';
import { isSameProcess } from './process';
import { expandSocketPatterns } from './socketPatterns';
import type { MachineChange, MachineHandle, MachineId, MachineOrigin, QemuProcess } from './types';

/** One remembered machine. */
export interface StoredMachine {
  readonly socketPath: string;
  /** Whether it was connected, and so is to be connected at the next start. */
  readonly connect: boolean;
}

/** Where the list outlives us: `globalState`, or memory. */
export interface MachineStore {
  load(): readonly StoredMachine[];
  /** May reject (disk full); the registry then goes on with the list in memory. */
  save(list: readonly StoredMachine[]): Promise<void>;
}

export type RegistryChange =
  { readonly kind: 'list' } | { readonly kind: 'machine'; readonly change: MachineChange };

export interface RegistryOptions {
  readonly store: MachineStore;
  readonly onTraffic?: (
    id: MachineId,
    label: string,
    direction: 'in' | 'out',
    text: string,
  ) => void;
  /** Whether lost machines are tried again by themselves; default true. */
  readonly autoReconnect?: boolean;
  /** Names of boolean device properties to read where a device has them. */
  readonly devicePermissions?: readonly string[];
  /** Where the kernel's process files are; another folder in tests. */
  readonly procRoot?: string;
  /** See {@link MachineOptions.findHelper}. */
  readonly findHelper?: MachineOptions['findHelper'];
}

const originOrder: Readonly<Record<MachineOrigin, number>> = {
  setting: 0,
  remembered: 1,
  discovered: 2,
};

/** All machines that we know, by the path of their QMP socket. */
export class MachineRegistry implements Disposable {
  private readonly byId = new Map<MachineId, Machine>();
  private readonly subscriptions = new Map<MachineId, Disposable>();
  /** On the list as long as somebody needs them, and never saved. */
  private readonly lent = new Set<MachineId>();
  private readonly changes = new Emitter<RegistryChange>();
  private readonly problems = new Emitter<Error>();
  private readonly options: RegistryOptions;
  private saving: Promise<void> = Promise.resolve();
  private disposed = false;

  readonly onDidChange: Event<RegistryChange> = this.changes.event;
  /** What went wrong without anybody waiting for it, such as a list that could not be saved. */
  readonly onProblem: Event<Error> = this.problems.event;

  constructor(options: RegistryOptions) {
    this.options = options;
  }

  /** Those of the setting, then the remembered, then the discovered; each in the order of coming. */
  get machines(): readonly MachineHandle[] {
    return [...this.byId.values()].sort(
      (a, b) => originOrder[a.snapshot.origin] - originOrder[b.snapshot.origin],
    );
  }

  get(id: MachineId): MachineHandle | undefined {
    return this.byId.get(id);
  }

  /** Loads the remembered list and connects those that were connected. */
  start(): void {
    for (const { socketPath, connect } of this.options.store.load()) {
      const machine = this.add(socketPath, 'remembered');
      // Its state tells why it failed.
      if (connect) machine.connect().catch(ignore);
    }
  }

  /**
   * Connects to a QMP socket and remembers it. A path that was not known before and cannot be
   * connected is not kept.
   *
   * @throws {QmpConnectError}
   */
  async connect(socketPath: string): Promise<MachineHandle> {
    const id = path.resolve(socketPath);
    const known = this.byId.get(id);
    const machine = known ?? this.add(id, 'remembered');
    try {
      await machine.connect();
    } catch (error) {
      if (known === undefined && this.byId.get(id) === machine) this.drop(id);
      throw error;
    }
    this.save();
    return machine;
  }

  /**
   * Takes a machine onto the list and connects it; one that cannot be connected now stays and, with
   * `autoReconnect`, is tried on.
   */
  async attach(socketPath: string): Promise<MachineHandle> {
    const machine = this.add(socketPath, 'remembered');
    // Its state tells why it failed.
    await machine.connect().catch(ignore);
    this.save();
    return machine;
  }

  /**
   * Takes a machine onto the list for a while, beside another one of its name; it is not connected, and
   * not remembered. `remove` ends it.
   *
   * @param role what it is for: stands behind its name
   */
  lend(socketPath: string, name: string, process: QemuProcess, role: string): MachineHandle {
    const id = path.resolve(socketPath);
    // The search may have found it first.
    if (this.byId.has(id)) this.drop(id);
    this.lent.add(id);
    return this.add(id, 'remembered', { name, process }, role);
  }

  /**
   * The QEMU of `heir` is from now on the one of `id`: its socket has got that path. `heir` leaves the
   * list, its connection goes on.
   *
   * @throws {QmpConnectError} there was no connection, and none could be made
   */
  async succeed(id: MachineId, heir: MachineId): Promise<void> {
    const [machine, successor] = [this.byId.get(id), this.byId.get(heir)];
    try {
      if (machine !== undefined && successor !== undefined) await machine.succeed(successor);
    } finally {
      if (successor !== undefined) this.drop(heir);
      this.save();
    }
  }

  /** See `Machine.awaitHeir`. */
  awaitHeir(id: MachineId, expected: boolean): void {
    this.byId.get(id)?.awaitHeir(expected);
  }

  /** Ends the connection; the machine stays in the list and is not tried again. */
  async disconnect(id: MachineId): Promise<void> {
    this.byId.get(id)?.disconnect();
    this.save();
    await this.saving;
  }

  /** Takes the machine off the list. One of the setting comes back with the next change of it. */
  async remove(id: MachineId): Promise<void> {
    if (!this.byId.has(id)) return;
    this.drop(id);
    this.save();
    await this.saving;
  }

  /** Adds and connects what the setting's paths and globs name; drops what they no longer name. */
  async setConfigured(patterns: readonly string[]): Promise<void> {
    const paths = new Set(await expandSocketPatterns(patterns));
    if (this.disposed) return;
    for (const machine of this.machines) {
      const { id, origin } = machine.snapshot;
      if (origin === 'setting' && !paths.has(id)) this.drop(id);
    }
    for (const socketPath of paths) {
      const known = this.byId.get(socketPath);
      if (known !== undefined && known.snapshot.origin !== 'discovered') continue;
      // The search may have come first.
      known?.adopt('setting');
      // Its state tells why it failed.
      (known ?? this.add(socketPath, 'setting')).connect().catch(ignore);
    }
  }

  /**
   * Looks for running QEMUs and lists those that are not known by any of their sockets.
   * Discovered ones that are gone leave the list, unless somebody connected them: those are tried
   * again, as their rows say.
   */
  async discover(): Promise<void> {
    const { procRoot } = this.options;
    const found = await discoverQemus(procRoot === undefined ? {} : { procRoot });
    if (this.disposed) return;
    for (const { snapshot } of this.machines) {
      const { id, origin, state, process } = snapshot;
      if (origin !== 'discovered' || state.kind !== 'idle') continue;
      const qemu = found.find(({ sockets }) => sockets.includes(id));
      const gone =
        qemu === undefined || process === undefined || !isSameProcess(qemu.process, process);
      // A QEMU may have several monitors; one that we know by another of them is listed once.
      if (gone || qemu.sockets.some((socket) => socket !== id && this.byId.has(socket))) {
        this.drop(id);
      }
    }
    for (const qemu of found) {
      const [first] = qemu.sockets;
      if (first === undefined || qemu.sockets.some((socket) => this.byId.has(socket))) continue;
      // Its socket may have another name by now than on its command line.
      const isKnown = this.machines.some(
        ({ snapshot: { process } }) =>
          process !== undefined && isSameProcess(process, qemu.process),
      );
      if (isKnown) continue;
      this.add(first, 'discovered', { name: qemu.name, process: qemu.process });
    }
  }

  dispose(): void {
    this.disposed = true;
    for (const id of [...this.byId.keys()]) this.drop(id);
    this.changes.dispose();
    this.problems.dispose();
  }

  private add(
    socketPath: string,
    origin: MachineOrigin,
    discovered?: MachineOptions['discovered'],
    role?: string,
  ): Machine {
    const id = path.resolve(socketPath);
    const known = this.byId.get(id);
    if (known !== undefined) return known;
    const { onTraffic, autoReconnect, devicePermissions, procRoot, findHelper } = this.options;
    const machine = new Machine({
      socketPath: id,
      origin,
      autoReconnect: autoReconnect ?? true,
      devicePermissions: devicePermissions ?? [],
      ...(discovered && { discovered }),
      ...(role !== undefined && { role }),
      ...(procRoot !== undefined && { procRoot }),
      ...(findHelper && { findHelper }),
      ...(onTraffic && {
        onTraffic: (label, direction, text) => onTraffic(id, label, direction, text),
      }),
    });
    this.byId.set(id, machine);
    this.subscriptions.set(
      id,
      machine.onDidChange((change) => {
        this.changes.fire({ kind: 'machine', change });
        if (change.parts.has('identity')) this.labelAll();
      }),
    );
    this.labelAll();
    this.changes.fire({ kind: 'list' });
    return machine;
  }

  private drop(id: MachineId): void {
    this.subscriptions.get(id)?.dispose();
    this.subscriptions.delete(id);
    this.byId.get(id)?.dispose();
    this.byId.delete(id);
    this.lent.delete(id);
    this.labelAll();
    this.changes.fire({ kind: 'list' });
  }

  /** Two rows, or two sides of a run, must never be called the same. */
  private labelAll(): void {
    const labels = distinctLabels([...this.byId.values()]);
    for (const machine of this.byId.values())
      machine.relabel(labels.get(machine.id) ?? machine.name);
  }

  /** What is remembered: machines that somebody connected by hand, of whatever origin. */
  private save(): void {
    const list = this.machines.flatMap(({ snapshot }): StoredMachine[] => {
      const connect = snapshot.state.kind !== 'idle';
      const keep =
        !this.lent.has(snapshot.id) &&
        (snapshot.origin === 'remembered' || (snapshot.origin === 'discovered' && connect));
      return keep ? [{ socketPath: snapshot.id, connect }] : [];
    });
    this.saving = this.saving
      .then(() => this.options.store.save(list))
      .catch((error: unknown) => {
        this.problems.fire(new ListNotSavedError(error));
      });
  }
}

/** The list of machines could not be written; it is kept in memory until the window closes. */
export class ListNotSavedError extends Error {
  override readonly name = 'ListNotSavedError';

  constructor(cause: unknown) {
    super('The list of machines could not be saved', { cause });
  }
}

function ignore(): void {
  // Told by the machine's state already.
}
