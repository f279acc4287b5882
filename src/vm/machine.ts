import { access } from 'node:fs/promises';
import path from 'node:path';
import type { FdPassHelper } from '../fdpass/helper';
import { QmpConnection, type QmpEvent } from '../qmp/connection';
import { Emitter, type Disposable } from '../qmp/emitter';
import {
  QmpClosedError,
  QmpConnectError,
  QmpError,
  QmpProtocolError,
  type CloseReason,
} from '../qmp/errors';
import type { JsonObject } from '../qmp/json';
import { Backoff } from './backoff';
import { loadFacts, readPart } from './facts';
import { findListener } from './listener';
import { findPeer } from './peer';
import { isAlive, isSameProcess, readProcess } from './process';
import {
  NotConnectedError,
  type FactPart,
  type MachineChange,
  type MachineHandle,
  type MachineOrigin,
  type MachinePart,
  type MachineSnapshot,
  type QemuProcess,
  type VmFacts,
} from './types';

export interface MachineOptions {
  readonly socketPath: string;
  readonly origin: MachineOrigin;
  /** What discovery knew already. */
  readonly discovered?: { readonly name: string | undefined; readonly process: QemuProcess };
  /** What it is for, where that tells it from another of its name: see `MachineRegistry.lend`. */
  readonly role?: string;
  /** Boolean device properties to read where a device has them. */
  readonly devicePermissions: readonly string[];
  readonly autoReconnect: boolean;
  readonly procRoot?: string;
  /** The helper that asks the kernel who is behind a connection; `undefined`: there is none. */
  readonly findHelper?: () => Promise<FdPassHelper | undefined>;
  readonly onTraffic?: (label: string, direction: 'in' | 'out', text: string) => void;
}

/** QAPI `MigrationStatus` values in which nothing moves (any more). Unknown ones count as moving. */
const restingStatuses: ReadonlySet<unknown> = new Set([
  undefined,
  'none',
  'completed',
  'failed',
  'cancelled',
]);

/** Whether `query-migrate` tells of a migration under way, incoming or outgoing. */
export function isMigrating(migration: JsonObject): boolean {
  return !restingStatuses.has(migration['status']);
}

const pollIntervalMs = 500;
/** Events come in bursts; one reading answers them all. */
const settleMs = 20;

const partsByEvent: Readonly<Record<string, readonly FactPart[]>> = {
  STOP: ['status'],
  RESUME: ['status'],
  SUSPEND: ['status'],
  SUSPEND_DISK: ['status'],
  WAKEUP: ['status'],
  RESET: ['status'],
  GUEST_PANICKED: ['status'],
  WATCHDOG: ['status'],
  MIGRATION: ['migration', 'status'],
  MIGRATION_PASS: ['migration'],
  DEVICE_DELETED: ['devices'],
};

/** One try to connect; everybody who asks meanwhile waits for its end. */
interface Attempt {
  readonly abort: AbortController;
  end: Promise<void> | undefined;
}

/** One QEMU behind one QMP socket: keeps the connection and the one snapshot. */
export class Machine implements MachineHandle, Disposable {
  readonly id: string;
  private current: MachineSnapshot;
  private live: QmpConnection | undefined;
  private listening: Disposable | undefined;
  /** Who tells of the traffic on our connection: the machine that has taken it over. */
  private speaker: Machine = this;
  private awaitsHeir = false;
  private attempt: Attempt | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private pollTimer: NodeJS.Timeout | undefined;
  private settleTimer: NodeJS.Timeout | undefined;
  private readonly stale = new Set<FactPart>();
  private readonly backoff = new Backoff();
  /** What it said when it ended; until it, or another one, listens there again. */
  private quit: CloseReason | undefined;
  private readonly changes = new Emitter<MachineChange>();
  private readonly events = new Emitter<QmpEvent>();
  private readonly peers = new WeakMap<QmpConnection, QemuProcess>();
  private watchers = 0;
  private ownName: string;
  private readonly options: MachineOptions;

  readonly onDidChange = this.changes.event;
  readonly onEvent = this.events.event;

  constructor(options: MachineOptions) {
    this.options = options;
    this.id = options.socketPath;
    this.ownName = this.withRole(options.discovered?.name ?? path.basename(options.socketPath));
    this.current = {
      id: options.socketPath,
      socketPath: options.socketPath,
      origin: options.origin,
      label: this.ownName,
      state: { kind: 'idle' },
      process: options.discovered?.process,
      facts: undefined,
    };
  }

