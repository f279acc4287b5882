import type { SideName } from './journal/entries';
import { stageOf } from './migrationInfo';
import { isRunning, type Answered, type SideView } from './ownership';
import type { GuestOwner, MethodName } from './types';

/** Whether a person may continue or quit a machine now. */
export interface GateVerdict {
  readonly allowed: boolean;
  /** One sentence: what is proven, or what is missing. */
  readonly reason: string;
  /** What to do, or to look at; empty when allowed. */
  readonly nextStep: string;
  /** The saved guest that would have to be removed first: then it may go on (`discardAndContinue`). */
  readonly discards?: string;
}

/** `continue`: `cont`; `quit`: end a QEMU whose guest lives elsewhere. */
export type GateVerb = 'continue' | 'quit';

/** A machine, what it says now, and what past runs proved of it. */
export interface GuestEvidence {
  readonly label: string;
  readonly view: SideView;
  /** Who has it in a run at this moment, as `PROGRAM (pid N)`. */
  readonly drivenBy?: string | undefined;
  /** A run of it that was left in the middle. */
  readonly unfinishedRun?: string | undefined;
  /** The newest run of it that has ended, if its end is known; one that took the guest away, for good. */
  readonly last?: PastRun | undefined;
  /** Other machines that may have the same guest. */
  readonly others: readonly OtherMachine[];
  /** Why the journals could not be read; nothing is proven then. */
  readonly journalProblem?: string | undefined;
}

export interface PastRun {
  readonly id: string;
  readonly method: MethodName;
  /** Which part the machine had; `both` for methods with one machine. */
  readonly role: SideName | 'both';
  readonly owner: GuestOwner;
  /** The other machine, or the same for methods with one. */
  readonly partner: string;
  /** Where a saved guest is. */
  readonly file?: { readonly path: string; readonly exists: boolean } | undefined;
}

export interface OtherMachine {
  readonly label: string;
  readonly view: SideView;
  /** `partner`: of the newest run; `uuid`: it has the same UUID. */
  readonly kinship: 'partner' | 'uuid';
}

/** Where a run left the guest, seen from a machine. */
export type Place = 'here' | 'elsewhere' | 'file' | 'lost' | 'unknown';

/** Run states in which a guest stands still and could go on. */
const standing = new Set([
  'paused',
  'prelaunch',
  'debug',
  'suspended',
  'io-error',
  'watchdog',
  'shutdown',
  'guest-panicked',
]);

/** What allows one command of a person's; only made here, from evidence. */
export class GuestProof {
  /** Makes the type nominal: nothing else passes for a proof. */
  protected readonly isProof = true;
  readonly command: 'cont' | 'quit';
  readonly why: string;

  private constructor(command: 'cont' | 'quit', why: string) {
    this.command = command;
    this.why = why;
  }

  /** The verdict, with the proof when it allows. Pure. */
  static of(
    verb: GateVerb,
    evidence: GuestEvidence,
  ): { readonly verdict: GateVerdict; readonly proof: GuestProof | undefined } {
    const verdict = judgeEvidence(verb, evidence);
    const command = verb === 'continue' ? 'cont' : 'quit';
    return {
      verdict,
      proof: verdict.allowed ? new GuestProof(command, verdict.reason) : undefined,
    };
  }
}

/** The rules. There is no way around them: what is not proven is refused. Pure. */
export function judgeEvidence(verb: GateVerb, evidence: GuestEvidence): GateVerdict {
  const { label, view } = evidence;
  if (view.kind === 'gone') {
    return refused(`The QEMU of ${label} has ended.`, 'Nothing is left to do for it.');
  }
  if (view.kind === 'silent') {
    return refused(
      `${label} does not answer, so nothing is known of its guest.`,
      'Connect it first; if its monitor is in use, close the other client.',
    );
  }
  return busy(evidence, view) ?? (verb === 'continue' ? mayContinue : mayQuit)(evidence, view);
}

