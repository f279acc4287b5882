import { lstat } from 'node:fs/promises';
import { checkBeforeRun, RunRefusedError } from '../checks/checks';
import { isForceable } from '../checks/force';
import { readInventories } from '../checks/inventoryChecks';
import { readMethodFacts } from '../checks/methodChecks';
import type { Obstacle } from '../checks/obstacle';
import type { RunContext } from '../runContext';
import type { MigrationRequest } from '../types';
import { notePathOf } from './savedNote';

/**
 * What would fail, overwrite something or double the guest, before anything is changed.
 *
 * @throws {RunRefusedError}
 */
export async function checkSave(context: RunContext): Promise<void> {
  const { request, source } = context;
  const { label, process: qemu } = source.snapshot;
  const wanted = request.options?.file;
  if (wanted === undefined) {
    const reason = 'It is not told which file to save to.';
    throw new RunRefusedError([reason], 'Name a file that is not there yet.');
  }
  await checkCommonly(context);
  const found: Obstacle[] = [];
  const note = notePathOf(wanted.path);
  if (await exists(note)) {
    const reason = `${note} is there already, and may tell of another guest.`;
    const nextStep = 'Name another file, or move that note away.';
    found.push({ id: 'file-exists', side: 'source', subject: note, reason, nextStep });
  }
  if (wanted.passDescriptor === true) found.push(...(await helperObstacles(context, 'source')));
  else if (qemu !== undefined && process.getuid?.() !== 0 && qemu.uid !== process.getuid?.()) {
    // The file is made by us before QEMU opens it, so that it never overwrites another.
    const reason = `The QEMU of ${label} runs as another user, who may not open a file of yours.`;
    const nextStep = 'Hand the open file over as a descriptor.';
    found.push({ id: 'file-not-writable', side: 'source', reason, nextStep });
  }
  refuse(found, request);
}

/** What every run is checked for. @throws {RunRefusedError} */
export async function checkCommonly({ request, source, log }: RunContext): Promise<void> {
  const facts = await readMethodFacts(request, source, source);
  const inventories = await readInventories(request, source, source);
  const overridden = checkBeforeRun(request, source, source, inventories, facts);
  for (const { reason } of overridden) log(`forced: ${reason}`);
}

export async function helperObstacles(
  { locateHelper }: RunContext,
  side: Obstacle['side'],
): Promise<Obstacle[]> {
  const helper = await locateHelper();
  if (helper.kind !== 'missing') return [];
  const nextStep = 'Let QEMU open the path itself, where its user may.';
  return [{ id: 'helper-missing', side, reason: helper.sentence, nextStep }];
}

/** @throws {RunRefusedError} with all of them, if there are any */
export function refuse(found: readonly Obstacle[], request: MigrationRequest): void {
  if (found.length === 0) return;
  throw new RunRefusedError(
    found.map(({ reason }) => reason),
    [...new Set(found.map(({ nextStep }) => nextStep))].join(' '),
    found,
    found.filter((obstacle) => isForceable(obstacle, request)),
  );
}

async function exists(place: string): Promise<boolean> {
  return lstat(place).then(
    () => true,
    () => false,
  );
}
