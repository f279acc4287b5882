import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  provisionQemu,
  startQemu,
  type QemuOptions,
  type QemuProcess,
} from '../../scripts/lib/qemu';
import { cprSocketIn } from './arms';
import type { Case } from './cases';
import { until } from './driverProcess';
import type { Breaking } from './names';
import { Watcher } from './watcher';

export type SideName = 'source' | 'target';

/** One side: the QEMU, and who watches it from outside. */
export interface Seat {
  readonly qemu: QemuProcess;
  readonly watcher: Watcher;
}

const memoryMiB = 128;
/** With multifd QEMU compares them. */
const uuid = '5c5f1b0e-1d9a-4c55-9b1e-2f6f0a7c1e01';

export async function startSeat(
  kase: Case,
  directory: string,
  name: SideName,
  options: Partial<QemuOptions>,
): Promise<Seat> {
  const arrives = options.answersLater === true;
  const qemu = await startOne(kase, directory, name, {
    ...(name === 'target' && { incoming: true }),
    ...options,
    ...(arrives && { extraArgs: [...(options.extraArgs ?? []), ...cprChannel(directory)] }),
  });
  const watcher = new Watcher(name, watchSocket(directory, name));
  void qemu.exited.then(() => watcher.noteEnd());
  try {
    await watcher.start(arrives ? 0 : 10_000);
    if (arrives) await untilListens(cprSocketIn(directory));
    return { qemu, watcher };
  } catch (error) {
    await endSeat({ qemu, watcher });
    throw error;
  }
}

export async function endSeat({ qemu, watcher }: Seat): Promise<void> {
  watcher.stop();
  await qemu.stop();
}

export async function startOne(
  { version, arm }: Case,
  directory: string,
  name: string,
  options: Partial<QemuOptions>,
): Promise<QemuProcess> {
  const size = options.memoryMiB ?? memoryMiB;
  const special = arm.qemu?.({ directory, name, memoryMiB: size }) ?? {};
  return startQemu({
    ...{ build: await provisionQemu(version), directory, name, guest: 'dirtying' },
    ...{ uuid, ...special, ...options, memoryMiB: size },
    extraArgs: [
      ...['-qmp', `unix:${watchSocket(directory, name)},server=on,wait=off`],
      ...(special.extraArgs ?? []),
      ...(options.extraArgs ?? []),
    ],
  });
}

function watchSocket(directory: string, name: string): string {
  return join(directory, `${name}.watch`);
}

function cprChannel(directory: string): readonly string[] {
  const addr = { transport: 'socket', type: 'unix', path: cprSocketIn(directory) };
  return ['-incoming', JSON.stringify({ 'channel-type': 'cpr', addr })];
}

/** Looks at the table of sockets: to connect there would use up the QEMU that waits. */
async function untilListens(path: string): Promise<void> {
  const listens = async (): Promise<boolean> => {
    const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n');
    return lines.some((line) => line.endsWith(` ${path}`) && line.includes(' 00010000 '));
  };
  if (!(await until(listens, 10_000))) throw new Error(`nobody came to listen at ${path}`);
}

/** A device that is looked for only when its state arrives. */
export function sourceOptions(breaking: Breaking): Partial<QemuOptions> {
  if (breaking !== 'other-device') return {};
  return { extraArgs: ['-device', 'qemu-xhci,id=usb', '-device', 'usb-tablet'] };
}

export function targetOptions(breaking: Breaking): Partial<QemuOptions> {
  if (breaking === 'other-device') return { extraArgs: ['-device', 'qemu-xhci,id=usb'] };
  return breaking === 'other-ram' ? { memoryMiB: 192 } : {};
}
