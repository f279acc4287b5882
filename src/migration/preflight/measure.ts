import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod/mini';
import type { QmpConnection } from '../../qmp/connection';
import { QmpCommandError } from '../../qmp/errors';
import type { MachineHandle } from '../../vm/types';
import type { DirtyRate } from './convergence';

const shape = z.looseObject({
  status: z.string(),
  /** MiB/s; absent until it is measured. */
  'dirty-rate': z.optional(z.pipe(z.union([z.number(), z.bigint()]), z.transform(Number))),
});

const calcTimeSeconds = 1;
const lookEveryMs = 100;
const patienceMs = 5000;

/**
 * How much memory the guest writes to in one second (QAPI `calc-dirty-rate`, `query-dirty-rate`), by
 * samples of its pages; the guest runs on.
 *
 * @throws {QmpError} when the connection ends meanwhile
 */
export async function measureDirtyRate(machine: MachineHandle): Promise<DirtyRate> {
  if (machine.snapshot.facts?.runState.running !== true) return { kind: 'paused' };
  const connection = machine.connection();
  try {
    await connection.execute('calc-dirty-rate', { 'calc-time': calcTimeSeconds });
    return await untilMeasured(connection);
  } catch (error) {
    if (error instanceof QmpCommandError) {
      return { kind: 'unknown', reason: `QEMU says: ${error.desc}` };
    }
    throw error;
  }
}

async function untilMeasured(connection: QmpConnection): Promise<DirtyRate> {
  const deadline = Date.now() + calcTimeSeconds * 1000 + patienceMs;
  await sleep(calcTimeSeconds * 1000);
  for (;;) {
    const answer = z.safeParse(shape, await connection.execute('query-dirty-rate'));
    if (!answer.success) return { kind: 'unknown', reason: 'QEMU answered in an unknown form.' };
    const { status, 'dirty-rate': rate } = answer.data;
    if (status === 'measured' && rate !== undefined) {
      return { kind: 'measured', bytesPerSecond: rate * 2 ** 20 };
    }
    if (Date.now() > deadline) {
      return { kind: 'unknown', reason: `QEMU has not measured it in time (${status}).` };
    }
    await sleep(lookEveryMs);
  }
}
