import { join } from 'node:path';
import { qemuVersions, type QemuOptions, type QemuVersionName } from '../../scripts/lib/qemu';
import type { MethodName, RunOptions, Transport } from '../../src/migration/run/types';
import type { Breaking, Phase } from './names';

/** What is known of the place where a case is tried. */
export interface Place {
  readonly directory: string;
  /** Free a moment ago, for a channel over TCP. */
  readonly port: number;
  /** Another address of the loopback interface, if somebody stands between the two QEMUs. */
  readonly connectTo: string | undefined;
}

export interface Machine {
  readonly directory: string;
  readonly name: string;
  readonly memoryMiB: number;
}

/** A way to migrate, as the matrix tries it. */
export interface Arm {
  readonly name: string;
  readonly method: MethodName;
  /**
   * `save`: no target takes part; `restore`: the source has saved its guest before; `exec`: the source
   * is replaced in its process.
   */
  readonly kind: 'two-sided' | 'save' | 'restore' | 'exec';
  readonly transport: Transport;
  readonly versions: readonly QemuVersionName[];
  /** Those that it can be held in. */
  readonly phases: readonly Phase[];
  /** Why it has none of the others. */
  readonly never: Readonly<Partial<Record<Phase, string>>>;
  /** Breakings that cannot be brought about here, and why. */
  readonly cannot?: Readonly<Partial<Record<Breaking, string>>>;
  readonly options?: (place: Place) => RunOptions;
  /** How a QEMU is started for it, the one of the run afterwards included. */
  readonly qemu?: (machine: Machine) => Partial<QemuOptions>;
  /**
   * The target answers only once the source has begun. Frozen before that it holds the transfer.
   */
  readonly targetArrives?: true;
  /**
   * How it is held in the switchover. `stop`: the target is frozen when the guest stops on the source;
   * `held`: it is frozen while the run stands before the switchover, and then that is released.
   */
  readonly switchOver: 'stop' | 'held';
}

/** Saving to a file begins with it. */
const filesSince: readonly QemuVersionName[] = ['10.0', '11.1'];
const ofSave: Arm['never'] = {
  'switch-over': 'the devices are written within moments',
  postcopy: 'a file asks for no pages',
  held: 'a save that is to be held is refused',
};

/** Where a guest is saved. */
export function stateFileIn(directory: string): string {
  return join(directory, 'guest.state');
}

const inOneGo: Arm['never'] = { postcopy: 'the guest leaves in one go' };
const allOfPrecopy: readonly Phase[] = ['prepare', 'transfer', 'held', 'switch-over', 'settle'];

/** The memory is a file that both QEMUs map. */
function fileMemory({ directory, name, memoryMiB }: Machine): Partial<QemuOptions> {
  const file = join(directory, name === 'fresh' ? 'ram-fresh' : 'ram');
  return memory(`memory-backend-file,id=ram0,size=${memoryMiB}M,mem-path=${file},share=on`);
}

/** The memory is handed over as a descriptor. */
function memfdMemory({ memoryMiB }: Machine): Partial<QemuOptions> {
  return memory(`memory-backend-memfd,id=ram0,size=${memoryMiB}M,share=on`, ',aux-ram-share=on');
}

function memory(object: string, machine = ''): Partial<QemuOptions> {
  return {
    extraArgs: ['-object', object, '-machine', `memory-backend=ram0${machine}`],
  };
}

/** Where the target of a cpr-transfer waits. */
export function cprSocketIn(directory: string): string {
  return join(directory, 'cpr.sock');
}