  get snapshot(): MachineSnapshot {
    return this.current;
  }

  /** Its name without what tells it from others of that name: see `MachineSnapshot.label`. */
  get name(): string {
    return this.ownName;
  }

  /** Gives it a label that no other machine has. */
  relabel(label: string): void {
    if (label !== this.current.label) this.update({ label }, ['identity']);
  }

  /** From now on somebody else answers for the machine's being on the list. */
  adopt(origin: MachineOrigin): void {
    this.update({ origin }, ['identity']);
  }

  connection(): QmpConnection {
    if (this.live === undefined || this.current.state.kind !== 'ready') {
      throw new NotConnectedError(this.current);
    }
    return this.live;
  }

  /**
   * Connects and reads everything. On failure the machine is `lost` and, with `autoReconnect`,
   * tried again. Does nothing when connected already, and joins an attempt that is under way.
   *
   * @throws {QmpConnectError} why it could not be done; `closed-by-us` when `disconnect` came first
   */
  async connect(): Promise<void> {
    if (this.live !== undefined) return;
    const attempt = this.attempt ?? this.beginAttempt();
    await attempt.end;
  }

  private beginAttempt(): Attempt {
    clearTimeout(this.retryTimer);
    const attempt: Attempt = { abort: new AbortController(), end: undefined };
    this.attempt = attempt;
    attempt.end = this.tryToConnect(attempt.abort.signal);
    return attempt;
  }

  private async tryToConnect(signal: AbortSignal): Promise<void> {
    this.update({ state: { kind: 'connecting' } }, ['state']);
    try {
      await this.open(signal);
    } catch (error) {
      if (signal.aborted)
        throw new QmpConnectError(this.id, { kind: 'closed-by-us' }, { cause: error });
      this.attempt = undefined;
      const failure = asConnectError(this.id, error);
      this.lose(failure.closeReason);
      throw failure;
    }
  }

  private async open(signal: AbortSignal): Promise<void> {
    const { onTraffic } = this.options;
    this.speaker = this;
    const connection = await QmpConnection.connect(this.options.socketPath, {
      signal,
      ...(onTraffic && {
        onTraffic: (direction, text) => this.speaker.tellTraffic(direction, text),
      }),
    });
    if (signal.aborted) connection.close();
    signal.throwIfAborted();
    // A monitor serves one client: whoever gives up must not hold it until the last answer came.
    signal.addEventListener('abort', () => connection.close(), { once: true });
    // Listening before reading: what changes in between is then read again, never missed.
    this.listenTo(connection);
    try {
      const facts = await loadFacts(connection, this.options.devicePermissions);
      signal.throwIfAborted();
      this.live = connection;
      this.attempt = undefined;
      this.backoff.reset();
      this.quit = undefined;
      const name = this.withRole(
        facts.name ?? this.options.discovered?.name ?? path.basename(this.id),
      );
      // A label that tells it from others of that name stays, if the name does.
      const label = name === this.ownName ? this.current.label : name;
      this.ownName = name;
      this.update({ facts, label, state: { kind: 'ready' } }, everyPart);
      if (this.settleTimer === undefined) this.readStale();
      if (connection.closeReason !== undefined) this.lose(connection.closeReason);
    } catch (error) {
      connection.close();
      throw error;
    }
    void this.identify();
  }

  /**
   * Until `succeed`, the end of the connection is no loss: another QEMU is about to take this one's
   * place. With false it is one again, also in hindsight.
   */
  awaitHeir(expected: boolean): void {
    this.awaitsHeir = expected;
    if (expected || this.live !== undefined || this.attempt !== undefined) return;
    this.lose({ kind: 'qemu-quit', guest: false, reason: 'host-qmp-quit' });
  }

