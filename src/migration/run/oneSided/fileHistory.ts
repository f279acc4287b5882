import { realpath, stat } from 'node:fs/promises';
import { methodOf } from '../../methods/names';
import { fileIdentity } from '../../methods/stateFile';
import type { MachineIdentity } from '../journal/entries';
import type { Journals } from '../journal/journals';
import type { JournalState } from '../journal/state';
import type { Lockable } from '../journal/locks';
import type { Holder } from './savedNote';

/** What our own journals tell of a saved guest: a second witness beside its note, which may be missing. */
export interface FileHistory {
  /** Who saved it. */
  readonly source: Holder | undefined;
  /** Those that it was restored into, or may have been. */
  readonly restores: readonly Holder[];
}

/** Reads it anew; nothing where there are no journals. Never rejects. */
export async function historyOf(
  file: string,
  journals: Journals | undefined,
): Promise<FileHistory> {
  const nothing = { source: undefined, restores: [] };
  try {
    const { mtimeMs } = await stat(file);
    const place = await realpath(file);
    const { runs } = (await journals?.list()) ?? { runs: [] };
    let source: Holder | undefined;
    const restores: Holder[] = [];
    for (const { state } of runs) {
      const named = state.begin.request.options?.file?.path;
      if (named === undefined || (await realpath(named).catch(() => named)) !== place) continue;
      if (methodOf(state.begin.request) === 'restore') {
        // What was restored before the file was written was another guest.
        if (state.startedAt >= mtimeMs && mayHaveRestored(state)) {
          restores.push(holderIn(state.begin.target));
        }
      } else if (state.outcome?.owner === 'file') source ??= holderIn(state.begin.source);
    }
    return { source, restores };
  } catch {
    return nothing;
  }
}

function mayHaveRestored({ incomingSent, outcome }: JournalState): boolean {
  if (!incomingSent) return false;
  return outcome === undefined || outcome.owner === 'target' || outcome.owner === 'unknown';
}

function holderIn({ socket, label, process }: MachineIdentity): Holder {
  return { socket, label, process };
}

/** So that one run at a time has the file, by whatever name; `undefined` while it is not there. */
export async function lockOfFile(file: string): Promise<Lockable | undefined> {
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  if (found === undefined) return undefined;
  return { key: `file-${fileIdentity(found).replace(':', '-')}`, label: file };
}