export const arms: readonly Arm[] = [
  {
    ...{
      name: 'precopy-fd',
      method: 'precopy',
      kind: 'two-sided',
      transport: 'fd',
      versions: qemuVersions,
    },
    ...{ phases: allOfPrecopy, never: inOneGo, switchOver: 'stop' },
  },
  {
    ...{
      name: 'precopy-unix',
      method: 'precopy',
      kind: 'two-sided',
      transport: 'unix',
      versions: qemuVersions,
    },
    ...{ phases: allOfPrecopy, never: inOneGo, switchOver: 'stop' },
  },
  {
    ...{
      name: 'precopy-tcp',
      method: 'precopy',
      kind: 'two-sided',
      transport: 'tcp',
      versions: qemuVersions,
    },
    ...{ phases: allOfPrecopy, never: inOneGo, switchOver: 'stop' },
    options: ({ port, connectTo }) => ({
      tcp: { listen: `127.0.0.1:${port}`, ...(connectTo !== undefined && { host: connectTo }) },
      plainTcpConsent: true,
    }),
  },
  {
    ...{
      name: 'multifd',
      method: 'precopy',
      kind: 'two-sided',
      transport: 'unix',
      versions: qemuVersions,
    },
    ...{ phases: allOfPrecopy, never: inOneGo, switchOver: 'stop' },
    options: () => ({ multifdChannels: 2 }),
  },
  {
    // Deltas are so small that all that is left at the switchover fits into the kernel's buffer.
    ...{
      name: 'xbzrle',
      method: 'precopy',
      kind: 'two-sided',
      transport: 'fd',
      versions: qemuVersions,
    },
    ...{ phases: allOfPrecopy, never: inOneGo, switchOver: 'held' },
    options: () => ({ xbzrle: true, autoConverge: true }),
  },
  {
    ...{
      name: 'postcopy-fd',
      method: 'postcopy',
      kind: 'two-sided',
      transport: 'fd',
      versions: qemuVersions,
    },
    ...{ phases: [...allOfPrecopy, 'postcopy'], never: {}, switchOver: 'stop' },
  },
  {
    ...{
      name: 'postcopy-unix',
      method: 'postcopy',
      kind: 'two-sided',
      transport: 'unix',
      versions: qemuVersions,
    },
    ...{ phases: [...allOfPrecopy, 'postcopy'], never: {}, switchOver: 'stop' },
  },
  {
    ...{
      name: 'shared-ram',
      method: 'shared-ram',
      kind: 'two-sided',
      transport: 'unix',
      versions: qemuVersions,
    },
    phases: ['prepare', 'held', 'switch-over', 'settle'],
    never: { ...inOneGo, transfer: 'it lasts for moments, as no memory is sent' },
    switchOver: 'held',
    qemu: fileMemory,
    cannot: {
      'other-ram': 'both map one file, which has one size',
      'cut-channel': 'a guarded run is through in moments; the guard is broken over TCP',
    },
  },
  {
    ...{ name: 'cpr-transfer', method: 'cpr-transfer', kind: 'two-sided', transport: 'unix' },
    ...{ versions: ['10.0', '11.1'], phases: allOfPrecopy, never: inOneGo, switchOver: 'held' },
    options: ({ directory }) => ({ cprSocket: cprSocketIn(directory) }),
    qemu: memfdMemory,
    targetArrives: true,
    cannot: {
      'cut-channel': 'the source connects in the moment when the target listens',
      'stall-channel': 'the source connects in the moment when the target listens',
    },
  },
  {
    ...{ name: 'save', method: 'save', kind: 'save', transport: 'unix', versions: filesSince },
    ...{ phases: ['prepare', 'transfer', 'settle'], never: ofSave, switchOver: 'stop' },
    options: ({ directory }) => ({ file: { path: stateFileIn(directory) } }),
  },
  {
    ...{ name: 'save-mapped', method: 'save', kind: 'save', transport: 'unix' },
    ...{ versions: filesSince, phases: ['prepare', 'transfer', 'settle'], switchOver: 'stop' },
    never: ofSave,
    options: ({ directory }) => ({ file: { path: stateFileIn(directory), mappedRam: true } }),
  },
  {
    ...{ name: 'cpr-reboot', method: 'cpr-reboot', kind: 'save', transport: 'unix' },
    ...{ versions: filesSince, phases: ['prepare', 'transfer', 'settle'], switchOver: 'stop' },
    never: ofSave,
    options: ({ directory }) => ({ file: { path: stateFileIn(directory) } }),
  },
  {
    ...{ name: 'restore', method: 'restore', kind: 'restore', transport: 'unix' },
    ...{ versions: filesSince, phases: ['prepare', 'settle'], switchOver: 'stop' },
    never: {
      transfer: 'the file is read within moments',
      held: 'the guest is in the file',
      'switch-over': 'the guest is in the file',
      postcopy: 'the guest is in the file',
    },
    options: ({ directory }) => ({ file: { path: stateFileIn(directory) } }),
  },
  {
    ...{ name: 'cpr-exec', method: 'cpr-exec', kind: 'exec', transport: 'unix' },
    ...{ versions: ['11.1'], phases: ['prepare', 'settle'], switchOver: 'stop' },
    never: {
      transfer: 'it lasts for moments, as no memory is sent',
      held: 'there is nobody to hand over to',
      'switch-over': 'it lasts for moments, as no memory is sent',
      postcopy: 'there is nobody to ask for pages',
    },
    qemu: memfdMemory,
  },
];