/** What forbids both: somebody is at it. */
function busy(evidence: GuestEvidence, view: Answered): GateVerdict | undefined {
  const { label, drivenBy, unfinishedRun, journalProblem } = evidence;
  if (drivenBy !== undefined) {
    return refused(
      `${label} is in a migration that ${drivenBy} drives.`,
      'Wait for its end, or cancel it there.',
    );
  }
  if (journalProblem !== undefined) {
    return refused(
      `What past migrations of ${label} proved cannot be read: ${journalProblem}.`,
      'Make the folder of the journals readable and writable again.',
    );
  }
  if (unfinishedRun !== undefined) {
    return refused(
      `A migration of ${label} (${unfinishedRun}) was left in the middle, and its end is not known.`,
      `Take it up first: it finds out who has the guest ("qemu-migration resume ${unfinishedRun}").`,
    );
  }
  if (isUnderWay(view) && !isOver(view, placeOf(evidence.last))) {
    return refused(
      `${label} is in the middle of a migration (${statesOf(view)}).`,
      'Wait for its end, or cancel it with what drives it.',
    );
  }
  return undefined;
}

function mayContinue(evidence: GuestEvidence, view: Answered): GateVerdict {
  const { label, last, others } = evidence;
  const { status, running } = view.runState;
  if (running) return refused(`The guest of ${label} runs already.`, 'Nothing is left to do.');
  if (status === 'inmigrate') {
    return refused(
      `${label} waits for a migration: there is no guest in it to continue.`,
      'Migrate a guest to it, or restore a saved one in it.',
    );
  }
  const place = placeOf(last);
  if (last !== undefined && place === 'elsewhere') return refusedForGood(label, last);
  if (status === 'postmigrate') return refusedAfterMigration(evidence, last, place);
  if (!standing.has(status) || place === 'lost') {
    return refused(
      `${label} is in the state "${status}" (${statesOf(view)}), in which it holds no guest that could go on.`,
      'Look at "query-status" and "query-migrate" of it.',
    );
  }
  for (const other of others) {
    if (isRunning(other.view)) {
      return refused(
        `${other.label} runs the same guest now: continuing ${label} would make two running copies.`,
        `Look which of the two is right; ${label} may run only when the QEMU of ${other.label} is gone.`,
      );
    }
    const proven = place === 'here' && other.kinship === 'partner';
    if (other.view.kind === 'silent' && !proven) {
      return refused(
        `${other.label} may run the same guest, and does not answer.`,
        `Connect ${other.label}, or make sure that its QEMU is gone.`,
      );
    }
  }
  return allowed(
    `The guest of ${label} stands still (${status}), and no other machine that is known runs it.`,
  );
}

function refusedForGood(label: string, { role, partner, id }: PastRun): GateVerdict {
  const went =
    role === 'source'
      ? `The guest of ${label} went to ${partner} (migration ${id})`
      : `The guest stayed with ${partner} (migration ${id})`;
  return refused(
    `${went}: what ${label} holds is an old copy, which would run a second time and damage the disk.`,
    `Never continue ${label}, not even when ${partner} has ended; quit it.`,
  );
}

function refusedAfterMigration(
  { label }: GuestEvidence,
  last: PastRun | undefined,
  place: Place,
): GateVerdict {
  const isSave = last?.method === 'save' || last?.method === 'cpr-reboot';
  if (last?.file !== undefined && isSave && (place === 'file' || place === 'here')) {
    const { path } = last.file;
    const verdict = refused(
      place === 'file'
        ? `The guest of ${label} is saved in ${path}: if it went on here, the file would be an old copy.`
        : `The guest of ${label} was written to ${path}: if it went on here, that file would be an old copy.`,
      `${place === 'file' ? 'Restore it from there, or discard it' : 'Discard the file'} ("qemu-migration continue SOCKET --discard-saved ${path}"): that removes the file, and then continues.`,
    );
    return { ...verdict, discards: path };
  }
  return refused(
    `${label} has given its guest away (postmigrate), and that nobody else has it cannot be proven.`,
    'Look at "query-status" of the machine that it was migrated to. An old copy that runs damages the disk.',
  );
}

