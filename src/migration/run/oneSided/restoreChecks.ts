import type { VmFacts } from '../../../vm/types';
import { formatBytes } from '../../settings/units';
import { RunRefusedError } from '../checks/checks';
import { applyForce } from '../checks/force';
import type { Obstacle } from '../checks/obstacle';
import { isSameIdentity } from '../journal/processes';
import type { RunContext } from '../runContext';
import type { MigrationRequest } from '../types';
import { checkCommonly, helperObstacles, refuse } from './saveChecks';
import { historyOf } from './fileHistory';
import { askHolder, type HolderState } from './savedGuest';
import { formatCapabilities, readNote, type Holder, type NoteReading } from './savedNote';
import { readStateHeader, type StateHeader } from './stateHeader';

/** What is known of a saved guest before it is restored. */
export interface SavedGuest {
  readonly path: string;
  readonly header: StateHeader;
  readonly note: NoteReading;
  /** Who saved it, by its note or by our journals. */
  readonly saver?: Holder | undefined;
  /** What the QEMU that saved it does now; absent where that is not known. */
  readonly source: HolderState | undefined;
  /** Those that it was restored into before, with what they do now. */
  readonly restores: readonly { readonly holder: Holder; readonly state: HolderState }[];
}

/** Reads all that is known of it; changes nothing. Never rejects. */
export async function readSavedGuest(
  file: string,
  machineAt: RunContext['machineAt'],
  journals?: RunContext['journals'],
): Promise<SavedGuest> {
  const [header, note] = await Promise.all([readStateHeader(file), readNote(file)]);
  const known = note.kind === 'read' ? note.note : undefined;
  const history = await historyOf(file, journals);
  const saver = known?.source ?? history.source;
  const source = saver === undefined ? undefined : await askHolder(saver, machineAt);
  const noted = known?.restores ?? [];
  const told = history.restores.filter((one) => !noted.some((other) => isSameHolder(one, other)));
  const restores: { holder: Holder; state: HolderState }[] = [];
  for (const holder of [...noted, ...told]) {
    restores.push({ holder, state: await askHolder(holder, machineAt) });
  }
  return { path: file, header, note, saver, source, restores };
}

/**
 * What would fail, or could start a second copy of the guest, before anything is changed.
 *
 * @throws {RunRefusedError}
 */
export async function checkRestore(context: RunContext): Promise<SavedGuest> {
  const { request, target, machineAt, journals } = context;
  const file = request.options?.file;
  if (file === undefined) {
    const reason = 'It is not told which file to restore.';
    throw new RunRefusedError([reason], 'Name the file of a saved guest.');
  }
  await checkCommonly(context);
  const { facts, label } = target.snapshot;
  const saved = await readSavedGuest(file.path, machineAt, journals);
  const found = facts === undefined ? [] : savedReasons(saved, label, facts, request);
  if (file.passDescriptor === true) found.push(...(await helperObstacles(context, 'target')));
  const { remaining, overridden } = applyForce(request, found);
  refuse(remaining, request);
  for (const { reason } of overridden) context.log(`forced: ${reason}`);
  return saved;
}

/** Pure: the same guest and target give the same reasons. */
export function savedReasons(
  saved: SavedGuest,
  label: string,
  facts: VmFacts,
  request: Pick<MigrationRequest, 'options'> = {},
): Obstacle[] {
  const { path: file, header, note } = saved;
  const found = copyReasons(saved);
  if (header.kind === 'unreadable' || header.kind === 'other') {
    const why = header.kind === 'other' ? 'it does not begin as one' : header.reason;
    const reason = `${file} is not a guest that QEMU saved: ${why}.`;
    const nextStep = 'Name the file of a saved guest.';
    return [...found, { id: 'file-not-a-migration', side: 'target', reason, nextStep }];
  }
  const told = note.kind === 'read' ? note.note : undefined;
  if (told?.state === 'saving') {
    const reason = `${file} may not be whole: nobody saw the end of its save.`;
    const nextStep = 'Take up the run that saved it ("qemu-migration resume"), or save again.';
    found.push({ id: 'saved-unfinished', side: 'target', reason, nextStep });
  }
  const known = new Set(facts.capabilities.map(({ name }) => name));
  for (const name of formatOf(saved, request)) {
    if (known.has(name)) continue;
    const reason = `The file needs the capability ${name}, which the QEMU of ${label} does not have.`;
    const nextStep = 'Use a QEMU as late as the one that saved it.';
    found.push({ id: 'saved-format', side: 'target', subject: name, reason, nextStep });
  }
  const machineType = header.machineType ?? told?.machineType;
  if (machineType !== undefined && facts.machineType !== undefined) {
    if (machineType !== facts.machineType) {
      const reason = `The machine types differ: ${machineType} was saved, and ${label} is ${facts.machineType}.`;
      const nextStep = `Start the target with "-machine ${machineType}".`;
      found.push({ id: 'machine-type', side: 'target', reason, nextStep });
    }
  }
  const { memoryBytes } = told ?? {};
  if (memoryBytes !== undefined && facts.memoryBytes !== undefined) {
    if (memoryBytes !== facts.memoryBytes) {
      const reason = `The memory sizes differ: ${formatBytes(memoryBytes)} was saved, and ${label} has ${formatBytes(facts.memoryBytes)}.`;
      const nextStep = 'Start the target with as much memory.';
      found.push({ id: 'memory-size', side: 'target', reason, nextStep });
    }
  }
  return found;
}

