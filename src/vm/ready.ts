import { isAlive } from './process';
import type { MachineHandle } from './types';

/** Longer than the pauses between two attempts to connect. */
const patienceMs = 5000;

/**
 * Waits for a connection that was lost a moment ago and is being made again. False at once when
 * nobody makes it or the QEMU has ended, and after some seconds without success.
 */
export async function untilReady(machine: MachineHandle): Promise<boolean> {
  const isReady = (): boolean => machine.snapshot.state.kind === 'ready';
  if (isReady()) return true;
  if (!isBeingMade(machine) || (await hasEnded(machine))) return isReady();
  return new Promise((resolve) => {
    const settle = (): void => {
      clearTimeout(timer);
      listening.dispose();
      resolve(isReady());
    };
    const timer = setTimeout(settle, patienceMs);
    const listening = machine.onDidChange(() => {
      if (isReady() || !isBeingMade(machine)) settle();
    });
    if (isReady()) settle();
  });
}

/** Whether the process is proven gone, or said that it goes. */
export async function hasEnded({ snapshot }: MachineHandle): Promise<boolean> {
  if (snapshot.process !== undefined && !(await isAlive(snapshot.process))) return true;
  return snapshot.state.kind === 'lost' && snapshot.state.reason.kind === 'qemu-quit';
}

function isBeingMade({ snapshot }: MachineHandle): boolean {
  return snapshot.state.kind === 'connecting' || snapshot.state.kind === 'lost';
}
