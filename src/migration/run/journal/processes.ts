import { createHash } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
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

let host: Promise<string> | undefined;

/** Tells this host from others that share a home directory with it. */
export function hostId(): Promise<string> {
  host ??= readText('/etc/machine-id').then((text) => text.trim() || os.hostname());
  return host;
}

/** Whether the driver is there, or is another host's business. */
export async function mayDrive(driver: Driver): Promise<boolean> {
  return driver.host !== (await hostId()) || isStillThere(driver);
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
  return { pid, startTicks, boot: await bootId(), host: await hostId(), program };
}

type Known = Pick<MachineSnapshot, 'socketPath' | 'label' | 'facts' | 'process'>;

/** The QEMU behind a connected machine. */
export async function identifyMachine(snapshot: Known): Promise<MachineIdentity> {
  const { socketPath: socket, label, facts, process: qemu } = snapshot;
  const identity = qemu === undefined ? undefined : await identityOf(qemu);
  return {
    key: keyOf(snapshot, identity, await hostId()),
    socket,
    label,
    uuid: facts?.uuid,
    process: identity,
  };
}

/** The key of a machine whose QEMU is that process. */
export function keyOfProcess({ pid, startTicks, boot }: ProcessIdentity): string {
  return `pid-${pid}-${startTicks}-${boot.slice(0, 8)}`;
}

function keyOf(
  { socketPath, process: qemu }: Known,
  identity: ProcessIdentity | undefined,
  onHost: string,
): string {
  const names = [qemu?.executable, qemu?.args[0]];
  const isQemu = names.some((name) => /qemu|kvm/.test(path.basename(name ?? '')));
  // What forwards sockets, such as SSH, may listen for many QEMUs.
  if (identity !== undefined && isQemu) {
    return keyOfProcess(identity);
  }
  return `socket-${createHash('sha256').update(`${onHost}\n${socketPath}`).digest('hex').slice(0, 24)}`;
}