/** What would, or could, make two copies of the guest, or run it on with disks that went on. */
function copyReasons(guest: SavedGuest): Obstacle[] {
  const { path: file, note, source, restores } = guest;
  const found: Obstacle[] = [];
  const known = note.kind === 'read' ? note.note : undefined;
  const saver = guest.saver ?? known?.source;
  if (known?.state === 'stale') {
    const reason = `${file} is older than its guest, which was continued after it was saved.`;
    const nextStep = 'Save the guest again; its disks went on without this file.';
    found.push({ id: 'saved-stale', side: 'target', reason, nextStep });
  }
  if (saver !== undefined && source !== undefined) {
    found.push(...holderReasons(saver, source, 'was saved from'));
  }
  for (const { holder, state } of restores) {
    const running = holderReasons(holder, state, 'was restored into');
    found.push(...running);
    if (running.length > 0) continue;
    const reason = `${file} was restored before, into ${holder.label}: the disks may have gone on since, and do not fit any more.`;
    const nextStep = `Go on only if the guest never ran in ${holder.label}, or its disks were put back as well.`;
    found.push({ id: 'restored-before', side: 'target', subject: holder.label, reason, nextStep });
  }
  return found;
}

function isSameHolder(a: Holder, b: Holder): boolean {
  if (a.process === undefined || b.process === undefined) return a.socket === b.socket;
  return isSameIdentity(a.process, b.process);
}

function holderReasons({ label, process }: Holder, state: HolderState, how: string): Obstacle[] {
  const pid = process === undefined ? '' : ` (pid ${process.pid})`;
  switch (state.kind) {
    case 'gone':
    case 'standing':
    case 'unknown':
      return [];
    case 'running': {
      const reason = `${label}${pid}, which the guest ${how}, still has it (${state.status}): it would be there twice.`;
      const nextStep = `Quit ${label} first, or leave the file alone.`;
      return [{ id: 'saved-guest-there', side: 'source', subject: label, reason, nextStep }];
    }
    case 'there': {
      const reason = `${label}${pid}, which the guest ${how}, is still there and cannot be asked whether it runs the guest.`;
      const nextStep = `Quit ${label} first.`;
      return [{ id: 'saved-guest-there', side: 'source', subject: label, reason, nextStep }];
    }
  }
}

/** The capabilities that the file needs, from what it says itself, its note, and the request. */
export function formatOf(
  { header, note }: SavedGuest,
  { options }: Pick<MigrationRequest, 'options'>,
): readonly string[] {
  const needed = new Set([
    ...(header.kind === 'qemu' ? header.capabilities : []),
    ...(note.kind === 'read' ? note.note.capabilities : []),
    ...(options?.file?.mappedRam === true ? ['mapped-ram'] : []),
    ...(options?.multifdChannels === undefined ? [] : ['multifd']),
    ...(options?.ignoreShared === true ? ['x-ignore-shared'] : []),
  ]);
  return formatCapabilities.filter((name) => needed.has(name));
}

/** What a person should know although it forbids nothing; whole sentences. */
export function savedWarnings({ path: file, note, source }: SavedGuest): readonly string[] {
  if (note.kind === 'read') {
    const { label } = note.note.source;
    if (source?.kind === 'standing') {
      return [`${label} still holds a stopped copy of this guest: quit it, and never continue it.`];
    }
    if (source?.kind === 'unknown') {
      return [`Whether ${label}, which saved the guest, still has it could not be found out.`];
    }
    return [];
  }
  const why =
    note.kind === 'none'
      ? `There is no note beside ${file}`
      : `The note beside ${file} is of no use (${note.reason})`;
  return [`${why}: whether another QEMU still runs this guest, nobody could tell.`];
}
