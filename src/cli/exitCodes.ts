import { RunRefusedError } from '../migration/run/checks';
import { BackendTransferError } from '../migration/settings/backendTransfer';
import { CapabilityNotTakenError } from '../migration/settings/capabilities';
import type { RunOutcome } from '../migration/run/types';
import {
  QmpAbortedError,
  QmpClosedError,
  QmpCommandError,
  QmpConnectError,
  QmpProtocolError,
  QmpTimeoutError,
} from '../qmp/errors';
import { NotConnectedError } from '../vm/types';

/** What the program's exit code says; scripts branch on these, so a number never changes its meaning. */
export const ExitCode = {
  ok: 0,
  unexpected: 1,
  usage: 2,
  noConnection: 3,
  refused: 4,
  failed: 5,
  cancelled: 6,
  tooLateToCancel: 7,
  unknown: 8,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** In the order of their numbers, for `--help`. */
export const exitCodeMeanings: readonly (readonly [code: ExitCode, meaning: string])[] = [
  [ExitCode.ok, 'done; for migrate: completed, the guest is on the target'],
  [ExitCode.unexpected, 'a fault of this program or of the machine it runs on'],
  [ExitCode.usage, 'the command line makes no sense; nothing was done'],
  [ExitCode.noConnection, 'could not connect to a QMP socket; nothing was done'],
  [ExitCode.refused, 'refused before anything changed'],
  [ExitCode.failed, 'the migration failed: the guest runs on the source'],
  [ExitCode.cancelled, 'the migration was cancelled: the guest runs on the source'],
  [ExitCode.tooLateToCancel, 'too late to cancel: the guest runs on the target'],
  [ExitCode.unknown, 'unknown, or not finished: needs you; the text says what to look at'],
];

/** The command line is at fault, not a machine. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** This QEMU cannot do what was asked; it was not asked to. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly nextStep: string | undefined;

  constructor(message: string, nextStep?: string) {
    super(message);
    this.nextStep = nextStep;
  }
}

/** How a run ended, as a number. */
export function exitCodeOfOutcome({ kind, owner }: Pick<RunOutcome, 'kind' | 'owner'>): ExitCode {
  switch (kind) {
    case 'completed':
      return owner === 'target' ? ExitCode.ok : ExitCode.unknown;
    case 'refused':
      return ExitCode.refused;
    case 'failed':
      return owner === 'source' ? ExitCode.failed : ExitCode.unknown;
    case 'cancelled':
      return owner === 'source' ? ExitCode.cancelled : ExitCode.unknown;
    case 'too-late-to-cancel':
      return owner === 'target' ? ExitCode.tooLateToCancel : ExitCode.unknown;
    case 'unknown':
      return ExitCode.unknown;
  }
}

/** The number for an error of a command that reads or sets something. */
export function exitCodeOfError(error: unknown): ExitCode {
  if (error instanceof UsageError) return ExitCode.usage;
  if (error instanceof QmpConnectError || error instanceof NotConnectedError) {
    return ExitCode.noConnection;
  }
  if (error instanceof BackendTransferError) {
    return error.reason === 'not-taken' ? ExitCode.unknown : ExitCode.refused;
  }
  if (
    error instanceof RunRefusedError ||
    error instanceof RefusedError ||
    error instanceof QmpCommandError
  )
    return ExitCode.refused;
  if (
    error instanceof QmpTimeoutError ||
    error instanceof QmpClosedError ||
    error instanceof QmpAbortedError ||
    error instanceof QmpProtocolError ||
    error instanceof CapabilityNotTakenError
  ) {
    return ExitCode.unknown;
  }
  return ExitCode.unexpected;
}
