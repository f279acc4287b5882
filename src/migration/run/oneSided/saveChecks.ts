import { constants } from 'node:fs';
import { access, lstat } from 'node:fs/promises';
import path from 'node:path';
import type { MachineSnapshot, VmFacts } from '../../../vm/types';
import { plannedSettings, modeOf } from '../../methods/planned';
import { RunRefusedError, sourceObstacle } from '../checks';
import type { RunContext } from '../runContext';
import type { MigrationRequest } from '../types';
import { notePathOf } from './savedNote';

interface Reason {
  readonly reason: string;
  readonly nextStep: string;
}

/**
 * What would fail, overwrite something or double the guest, before anything is changed.
 *
 * @throws {RunRefusedError}
 */
export async function checkSave({ request, source, locateHelper }: RunContext): Promise<void> {
  const { facts, label, state } = source.snapshot;
  if (facts === undefined || state.kind !== 'ready') {
    throw new RunRefusedError([`${label} is not connected.`], `Connect ${label} first.`);
  }
  const found: Reason[] = [
    ...sourceObstacle(label, facts),
    ...settingReasons(request, label, facts),
    ...(await pathReasons(request, source.snapshot)),
  ];
  if (request.options?.file?.passDescriptor === true) {
    const helper = await locateHelper();
    if (helper.kind === 'missing') {
      const nextStep = 'Let QEMU open the path itself, where its user may.';
      found.push({ reason: helper.sentence, nextStep });
    }
  }
  refuse(found);
}

/** @throws {RunRefusedError} with all of them, if there are any */
export function refuse(found: readonly Reason[]): void {
  if (found.length === 0) return;
  throw new RunRefusedError(
    found.map(({ reason }) => reason),
    [...new Set(found.map(({ nextStep }) => nextStep))].join(' '),
  );
}

/** Whether this QEMU can save to and restore from a file at all, and with these capabilities. */
export function fileReasons(
  label: string,
  { schema, capabilities }: VmFacts,
  needed: readonly string[],
): Reason[] {
  // The address of a channel came with `file:` and with nothing else.
  if (schema.argument('migrate', 'channels') === undefined) {
    const reason = `The QEMU of ${label} cannot save to a file or restore from one.`;
    return [{ reason, nextStep: 'Use QEMU 8.2 or later.' }];
  }
  const known = new Set(capabilities.map(({ name }) => name));
  return needed
    .filter((name) => !known.has(name))
    .map((name) => ({
      reason: `The QEMU of ${label} has no capability ${name}.`,
      nextStep: `Go without ${name}, or use a later QEMU.`,
    }));
}

/** That the run turns on, and that are on and stay so. */
export function effectiveCapabilities(
  request: MigrationRequest,
  facts: VmFacts,
): ReadonlySet<string> {
  const on = new Set(facts.capabilities.flatMap(({ name, enabled }) => (enabled ? [name] : [])));
  const { capabilities } = plannedSettings(request, 'source');
  for (const [name, state] of Object.entries(capabilities)) {
    if (state) on.add(name);
    else on.delete(name);
  }
  return on;
}

function settingReasons(request: MigrationRequest, label: string, facts: VmFacts): Reason[] {
  const on = effectiveCapabilities(request, facts);
  const found = fileReasons(label, facts, [...on]);
  const mode = modeOf(request);
  const modes = facts.schema.enumValues('migrate-set-parameters', 'mode');
  if (mode !== 'normal' && !modes.includes(mode)) {
    const reason = `The QEMU of ${label} has no mode ${mode}.`;
    found.push({ reason, nextStep: 'Save it in the normal way.' });
  }
  for (const name of ['background-snapshot', 'x-colo']) {
    if (!on.has(name)) continue;
    const reason = `${name} is on at ${label}: the guest would run on after it was saved.`;
    found.push({ reason, nextStep: `Turn ${name} off.` });
  }
  if (on.has('multifd') && !on.has('mapped-ram')) {
    const reason =
      'multifd is on, and can write to a file only where each page has its place in it.';
    found.push({ reason, nextStep: 'Save with mapped-ram, or turn multifd off.' });
  }
  return found;
}

async function pathReasons(
  request: MigrationRequest,
  { label, process: qemu }: MachineSnapshot,
): Promise<Reason[]> {
  const file = request.options?.file;
  if (file === undefined || !path.isAbsolute(file.path) || file.path.includes('\0')) {
    const reason = 'It is not told which file to save to, by its absolute path.';
    return [{ reason, nextStep: 'Name a file that is not there yet.' }];
  }
  const found: Reason[] = [];
  for (const place of [file.path, notePathOf(file.path)]) {
    if (await exists(place)) {
      const reason = `${place} is there already, and is not overwritten.`;
      found.push({ reason, nextStep: 'Name a file that is not there yet, or move that one away.' });
    }
  }
  const directory = path.dirname(file.path);
  try {
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const reason = `No file can be made in ${directory}: ${why}.`;
    found.push({ reason, nextStep: 'Choose a folder that is there and that you may write to.' });
  }
  if (file.passDescriptor === true || qemu === undefined) return found;
  const ours = process.getuid?.();
  const nextStep = 'Hand the open file over as a descriptor: then QEMU needs no path.';
  if (ours !== 0 && qemu.uid !== ours) {
    const reason = `The QEMU of ${label} runs as another user, who may not open a file of yours.`;
    found.push({ reason, nextStep });
  }
  if ((qemu.root ?? '/') !== '/') {
    found.push({ reason: `${label} runs in a root directory of its own.`, nextStep });
  }
  return found;
}

async function exists(place: string): Promise<boolean> {
  return lstat(place).then(
    () => true,
    () => false,
  );
}
