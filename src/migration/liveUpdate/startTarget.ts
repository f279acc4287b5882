import { QmpConnectError } from '../../qmp/errors';
import { findListener } from '../../vm/listener';
import { isAlive, isSameProcess } from '../../vm/process';
import type { MachineHandle, QemuProcess } from '../../vm/types';
import type { StartedQemu, UpdatePatience, UpdateRegistry } from './host';
import type { LiveUpdatePlan } from './types';

/** The new QEMU did not come up as it was planned. */
export class TargetStartError extends Error {
  override readonly name = 'TargetStartError';
  /** What it wrote on its standard error, the last lines. */
  readonly lines: readonly string[];

  constructor(message: string, lines: readonly string[], cause?: unknown) {
    super(message, { cause });
    this.lines = lines;
  }
}

/** How the new QEMU stands in the list of machines, behind its name. */
const role = 'new QEMU';

/**
 * Waits for the QEMU that was just started, takes it onto the list and looks whether it is what was
 * planned. With cpr-transfer only its channel can be waited for: its monitor comes with the run.
 *
 * @throws {TargetStartError}
 */
export async function meetTarget(
  plan: LiveUpdatePlan,
  started: StartedQemu,
  registry: UpdateRegistry,
  patience: UpdatePatience,
  cancel: AbortSignal,
): Promise<MachineHandle> {
  const { qmpSocket, cprSocket } = plan.start;
  await untilListening(cprSocket ?? qmpSocket, started, patience, cancel);
  const machine = registry.lend(qmpSocket, plan.label, started.process, role);
  if (cprSocket !== undefined) return machine;
  try {
    await machine.connect();
  } catch (error) {
    const text = error instanceof QmpConnectError ? error.message : String(error);
    const message = `The new QEMU (pid ${started.process.pid}) cannot be asked: ${text}`;
    throw new TargetStartError(message, await started.stderr(), error);
  }
  await failUnlessPlanned(plan, machine, started);
  return machine;
}

/** @throws {TargetStartError} it ended, another one listens, or nobody does in time */
async function untilListening(
  socket: string,
  { process, stderr }: StartedQemu,
  { startMs, lookMs }: UpdatePatience,
  cancel: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + startMs;
  for (;;) {
    cancel.throwIfAborted();
    if (!(await isAlive(process))) {
      const message = `The new QEMU (pid ${process.pid}) ended right after its start.`;
      throw new TargetStartError(message, await stderr());
    }
    const listener = await findListener(socket);
    if (listener !== undefined) {
      if (isSameProcess(listener, process)) return;
      throw new TargetStartError(
        `At ${socket} another process listens (pid ${listener.pid}), not the new QEMU (pid ${process.pid}).`,
        await stderr(),
      );
    }
    if (Date.now() > deadline) {
      const message = `The new QEMU (pid ${process.pid}) does not listen at ${socket}.`;
      throw new TargetStartError(message, await stderr());
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(lookMs, 10)));
  }
}

/** @throws {TargetStartError} */
async function failUnlessPlanned(
  { targetVersion, start }: LiveUpdatePlan,
  machine: MachineHandle,
  { process, stderr }: StartedQemu,
): Promise<void> {
  const fail = async (message: string): Promise<never> => {
    throw new TargetStartError(message, await stderr());
  };
  const found = await machine.identify();
  if (found === undefined || !isSameProcess(found, process)) {
    await fail(`Who answers at ${start.qmpSocket} is not the new QEMU (pid ${process.pid}).`);
  }
  const { facts } = machine.snapshot;
  if (facts?.runState.status !== 'inmigrate') {
    await fail(
      `The new QEMU does not wait for a guest: it says "${facts?.runState.status ?? 'nothing'}".`,
    );
  }
  const { major, minor, micro } = facts?.version ?? { major: 0, minor: 0, micro: 0 };
  const version = `${major}.${minor}.${micro}`;
  // The planned one may carry a distribution's name for it.
  if (targetVersion !== undefined && !targetVersion.includes(version)) {
    await fail(`The new QEMU is version ${version}, and ${targetVersion} was planned.`);
  }
}

/** The QEMU of a journal that was about to be started, found by the path that only it has. */
export function isStartedFor(process: Pick<QemuProcess, 'args'>, qmpSocket: string): boolean {
  return process.args.some((argument) => argument.includes(qmpSocket));
}
