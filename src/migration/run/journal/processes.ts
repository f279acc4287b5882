import { isAlive, readProcess, readText } from '../../../vm/process';
import type { MachineSnapshot, QemuProcess } from '../../../vm/types';
import type { Driver, MachineIdentity, ProcessIdentity } from './entries';
import { hasCode } from './files';

let boot: Promise<string> | undefined;

/** The kernel's id of this boot; empty where it does not tell. */
export function bootId(): Promise<string> {
  boot ??= readText('/proc/sys/kernel/random/boot_id').then((text) => text.trim());
  return boot;
}

/** Whether that very process is there now. */
export async function isStillThere(identity: ProcessIdentity): Promise<boolean> {
  if (identity.boot !== (await bootId())) return false;
  return identity.startTicks === untold ? existsNow(identity.pid) : isAlive(identity);
}

/** The start of a process where there is no `/proc`. */
const untold = 0n;

function existsNow(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasCode(error, 'ESRCH');
  }
}

export function isSameIdentity(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTicks === b.startTicks && a.boot === b.boot;
}

export async function identityOf({ pid, startTicks }: QemuProcess): Promise<ProcessIdentity> {
  return { pid, startTicks, boot: await bootId() };
}

/** This process. */
export async function ourselves(program: string): Promise<Driver> {
  const { pid } = process;
  const startTicks = (await readProcess(pid))?.startTicks ?? untold;
  return { pid, startTicks, boot: await bootId(), program };
}

/** The QEMU behind a connected machine. */
export async function identifyMachine(snapshot: MachineSnapshot): Promise<MachineIdentity> {
  const { socketPath: socket, label, facts, process: qemu } = snapshot;
  return {
    socket,
    label,
    uuid: facts?.uuid,
    process: qemu === undefined ? undefined : await identityOf(qemu),
  };
}

/** Whether both are one QEMU, whichever of its monitors was used. */
export function isSameMachine(a: MachineIdentity, b: MachineIdentity): boolean {
  return a.process !== undefined && b.process !== undefined
    ? isSameIdentity(a.process, b.process)
    : a.socket === b.socket;
}
