import { stat } from 'node:fs/promises';
import type { MachineHandle, MachineId, MachineSnapshot, QemuProcess } from '../../vm/types';
import { QmpClosedError } from '../../qmp/errors';
import { isAlive, isSameProcess } from '../../vm/process';
import { methodOf } from '../methods/names';
import {
  GuestProof,
  placeOf,
  type GateVerb,
  type GateVerdict,
  type GuestEvidence,
  type OtherMachine,
  type PastRun,
} from './guestRules';
import type { Driver, MachineIdentity } from './journal/entries';
import type { Claim, Journals, ListedRun } from './journal/journals';
import { identifyMachine, identityOf, isSameIdentity, isStillThere } from './journal/processes';
import type { Lockable } from './journal/locks';
import { Side } from './look';
import { lockOfFile } from './oneSided/fileHistory';
import { discardSaved } from './oneSided/savedGuest';
import { readNote } from './oneSided/savedNote';
import type { SideView } from './ownership';

export type { GateVerb, GateVerdict } from './guestRules';

/**
 * What a person may do to a machine outside of a run. Beside the gate of a run (`gate.ts`) this is
 * the only place that sends `cont` and `quit`, each time by a `GuestProof`, of which there is none
 * without evidence.
 */
export interface GateSurroundings {
  /** All machines of the list, to ask whether another one runs the same guest. */
  readonly machines: readonly MachineSnapshot[];
  /** To ask those machines anew; absent: what they said last has to do. */
  readonly handleOf?: ((id: MachineId) => MachineHandle | undefined) | undefined;
  /** What past runs proved. */
  readonly journals?: Journals | undefined;
}

/** A machine may not be continued or quit now; nothing was sent. */
export class GuestRefusedError extends Error {
  override readonly name = 'GuestRefusedError';
  readonly verb: GateVerb;
  readonly nextStep: string;

  constructor(verb: GateVerb, { reason, nextStep }: GateVerdict) {
    super(reason);
    this.verb = verb;
    this.nextStep = nextStep;
  }
}

/** A QEMU took `quit` and is still there. */
export class QuitHangsError extends Error {
  override readonly name = 'QuitHangsError';
  readonly label: string;
  readonly pid: number | undefined;

  constructor(label: string, pid: number | undefined) {
    super(`${label} was told to quit, and is still there`);
    this.label = label;
    this.pid = pid;
  }
}

/** How long a QEMU may take to end, ms: it writes its disks' caches out first. */
const quitPatienceMs = 10_000;
const quitLookMs = 50;

/** Asks anew, sends nothing that changes anything. Never rejects. */
export async function judgeGuest(
  verb: GateVerb,
  machine: MachineHandle,
  around: GateSurroundings,
): Promise<GateVerdict> {
  const evidence = await gather(machine, await processOf(machine), around, false);
  return GuestProof.of(verb, evidence).verdict;
}

/**
 * Continues a guest that stands still.
 *
 * @throws {GuestRefusedError} nothing was sent
 * @throws {MachineDrivenError | UnfinishedRunError | JournalUnavailableError} nothing was sent
 * @throws {QmpError} QEMU refused, or did not answer
 * @returns what allowed it
 */
export async function continueGuest(
  machine: MachineHandle,
  around: GateSurroundings,
): Promise<string> {
  return claimed(machine, around, async (process) => {
    const proof = await prove('continue', machine, process, around);
    await send(machine, proof);
    await machine.refresh(['status', 'migration']);
    return proof.why;
  });
}

/**
 * Ends a QEMU whose guest is elsewhere, and waits until its process is gone.
 *
 * @throws {GuestRefusedError} nothing was sent
 * @throws {MachineDrivenError | UnfinishedRunError | JournalUnavailableError} nothing was sent
 * @throws {QmpError} QEMU refused, or did not answer
 * @throws {QuitHangsError} it was sent, and the process is still there
 * @returns what allowed it
 */