  /**
   * From now on this machine is the QEMU of `heir`, whose socket has got this one's path. The
   * connection is taken over: no event is missed. `heir` is left without one.
   *
   * @throws {QmpConnectError} `heir` had none, and none could be made
   */
  async succeed(heir: Machine): Promise<void> {
    const { live } = heir;
    const { facts, process } = heir.current;
    if (live === undefined || facts === undefined || live.closeReason !== undefined) {
      heir.disconnect();
      this.awaitsHeir = false;
      await this.connect();
      return;
    }
    heir.live = undefined;
    heir.listening?.dispose();
    heir.disconnect();
    heir.speaker = this;
    this.leave();
    this.awaitsHeir = false;
    this.live = live;
    this.listenTo(live);
    this.backoff.reset();
    const name = facts.name ?? path.basename(this.id);
    const label = name === this.ownName ? this.current.label : name;
    this.ownName = name;
    this.update({ facts, process, label, state: { kind: 'ready' } }, everyPart);
    void this.refresh().catch(ignore);
  }

  private listenTo(connection: QmpConnection): void {
    const listening = connection.onEvent((event) => this.handleEvent(event));
    this.listening = listening;
    void connection.closed.then((reason) => {
      listening.dispose();
      if (this.live === connection) this.lose(reason);
    });
  }

  private tellTraffic(direction: 'in' | 'out', text: string): void {
    this.options.onTraffic?.(this.current.label, direction, text);
  }

  private withRole(name: string): string {
    const { role } = this.options;
    return role === undefined ? name : `${name} (${role})`;
  }

  /**
   * Finds the process behind the connection, or else behind the socket's path, anew; `undefined`
   * where neither the kernel nor `/proc` tells.
   */
  async identify(): Promise<QemuProcess | undefined> {
    const { procRoot } = this.options;
    const process = await this.findProcess();
    const known = this.current.process;
    const changed =
      process === undefined
        ? // Its end would be taken for the end of the QEMU that listens now.
          known !== undefined && !(await isAlive(known, procRoot))
        : known === undefined || !isSameProcess(process, known);
    if (changed) this.update({ process }, ['identity']);
    return process;
  }

  private async findProcess(): Promise<QemuProcess | undefined> {
    const { socketPath, procRoot, findHelper } = this.options;
    const { live } = this;
    if (live === undefined || findHelper === undefined) return findListener(socketPath, procRoot);
    const known = this.peers.get(live);
    // Who is at the other end does not change; what program that process runs may.
    const still = known && (await readProcess(known.pid, procRoot));
    if (known !== undefined && still !== undefined && isSameProcess(known, still)) return still;
    const helper = await findHelper().catch(() => undefined);
    const { process, by } = await findPeer(live, helper, procRoot);
    if (process !== undefined && by !== 'path') this.peers.set(live, process);
    return process;
  }

  /** Ends the connection and stays away until `connect`. */
  disconnect(): void {
    if (this.live !== undefined) this.update({ state: { kind: 'closing' } }, ['state']);
    this.leave();
    this.update({ state: { kind: 'idle' } }, ['state']);
  }

  /** Ends the connection and every attempt at one, without a word. */
  private leave(): void {
    clearTimeout(this.retryTimer);
    this.attempt?.abort.abort();
    this.attempt = undefined;
    const { live } = this;
    this.live = undefined;
    live?.close();
    this.stale.clear();
    this.schedulePoll();
  }

  async refresh(parts: readonly FactPart[] = factParts): Promise<VmFacts> {
    const connection = this.connection();
    await Promise.all(parts.map((part) => this.refreshPart(connection, part)));
    const { facts } = this.current;
    // After a new connection these facts would be of another QEMU than the one that was asked.
    if (facts === undefined || this.live !== connection) throw new NotConnectedError(this.current);
    return facts;
  }

  private async refreshPart(connection: QmpConnection, part: FactPart): Promise<void> {
    let patch: Partial<VmFacts>;
    let failure: QmpError | undefined;
    try {
      patch = await readPart(connection, part, this.options.devicePermissions);
    } catch (error) {
      if (!(error instanceof QmpError) || connection.closeReason !== undefined) throw error;
      patch = {};
      failure = error;
    }
    const { facts } = this.current;
    if (facts === undefined || this.live !== connection) return;
    const failures = { ...facts.failures };
    if (failure === undefined) Reflect.deleteProperty(failures, part);
    else failures[part] = failure;
    this.update({ facts: { ...facts, ...patch, failures } }, [part]);
  }

  watch(): Disposable {
    this.watchers += 1;
    this.schedulePoll();
    let held = true;
    return {
      dispose: () => {
        if (!held) return;
        held = false;
        this.watchers -= 1;
        this.schedulePoll();
      },
    };
  }

