import { l10n } from 'vscode';
import type { MachineSnapshot } from '../../../vm/types';
import type { PromptItem } from '../../prompts';
import { machineItem } from '../machinePicker';

export interface Candidate {
  readonly snapshot: MachineSnapshot;
  readonly usable: boolean;
  readonly reason: string;
  /** In place of what its row says. */
  readonly note?: string;
}

/** Targets of cpr-transfer answer only once the source has begun. */
export function arrivingTargets(
  source: MachineSnapshot | undefined,
  snapshots: readonly MachineSnapshot[],
): readonly Candidate[] {
  return snapshots
    .filter(({ id }) => id !== source?.id)
    .map((snapshot) => {
      const answers = snapshot.state.kind === 'ready';
      const reason = answers
        ? l10n.t('It answers already; one that waits at its "cpr" socket does not.')
        : '';
      // Its row calls it lost, which it is not for this.
      return {
        snapshot,
        usable: !answers,
        reason,
        ...(!answers && { note: l10n.t('not up yet') }),
      };
    });
}

/** Those that can be taken first. */
export function candidateItems(candidates: readonly Candidate[]): readonly PromptItem<string>[] {
  const usable = candidates.filter((candidate) => candidate.usable);
  const others = candidates.filter((candidate) => !candidate.usable);
  return [
    ...usable.map(({ snapshot, note }) => ({
      ...machineItem(snapshot),
      ...(note !== undefined && { description: note }),
    })),
    ...others.map(({ snapshot, reason }) => machineItem(snapshot, reason)),
  ];
}