function mayQuit(evidence: GuestEvidence, view: Answered): GateVerdict {
  const { label, last, others } = evidence;
  const { status, running } = view.runState;
  if (running) {
    return refused(
      `The guest of ${label} runs: quitting it would be like pulling its plug.`,
      'Shut the guest down from inside, or with what started it.',
    );
  }
  const place = placeOf(last);
  const partner = others.find(({ kinship }) => kinship === 'partner');
  if (last !== undefined && place === 'elsewhere') {
    return allowed(
      `The guest is with ${last.partner} (migration ${last.id}); ${label} holds an old copy at most.`,
    );
  }
  const isEmpty = status === 'inmigrate' || status === 'postmigrate';
  if (place === 'file' && isEmpty) return quitBesideFile(label, last?.file, status);
  if (place === 'lost' && !standing.has(status)) {
    return partner === undefined || partner.view.kind === 'gone'
      ? allowed(`The guest is lost: what ${label} has is not all of it, and the rest is gone.`)
      : refused(
          `${partner.label} is still there, and may have what ${label} lacks.`,
          `Look at ${partner.label} first.`,
        );
  }
  const heir = others.find(({ view: other }) => provenHeir(view, other));
  if (heir !== undefined) {
    return allowed(`${heir.label} has the guest: it says so now, and ${label} has none to lose.`);
  }
  if (!isEmpty) {
    return refused(
      `${label} holds a guest (${status}), and no migration is known that took it elsewhere.`,
      'Continue it, or shut it down with what started it.',
    );
  }
  const where = status === 'postmigrate' ? 'it was migrated to' : 'was to migrate to it';
  return refused(
    `That another machine has the guest of ${label} cannot be proven.`,
    `Look at "query-status" of the machine that ${where}; connect it, and ask again.`,
  );
}

function quitBesideFile(label: string, file: PastRun['file'], status: string): GateVerdict {
  if (file?.exists === true) {
    return allowed(`The guest is saved in ${file.path}; ${label} is not needed for it.`);
  }
  const path = file?.path ?? 'its file';
  return status === 'inmigrate'
    ? refused(`The guest was saved in ${path}, and is not there now.`, 'Look for the file first.')
    : refused(
        `The guest was saved in ${path}, and is not there now: ${label} may hold the only copy.`,
        'Put the file back, or discard the saved guest, which continues it here.',
      );
}

/** The other one answers that it has the guest which this one, empty, lacks. */
function provenHeir(view: Answered, other: SideView): boolean {
  if (other.kind !== 'answered') return false;
  const { status } = view.runState;
  const stage = stageOf(other.migrationStatus);
  const hasGuest = other.runState.running || standing.has(other.runState.status);
  if (!hasGuest) return false;
  if (status === 'postmigrate') return stage === 'completed';
  // A target that failed: the source never gave its guest away, or got it back.
  return isUsedTarget(view) && ['none', 'failed', 'cancelled'].includes(stage);
}

/** Whether what QEMU calls under way is known to come to nothing any more. */
function isOver({ runState, migrationStatus }: Answered, place: Place): boolean {
  if (place === 'lost') return true;
  // A target that nobody came to says `setup` for ever.
  return place === 'elsewhere' && runState.status === 'inmigrate' && migrationStatus === 'setup';
}

/** It was a target, and its one attempt is over. */
function isUsedTarget({ runState, migrationStatus }: Answered): boolean {
  return runState.status === 'inmigrate' && stageOf(migrationStatus) === 'failed';
}

/** Where the run left the guest, seen from the machine that had that part in it. */
export function placeOf(last: PastRun | undefined): Place {
  if (last === undefined) return 'unknown';
  const { role, owner } = last;
  switch (owner) {
    case 'source':
    case 'target':
      return role === owner || role === 'both' ? 'here' : 'elsewhere';
    case 'file':
      return 'file';
    case 'nobody':
      return 'lost';
    case 'neither-yet':
    case 'unknown':
      return 'unknown';
  }
}

/** Something moves, or is to be recovered. */
function isUnderWay({ runState, migrationStatus }: Answered): boolean {
  if (runState.status === 'finish-migrate' || runState.status === 'colo') return true;
  const stage = stageOf(migrationStatus);
  return ['moving', 'paused-before-switchover', 'point-of-no-return', 'ending'].includes(stage);
}

function statesOf({ runState, migrationStatus }: Answered): string {
  return `status ${runState.status}, migration ${migrationStatus ?? 'none'}`;
}

function allowed(reason: string): GateVerdict {
  return { allowed: true, reason, nextStep: '' };
}

function refused(reason: string, nextStep: string): GateVerdict {
  return { allowed: false, reason, nextStep };
}
