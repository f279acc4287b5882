import {
  JournalUnavailableError,
  MachineDrivenError,
  NoSuchRunError,
  RunInterruptedError,
  UnfinishedRunError,
} from '../run/journal/errors';
import { sentence } from './sentence';
import type { Explanation } from './words';

/** Errors about the journals of runs, in words; `undefined` for all others. */
export function explainJournal(error: unknown): Explanation | undefined {
  if (error instanceof JournalUnavailableError) {
    const cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
    return {
      headline: `The program cannot keep its journal in ${error.path}: ${sentence(cause)}`,
      detail: 'Without it nobody could finish the migration should this program be killed.',
      nextStep:
        'Free some disk space or mend the permissions there, or name another folder in QEMU_MIGRATION_STATE.',
    };
  }
  if (error instanceof MachineDrivenError) {
    const { driver, label } = error;
    return {
      headline: `${label} is in a migration that another program drives: ${driver.program}, pid ${driver.pid}.`,
      nextStep: 'Wait for its end, or cancel it there.',
    };
  }
  if (error instanceof UnfinishedRunError) {
    return {
      headline: `A migration of ${error.sourceLabel} to ${error.targetLabel} was left in the middle, and how it ended is not known yet.`,
      nextStep: `Find out first:  qemu-migration resume ${error.run}`,
    };
  }
  if (error instanceof RunInterruptedError) {
    const { driver } = error;
    return {
      headline: `The program that drove it (${driver.program}, pid ${driver.pid}) ended before QEMU was asked to migrate; what it had changed was put back.`,
    };
  }
  if (error instanceof NoSuchRunError) return explainNoSuchRun(error);
  return undefined;
}

function explainNoSuchRun({ run, reason }: NoSuchRunError): Explanation {
  const nextStep = '"qemu-migration runs" lists all.';
  switch (reason) {
    case 'missing':
      return { headline: `There is no run "${run}".`, nextStep };
    case 'ended':
      return { headline: `The run "${run}" has ended; there is nothing to resume.`, nextStep };
    case 'ambiguous':
      return { headline: `"${run}" may mean several runs.`, nextStep };
  }
}
