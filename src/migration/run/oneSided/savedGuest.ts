import { lstat, rm } from 'node:fs/promises';
import { QmpConnection } from '../../../qmp/connection';
import { isObject } from '../../../qmp/json';
import { findListener } from '../../../vm/listener';
import type { MachineHandle, MachineId } from '../../../vm/types';
import { fileIdentity, removeStateFile, type FileChannel } from '../../methods/stateFile';
import { methodOf } from '../../methods/names';
import { RunRefusedError } from '../checks/checks';
import { Gate } from '../gate';
import { identifyMachine, identityOf, isSameIdentity, isStillThere } from '../journal/processes';
import { Side } from '../look';
import { FileGone, Proof, type SideView } from '../ownership';
import type { OneSided } from './common';
import {
  formatCapabilities,
  notePathOf,
  readNote,
  syncDirectoryOf,
  writeNote,
  type Holder,
  type SavedNote,
} from './savedNote';

/** Puts the note beside the empty file, before anything is saved. */
export async function beginNote(run: OneSided, { path, made }: FileChannel): Promise<void> {
  const { machine, request } = run;
  const { facts } = machine.snapshot;
  const on = new Set(facts?.capabilities.flatMap(({ name, enabled }) => (enabled ? [name] : [])));
  const channels = facts?.parameters['multifd-channels'];
  await writeNote(path, {
    state: 'saving',
    run: run.journalId,
    savedAt: Date.now(),
    identity: made ?? '',
    method: methodOf(request) === 'cpr-reboot' ? 'cpr-reboot' : 'save',
    machineType: facts?.machineType,
    memoryBytes: facts?.memoryBytes,
    uuid: facts?.uuid,
    guestRan: run.ranBefore,
    qemuVersion: versionText(machine),
    capabilities: formatCapabilities.filter((name) => on.has(name)),
    multifdChannels: on.has('multifd') && typeof channels === 'number' ? channels : undefined,
    source: await holderOf(machine),
    restores: [],
  });
}

function versionText({ snapshot }: MachineHandle): string {
  const version = snapshot.facts?.version;
  return version === undefined ? '' : `${version.major}.${version.minor}.${version.micro}`;
}

/** This machine, as a note names it. */
export async function holderOf(machine: MachineHandle): Promise<Holder> {
  const { socket, label, process } = await identifyMachine(machine.snapshot);
  return { socket, label, process };
}

/** Writes the note anew. @throws {Error} there is none that belongs to the file */
export async function changeNote(
  path: string,
  change: (note: SavedNote) => SavedNote,
): Promise<void> {
  const read = await readNote(path);
  if (read.kind !== 'read') throw new Error(`there is no note of ${path} any more`);
  await writeNote(path, change(read.note));
}

/** Removes the note of a run that saved nothing; that of another run is left alone. */
export async function dropNote(path: string, run: string | undefined): Promise<void> {
  const read = await readNote(path);
  if (read.kind !== 'read' || read.note.run !== run) return;
  await rm(notePathOf(path), { force: true });
  await syncDirectoryOf(path).catch(() => undefined);
}

/** What a QEMU of a note does now. */
export type HolderState =
  | { readonly kind: 'gone' }
  /** It answered. */
  | { readonly kind: 'running' | 'standing'; readonly status: string }
  /** Its process is there, and nobody could ask it. */
  | { readonly kind: 'there' }
  /** The note does not name its process. */
  | { readonly kind: 'unknown' };

/** Whether a QEMU that had the guest still has it. Asks anew, and changes nothing. */
export async function askHolder(
  { process, socket }: Holder,
  machineAt?: (id: MachineId) => MachineHandle | undefined,
): Promise<HolderState> {
  if (process === undefined) return { kind: 'unknown' };
  if (!(await isStillThere(process))) return { kind: 'gone' };
  const machine = machineAt?.(socket);
  const known = machine?.snapshot.state.kind === 'ready' ? machine.snapshot.process : undefined;
  if (machine !== undefined && known !== undefined) {
    if (!isSameIdentity(await identityOf(known), process)) return { kind: 'there' };
    const view = await new Side(machine, known).look();
    return view.kind === 'answered' ? stateOf(view.runState) : { kind: 'there' };
  }
  const listener = await findListener(socket);
  if (listener === undefined || !isSameIdentity(await identityOf(listener), process)) {
    return { kind: 'there' };
  }
  return askSocket(socket);
}