export async function quitMachine(
  machine: MachineHandle,
  around: GateSurroundings,
): Promise<string> {
  return claimed(machine, around, async (process) => {
    const proof = await prove('quit', machine, process, around);
    const { label } = machine.snapshot;
    await send(machine, proof).catch((error: unknown) => {
      // QEMU may be gone before its answer is read.
      if (!(error instanceof QmpClosedError)) throw error;
    });
    if (!(await hasEnded(machine, process))) throw new QuitHangsError(label, process?.pid);
    return proof.why;
  });
}

/** How to find machines that may have the same guest. */
export interface Relatives {
  readonly uuid: string | undefined;
  /** Where the other machine of its newest run listened. */
  readonly sockets: readonly string[];
}

/** For who has no list of all machines: which ones to look for. Never rejects. */
export async function relativesOf(
  { snapshot }: MachineHandle,
  journals: Journals | undefined,
): Promise<Relatives> {
  // What cannot be read is told by the verdict.
  const past = await readPast(snapshot, journals, true).catch(() => nothing);
  return {
    uuid: uuidOf(snapshot),
    sockets: past.partner === undefined ? [] : [past.partner.socket],
  };
}

/**
 * Throws a saved guest away and lets it go on in the QEMU that saved it; see `discardSaved`.
 *
 * @throws {RunRefusedError} nothing was changed
 * @throws {MachineDrivenError | UnfinishedRunError | JournalUnavailableError} nothing was changed
 * @throws {QmpError} the file is removed, and QEMU did not continue the guest
 */
export async function discardAndContinue(
  machine: MachineHandle,
  path: string,
  around: GateSurroundings,
): Promise<SideView> {
  const lock = await lockOfFile(path);
  return claimed(machine, around, () => discardSaved(machine, path), lock);
}

/** The one place where a person's `cont` and `quit` are sent. */
async function send(machine: MachineHandle, proof: GuestProof): Promise<void> {
  await machine.connection().execute(proof.command);
}

/** Keeps runs away from the machine meanwhile. */
async function claimed<Result>(
  machine: MachineHandle,
  { journals }: GateSurroundings,
  act: (process: QemuProcess | undefined) => Promise<Result>,
  besides?: Lockable,
): Promise<Result> {
  const process = await processOf(machine);
  const claim: Claim | undefined = await journals?.claim(
    machine.snapshot,
    machine.snapshot,
    besides,
  );
  try {
    return await act(process);
  } finally {
    await claim?.release();
  }
}

/** The process as found anew, else the one that is known, which may have ended. */
async function processOf(machine: MachineHandle): Promise<QemuProcess | undefined> {
  const { process } = machine.snapshot;
  return (await machine.identify().catch(() => undefined)) ?? process;
}

/** @throws {GuestRefusedError} */
async function prove(
  verb: GateVerb,
  machine: MachineHandle,
  process: QemuProcess | undefined,
  around: GateSurroundings,
): Promise<GuestProof> {
  const evidence = await gather(machine, process, around, true);
  const { verdict, proof } = GuestProof.of(verb, evidence);
  if (proof === undefined) throw new GuestRefusedError(verb, verdict);
  return proof;
}

async function hasEnded(
  machine: MachineHandle,
  process: QemuProcess | undefined,
): Promise<boolean> {
  const deadline = Date.now() + quitPatienceMs;
  for (;;) {
    const { state } = machine.snapshot;
    const gone =
      process === undefined
        ? state.kind === 'lost' && state.reason.kind === 'qemu-quit'
        : !(await isAlive(process));
    if (gone) return true;
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, quitLookMs));
  }
}

/** Everything that the rules ask for. Never rejects. */
async function gather(
  machine: MachineHandle,
  process: QemuProcess | undefined,
  around: GateSurroundings,
  isClaimed: boolean,
): Promise<GuestEvidence> {
  const view = await new Side(machine, process).look();
  const { snapshot } = machine;
  const past = await readPast(snapshot, around.journals, isClaimed).catch((error: unknown) => ({
    ...nothing,
    journalProblem: error instanceof Error ? error.message : String(error),
  }));
  const { partner, ...told } = past;
  return { label: snapshot.label, view, ...told, others: await othersOf(machine, partner, around) };
}

