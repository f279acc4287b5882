import { printJson } from '../run/journal/printJson';
import type { JournalledPlan } from '../run/journal/updateEntries';
import { identityAt, readPidFile } from './names';
import type { LiveUpdatePlan } from './types';

/** What of a plan has to outlive this program, with what is at its paths now. */
export async function journalPlan(plan: LiveUpdatePlan): Promise<JournalledPlan> {
  const { label, method, start, request } = plan;
  const pidFile = plan.pidFile === undefined ? undefined : await readPidFile(plan.pidFile);
  const ownership = await Promise.all(plan.moves.map(({ to }) => identityAt(to)));
  return {
    label,
    method,
    program: start.program,
    qmpSocket: start.qmpSocket,
    ...(start.cprSocket !== undefined && { cprSocket: start.cprSocket }),
    logFile: start.logFile,
    moves: plan.moves.map(({ what, from, to }, index) => {
      const old = ownership[index];
      return { what, from, to, ...(old !== undefined && { old }) };
    }),
    ...(pidFile !== undefined && { pidFile }),
    late: plan.late.map(({ what, command, args }) => ({
      ...{ what, command },
      args: printJson({ ...args }),
    })),
    ...(request.force !== undefined && { forced: request.force.reason }),
  };
}