async function askSocket(socket: string): Promise<HolderState> {
  let connection: QmpConnection | undefined;
  try {
    connection = await QmpConnection.connect(socket, { greetingTimeoutMs: 1000 });
    const answer = await connection.execute('query-status', {}, { timeoutMs: 2000 });
    if (!isObject(answer)) return { kind: 'there' };
    const { status, running } = answer;
    const word = typeof status === 'string' ? status : '';
    return stateOf({ status: word, running: running !== false });
  } catch {
    return { kind: 'there' };
  } finally {
    connection?.close();
  }
}

/** Only a guest that was given away stands still for good; a paused one may be continued. */
function stateOf({ status, running }: { status: string; running: boolean }): HolderState {
  const isDone = !running && (status === 'postmigrate' || status === 'inmigrate');
  return { kind: isDone ? 'standing' : 'running', status };
}

/**
 * Throws a saved guest away, as its user wishes, and lets it run on in the QEMU that saved it: the
 * file and its note are removed first, and only when they are proven to be gone the guest is continued.
 *
 * @returns what the machine says afterwards
 * @throws {RunRefusedError} it is not this machine's guest, was restored already, or cannot be
 *   continued; then nothing was changed
 * @throws {QmpError} the file is removed, and QEMU did not continue the guest
 */
export async function discardSaved(
  machine: MachineHandle,
  path: string,
  log: (line: string) => void = () => undefined,
): Promise<SideView> {
  await machine.refresh(['status', 'migration']);
  const process = await machine.identify();
  const side = new Side(machine, process);
  const { label } = machine.snapshot;
  const before = await side.look();
  if (before.kind !== 'answered' || before.runState.status !== 'postmigrate') {
    const reason = `${label} does not hold a guest that it has saved.`;
    throw new RunRefusedError([reason], 'Nothing was removed.');
  }
  const read = await readNote(path);
  const note = read.kind === 'read' ? read.note : undefined;
  const saver = note?.source.process;
  const isSaver =
    process !== undefined &&
    saver !== undefined &&
    isSameIdentity(await identityOf(process), saver);
  if (note === undefined || !isSaver) {
    const reason = `Nothing proves that ${path} is the guest of ${label}.`;
    throw new RunRefusedError([reason], 'Nothing was removed.');
  }
  const [restore] = note.restores;
  if (restore !== undefined) {
    const reason = `${path} was restored into ${restore.label}: the guest lives there, or has lived there.`;
    throw new RunRefusedError([reason], `Quit ${label}, and never continue it.`);
  }
  const there = await lstat(path, { bigint: true }).catch(() => undefined);
  if (there !== undefined) {
    const channel = { transport: 'file', path, made: note.identity } as const;
    if (fileIdentity(there) !== note.identity || !(await removeStateFile(channel))) {
      const reason = `${path} is another file than the one that was saved.`;
      throw new RunRefusedError([reason], 'Look for the saved file, and remove it.');
    }
  }
  await rm(notePathOf(path), { force: true });
  await syncDirectoryOf(path);
  const proof = Proof.continueSaved(await side.look(), await FileGone.look(path));
  if (proof === undefined) {
    const reason = `${label} changed meanwhile, or ${path} is there again.`;
    throw new RunRefusedError([reason], `Look at "query-status" of ${label}.`);
  }
  const gate = new Gate({ sides: { source: machine, target: machine }, log }, 'settle');
  await gate.sendProven('cont', proof);
  return side.look();
}
