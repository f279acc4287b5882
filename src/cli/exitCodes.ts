import { LiveUpdateRefusedError } from '../migration/liveUpdate/types';
import { ProfileNotApplicableError } from '../migration/profiles/apply';
import { ProfileFileError } from '../migration/profiles/profileFile';
import { RunRefusedError } from '../migration/run/checks/checks';
import { GuestRefusedError, QuitHangsError } from '../migration/run/guestGate';
import {
  JournalUnavailableError,
  MachineDrivenError,
  NoSuchRunError,
  UnfinishedRunError,
} from '../migration/run/journal/errors';
import { BackendTransferError } from '../migration/settings/backendTransfer';
import { CapabilityNotTakenError } from '../migration/settings/capabilities';
import {
  CannotUnsetError,
  ParameterNotTakenError,
  SettingsNotAppliedError,
} from '../migration/settings/change';
import { SettingsRefusedError } from '../migration/settings/findings';
import { UndoConflictError, UndoImpossibleError } from '../migration/settings/history';
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
  differ: 9,
  limit: 10,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** In the order of their numbers, for `--help`. */
export const exitCodeMeanings: readonly (readonly [code: ExitCode, meaning: string])[] = [
  [ExitCode.ok, 'done; for migrate: completed, the guest is on the target, or in its file'],
  [ExitCode.unexpected, 'a fault of this program or of the machine it runs on'],
  [ExitCode.usage, 'the command line makes no sense; nothing was done'],
  [ExitCode.noConnection, 'could not connect to a QMP socket; nothing was done'],
  [ExitCode.refused, 'refused before anything changed'],
  [ExitCode.failed, 'the migration failed: the guest is where it was'],
  [ExitCode.cancelled, 'the migration was cancelled: the guest is where it was'],
  [ExitCode.tooLateToCancel, 'too late to cancel: the guest runs on the target'],
  [ExitCode.unknown, 'unknown, or not finished: needs you; the text says what to look at'],
  [ExitCode.differ, 'diff: the two sides differ in something that must be equal'],
  [ExitCode.limit, 'live-update: stopped, a pause was longer than --canary-limit; all guests run'],
];

/** The command line is at fault, not a machine. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const sameMachineText = 'The source and the target are the same machine.';

/** The user did not wait for a change to be made everywhere, or put back. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
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

/** How a run ended, as a number. Other than where it was or was to go the guest needs a person. */
export function exitCodeOfOutcome({ kind, owner }: Pick<RunOutcome, 'kind' | 'owner'>): ExitCode {
  switch (kind) {
    case 'completed':
      return owner === 'target' || owner === 'file' ? ExitCode.ok : ExitCode.unknown;
    case 'refused':
      return ExitCode.refused;
    case 'failed':
      return isWhereItWas(owner) ? ExitCode.failed : ExitCode.unknown;
    case 'cancelled':
      return isWhereItWas(owner) ? ExitCode.cancelled : ExitCode.unknown;
    case 'too-late-to-cancel':
      return owner === 'target' || owner === 'file' ? ExitCode.tooLateToCancel : ExitCode.unknown;
    case 'unknown':
      return ExitCode.unknown;
  }
}

/** On the source, or for a restore in the file. */
function isWhereItWas(owner: RunOutcome['owner']): boolean {
  return owner === 'source' || owner === 'file';
}

/** Errors that leave everything as it was. */
const refusals = [
  LiveUpdateRefusedError,
  BackendTransferError,
  RunRefusedError,
  MachineDrivenError,
  NoSuchRunError,
  UnfinishedRunError,
  JournalUnavailableError,
  GuestRefusedError,
  RefusedError,
  QmpCommandError,
  SettingsRefusedError,
  UndoConflictError,
  UndoImpossibleError,
  ProfileNotApplicableError,
  ProfileFileError,
];

/** With all put back, a refusal is one that left everything as it was. */
function exitCodeOfNotApplied({ cause, notPutBack }: SettingsNotAppliedError): ExitCode {
  const isRefusal =
    cause instanceof QmpCommandError ||
    cause instanceof ParameterNotTakenError ||
    cause instanceof CapabilityNotTakenError;
  return isRefusal && notPutBack.length === 0 ? ExitCode.refused : ExitCode.unknown;
}

/** The number for an error of a command that reads or sets something. */
export function exitCodeOfError(error: unknown): ExitCode {
  if (error instanceof UsageError) return ExitCode.usage;
  if (error instanceof QmpConnectError || error instanceof NotConnectedError) {
    return ExitCode.noConnection;
  }
  if (error instanceof SettingsNotAppliedError) return exitCodeOfNotApplied(error);
  if (refusals.some((kind) => error instanceof kind)) return ExitCode.refused;
  if (
    error instanceof InterruptedError ||
    error instanceof QuitHangsError ||
    error instanceof QmpTimeoutError ||
    error instanceof QmpClosedError ||
    error instanceof QmpAbortedError ||
    error instanceof QmpProtocolError ||
    error instanceof CapabilityNotTakenError ||
    error instanceof ParameterNotTakenError ||
    error instanceof CannotUnsetError
  ) {
    return ExitCode.unknown;
  }
  return ExitCode.unexpected;
}