interface Past extends Pick<
  GuestEvidence,
  'drivenBy' | 'unfinishedRun' | 'last' | 'journalProblem'
> {
  /** The other machine of the newest run. */
  readonly partner: MachineIdentity | undefined;
}

const nothing: Past = { partner: undefined };

/** What the journals say of the machine. */
async function readPast(
  snapshot: MachineSnapshot,
  journals: Journals | undefined,
  isClaimed: boolean,
): Promise<Past> {
  if (journals === undefined) return nothing;
  const identity = await identifyMachine(snapshot);
  const { runs } = await journals.list();
  const ours = runs.filter(({ state: { begin } }) =>
    [begin.source, begin.target].some((side) => isOneMachine(side, identity)),
  );
  const open = ours.find(({ state }) => !state.ended);
  // Our own claim must not be taken for a run.
  const holder = isClaimed ? undefined : await journals.driverOf(snapshot);
  const driver = open?.drivenBy ?? holder;
  const ended = ours.filter(({ state }) => state.ended);
  const [newest] = ended;
  return {
    drivenBy: driver === undefined ? undefined : driverText(driver),
    unfinishedRun: open?.id,
    last: await lastKnown(ended, identity, runs),
    partner: newest && partnerIn(newest, identity),
  };
}

/**
 * The newest run whose end is known. After a later one of which nobody knows (set aside by hand) it
 * counts only where it took the guest away: that is for good.
 */
async function lastKnown(
  ended: readonly ListedRun[],
  identity: MachineIdentity,
  all: readonly ListedRun[],
): Promise<PastRun | undefined> {
  const at = ended.findIndex(({ state }) => !['unknown', undefined].includes(state.outcome?.owner));
  const known = ended[at];
  if (known === undefined) return undefined;
  const past = await pastRun(known, identity);
  if (at !== 0 && placeOf(past) !== 'elsewhere') return undefined;
  const heir = placeOf(past) === 'file' ? await restoredIn(past, known, all) : undefined;
  // A saved guest that was restored has gone the way of any other.
  return heir === undefined ? past : { ...past, role: 'source', owner: 'target', partner: heir };
}

/** The machine that the saved guest was restored in, or was about to be. */
async function restoredIn(
  { file }: PastRun,
  { state: { begin, startedAt } }: ListedRun,
  all: readonly ListedRun[],
): Promise<string | undefined> {
  if (file === undefined || methodOf(begin.request) === 'restore') return undefined;
  const read = await readNote(file.path);
  const [noted] = read.kind === 'read' ? read.note.restores : [];
  if (noted !== undefined) return noted.label;
  const restore = all.find(
    ({ state }) =>
      state.startedAt > startedAt &&
      methodOf(state.begin.request) === 'restore' &&
      state.begin.request.options?.file?.path === file.path &&
      state.outcome?.owner === 'target',
  );
  return restore?.state.begin.target.label;
}

function driverText({ program, pid }: Driver): string {
  return `${program} (pid ${pid})`;
}

async function pastRun({ id, state }: ListedRun, identity: MachineIdentity): Promise<PastRun> {
  const { begin, channel, outcome } = state;
  const isSource = isOneMachine(begin.source, identity);
  const isTarget = isOneMachine(begin.target, identity);
  const path = channel?.transport === 'file' ? channel.path : begin.request.options?.file?.path;
  return {
    id,
    method: methodOf(begin.request),
    role: isSource && isTarget ? 'both' : isSource ? 'source' : 'target',
    owner: outcome?.owner ?? 'unknown',
    partner: (isSource ? begin.target : begin.source).label,
    file: path === undefined ? undefined : { path, exists: await isSavedIn(path) },
  };
}

function partnerIn(
  { state: { begin } }: ListedRun,
  identity: MachineIdentity,
): MachineIdentity | undefined {
  return [begin.source, begin.target].find((side) => !isOneMachine(side, identity));
}