  dispose(): void {
    this.disconnect();
    clearTimeout(this.settleTimer);
    clearTimeout(this.pollTimer);
    this.changes.dispose();
    this.events.dispose();
  }

  private handleEvent(event: QmpEvent): void {
    const { facts } = this.current;
    const status = event.data['status'];
    if (event.name === 'MIGRATION' && facts !== undefined && typeof status === 'string') {
      // Shown at once; the full answer follows with the reading below.
      this.update({ facts: { ...facts, migration: { ...facts.migration, status } } }, [
        'migration',
      ]);
    }
    this.events.fire(event);
    for (const part of partsByEvent[event.name] ?? []) this.stale.add(part);
    if (this.stale.size > 0) this.settleTimer ??= setTimeout(() => this.readStale(), settleMs);
  }

  private readStale(): void {
    this.settleTimer = undefined;
    // Until the first reading is done, what changed meanwhile has to wait.
    if (this.live === undefined || this.stale.size === 0) return;
    const parts = [...this.stale];
    this.stale.clear();
    // A connection that is lost meanwhile is told by its own state.
    this.refresh(parts).catch(ignore);
  }

  private lose(reason: CloseReason): void {
    this.live = undefined;
    this.stale.clear();
    this.schedulePoll();
    if (this.awaitsHeir) {
      this.update({ state: { kind: 'connecting' } }, ['state']);
      return;
    }
    if (reason.kind === 'qemu-quit') this.quit = reason;
    const isGone = reason.kind === 'no-such-file' || reason.kind === 'connection-refused';
    // That nobody is there says less than that it quit.
    const told = isGone && this.quit !== undefined ? this.quit : reason;
    this.update({ state: { kind: 'lost', reason: told } }, ['state']);
    this.scheduleRetry();
  }

  private scheduleRetry(): void {
    if (!this.options.autoReconnect) return;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => void this.retry(), this.backoff.nextMs());
    this.retryTimer.unref();
  }

  /** One that has quit is not called "connecting" while nothing is there to connect to. */
  private async retry(): Promise<void> {
    const timer = this.retryTimer;
    if (this.quit !== undefined && !(await isThere(this.options.socketPath))) {
      if (timer === this.retryTimer && this.current.state.kind === 'lost') this.scheduleRetry();
      return;
    }
    // The state tells why it failed.
    if (this.current.state.kind === 'lost') await this.connect().catch(ignore);
  }

  private schedulePoll(): void {
    const migrating = this.live !== undefined && isMigrating(this.current.facts?.migration ?? {});
    if (!migrating || this.watchers === 0) {
      clearTimeout(this.pollTimer);
      this.pollTimer = undefined;
      return;
    }
    if (this.pollTimer !== undefined) return;
    const timer = setTimeout(() => {
      void this.refresh(['migration', 'status'])
        .catch(ignore)
        .then(() => {
          // Let go, and perhaps held again, while the answer was on its way.
          if (this.pollTimer !== timer) return;
          this.pollTimer = undefined;
          this.schedulePoll();
        });
    }, pollIntervalMs);
    this.pollTimer = timer;
  }

  private update(patch: Partial<MachineSnapshot>, parts: readonly MachinePart[]): void {
    this.current = { ...this.current, ...patch };
    if (parts.includes('migration')) this.schedulePoll();
    this.changes.fire({ id: this.id, parts: new Set(parts) });
  }
}

const factParts: readonly FactPart[] = [
  'status',
  'parameters',
  'capabilities',
  'migration',
  'devices',
];
const everyPart: readonly MachinePart[] = ['state', 'identity', ...factParts];

function ignore(): void {
  // Told by the machine's state already.
}

function asConnectError(socketPath: string, error: unknown): QmpConnectError {
  if (error instanceof QmpConnectError) return error;
  return new QmpConnectError(socketPath, closeReasonOf(error), { cause: error });
}

/** Why the first reading failed: the connection ended, or QEMU did not answer as a QEMU does. */
function closeReasonOf(error: unknown): CloseReason {
  if (error instanceof QmpClosedError) return error.closeReason;
  const { message } = error instanceof Error ? error : { message: String(error) };
  return {
    kind: 'protocol-error',
    error:
      error instanceof QmpProtocolError
        ? error
        : new QmpProtocolError('unexpected', message, '', { cause: error }),
  };
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
