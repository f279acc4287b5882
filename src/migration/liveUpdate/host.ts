import type { MachineHandle, MachineId, QemuProcess } from '../../vm/types';
import type { AdoptedDescriptor, LedgerRow, LiveUpdatePlan, TargetStart } from './types';

/** The new QEMU, as we started it. */
export interface StartedQemu {
  readonly process: QemuProcess;
  /** What could not be made as the source has it, such as `cgroup: EACCES`. */
  readonly missing: readonly string[];
  /** The last lines that it wrote on its standard error. Never rejects. */
  readonly stderr: () => Promise<readonly string[]>;
}

/** A watch over the source's TAPs while another QEMU has them too. */
export interface WatchedTaps {
  /** Some have several queues, which have to be handed over while the guest stands still. */
  readonly severalQueues: boolean;
  /** The target has taken them; the source's guest uses them on. @throws {Error} */
  taken(): Promise<void>;
  /** The guest stands still, and the target is about to load it. @throws {Error} */
  handOver(): Promise<void>;
  /**
   * Puts back what the target has changed (header sizes, queues), looks whether it is so, and ends the
   * watch.
   *
   * @returns what is not as it was, as sentences; never rejects
   */
  putBack(): Promise<readonly string[]>;
  /** The target has the guest: its settings count from now on. Never rejects. */
  release(): Promise<void>;
}

/** What a live update does on the host; another one in tests. */
export interface UpdateHost {
  /** @throws {Error} nothing runs then */
  launch(
    source: QemuProcess,
    start: TargetStart,
    signal: AbortSignal | undefined,
  ): Promise<StartedQemu>;
  /**
   * Watches until it is told to end; ends by itself, all put back, when this program dies.
   *
   * @throws {Error} nothing is watched then
   */
  watchTaps(
    source: QemuProcess,
    taps: readonly AdoptedDescriptor[],
    signal: AbortSignal,
  ): Promise<WatchedTaps>;
  /** Looks at the source's descriptors, to be compared with the target's when it has the guest. */
  ledger(plan: LiveUpdatePlan, source: QemuProcess): Promise<LedgerAfter>;
}

/** What the target has of the source's descriptors; `undefined`: it may not be looked at. */
export type LedgerAfter = (
  target: Pick<QemuProcess, 'pid'>,
) => Promise<readonly LedgerRow[] | undefined>;

/** The list of machines, as far as a live update uses it; see `MachineRegistry`. */
export interface UpdateRegistry {
  get(id: MachineId): MachineHandle | undefined;
  lend(socketPath: string, name: string, process: QemuProcess, role: string): MachineHandle;
  succeed(id: MachineId, heir: MachineId): Promise<void>;
  awaitHeir(id: MachineId, expected: boolean): void;
  remove(id: MachineId): Promise<void>;
}

/** How long a live update waits; milliseconds. Other values are for tests. */
export interface UpdatePatience {
  /** For the target's monitor, or its channel, after its start. */
  readonly startMs: number;
  /** For the end of a QEMU that was told to quit: it writes its disks' caches out first. */
  readonly quitMs: number;
  /** Between two looks at a process or a socket. */
  readonly lookMs: number;
}

export const updatePatience: UpdatePatience = { startMs: 30_000, quitMs: 10_000, lookMs: 5 };