/** Whether both name one QEMU; by its process where that is known. */
function isOneMachine(a: MachineIdentity, b: MachineIdentity): boolean {
  if (a.process !== undefined && b.process !== undefined) {
    return a.key === b.key || isSameIdentity(a.process, b.process);
  }
  const differ = a.uuid !== undefined && b.uuid !== undefined && a.uuid !== b.uuid;
  return a.socket === b.socket && !differ;
}

/** Whether the saved guest is there, as far as file and note tell. */
async function isSavedIn(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  const read = await readNote(path);
  if (read.kind === 'foreign' || (read.kind === 'read' && read.note.state !== 'complete')) {
    return false;
  }
  return found !== undefined && found.isFile() && found.size > 0;
}

/** Machines that may have the guest too, each asked anew where that can be done. */
async function othersOf(
  machine: MachineHandle,
  partner: MachineIdentity | undefined,
  around: GateSurroundings,
): Promise<readonly OtherMachine[]> {
  const { snapshot } = machine;
  const uuid = uuidOf(snapshot);
  const found: Kin[] = [];
  let partnerSeen = partner === undefined;
  for (const other of around.machines) {
    if (other.id === snapshot.id || isSameQemu(other, snapshot)) continue;
    const isPartner = partner !== undefined && (await isMachine(other, partner));
    if (!isPartner && (uuid === undefined || uuidOf(other) !== uuid)) continue;
    partnerSeen ||= isPartner;
    const view = await viewOf(other, around);
    const kinship = isPartner ? 'partner' : 'uuid';
    found.push({ label: other.label, view, kinship, process: other.process });
  }
  if (!partnerSeen && partner !== undefined) {
    const isThere = partner.process === undefined || (await isStillThere(partner.process));
    const view: SideView = { kind: isThere ? 'silent' : 'gone' };
    found.push({ label: partner.label, view, kinship: 'partner', process: undefined });
  }
  return found.filter((kin) => !found.some((other) => answersFor(other, kin)));
}

interface Kin extends OtherMachine {
  readonly process: QemuProcess | undefined;
}

/** A monitor that is in use says nothing against the QEMU's other one, which answers. */
function answersFor(other: Kin, kin: Kin): boolean {
  if (other.process === undefined || kin.process === undefined) return false;
  const speaks = other.view.kind === 'answered' && kin.view.kind === 'silent';
  return speaks && isSameProcess(other.process, kin.process);
}

async function isMachine(snapshot: MachineSnapshot, identity: MachineIdentity): Promise<boolean> {
  const { process, socketPath } = snapshot;
  if (process !== undefined && identity.process !== undefined) {
    return isSameIdentity(await identityOf(process), identity.process);
  }
  return socketPath === identity.socket;
}

async function viewOf(
  snapshot: MachineSnapshot,
  { handleOf }: GateSurroundings,
): Promise<SideView> {
  const handle = handleOf?.(snapshot.id);
  if (handle !== undefined) return new Side(handle, handle.snapshot.process).look();
  const { process, state, facts } = snapshot;
  if (process !== undefined && !(await isAlive(process))) return { kind: 'gone' };
  const isFresh = facts?.failures.status === undefined && facts?.failures.migration === undefined;
  if (state.kind !== 'ready' || facts === undefined || !isFresh) return { kind: 'silent' };
  const status = facts.migration['status'];
  return {
    kind: 'answered',
    runState: facts.runState,
    migrationStatus: typeof status === 'string' ? status : undefined,
  };
}

/** Two monitors of one QEMU are one machine. */
function isSameQemu(a: MachineSnapshot, b: MachineSnapshot): boolean {
  return a.process !== undefined && b.process !== undefined && isSameProcess(a.process, b.process);
}

/** As QEMU told it, else as its command line says. */
function uuidOf({ facts, process }: MachineSnapshot): string | undefined {
  if (facts !== undefined) return facts.uuid;
  const at = process?.args.findIndex((argument) => /^--?uuid$/.test(argument)) ?? -1;
  return at === -1 ? undefined : process?.args[at + 1]?.toLowerCase();
}
