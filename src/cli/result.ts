import { ProfileFileError } from '../migration/profiles/profileFile';
import type { ProfileProblem } from '../migration/profiles/types';
import { explain } from '../migration/view/words';
import {
  exitCodeOfError,
  InterruptedError,
  RefusedError,
  UsageError,
  type ExitCode,
} from './exitCodes';

/** What a command found out, for people and for machines; printing is not its business. */
export interface CommandResult {
  readonly exitCode: ExitCode;
  /** For people; on stdout, or on stderr when `exitCode` tells of a problem that is no outcome. */
  readonly lines: readonly string[];
  /** For `--json`. */
  readonly document: Readonly<Record<string, unknown>>;
}

/** An error as a result: what happened, why, what to do; never a stack. */
export function failureResult(error: unknown): CommandResult {
  const exitCode = exitCodeOfError(error);
  const explanation = explanationOf(error);
  const { headline, detail, nextStep } = explanation;
  return {
    exitCode,
    lines: [headline, detail, nextStep].filter(
      (line) => line !== undefined && line !== '',
    ) as string[],
    document: { error: explanation },
  };
}

function explanationOf(error: unknown): { headline: string; detail?: string; nextStep?: string } {
  if (error instanceof UsageError) {
    return { headline: error.message };
  }
  if (error instanceof InterruptedError) {
    return {
      headline: 'Left before the change was made everywhere, or put back.',
      detail: 'What was sent may still be carried out.',
      nextStep: 'Look what each machine has: "qemu-migration params SOCKET --changed".',
    };
  }
  if (error instanceof RefusedError) {
    return {
      headline: error.message,
      ...(error.nextStep === undefined ? {} : { nextStep: error.nextStep }),
    };
  }
  if (error instanceof ProfileFileError && error.problems.length > 0) {
    return {
      ...explain(error),
      detail: error.problems.map((problem) => problemLine(error.path, problem)).join('\n'),
    };
  }
  return explain(error);
}

/** Where editors and terminals can jump to: `FILE:LINE:COLUMN: error: ...`. */
export function problemLine(
  path: string,
  { line, column, severity, message }: ProfileProblem,
): string {
  return `${path}:${line}:${column}: ${severity}: ${message}`;
}
