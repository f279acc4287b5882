import type { MachineId } from '../../vm/types';
import { isOneSided, methodOf } from '../methods/names';
import type { GuestOwner, RunRecord } from '../run/types';
import type { NodeIcon } from './nodes';

/** Who may run the guest of a run, as seen from one of its machines. */
export interface Lamp {
  readonly owner: GuestOwner;
  /** A few words for a row: `here`, `on web-2 (the target)`, `unknown - needs you`. */
  readonly words: string;
  /** What it means, as a sentence. */
  readonly meaning: string;
  readonly icon: NodeIcon;
}

/** The lamp of a run's machine: what is known at the end, else what is known now. */
export function lampOf(run: RunRecord, id: MachineId): Lamp {
  const owner = run.outcome?.owner ?? run.progress.owner;
  return { owner, ...lookOf(owner, run, id) };
}

/** With what it is about, for a row that tells other things as well: `guest: here`. */
export function lampText(lamp: Lamp): string {
  return `guest: ${lamp.words}`;
}

function lookOf(owner: GuestOwner, run: RunRecord, id: MachineId): Omit<Lamp, 'owner'> {
  const { phase } = run.progress;
  switch (owner) {
    case 'source':
    case 'target':
      return whereLook(owner, run, id);
    case 'neither-yet':
      return {
        words: 'on neither side yet',
        meaning: 'It stands still while the last of it goes over. Nothing may be undone meanwhile.',
        icon: { codicon: 'ellipsis', color: 'charts.yellow' },
      };
    case 'file':
      return {
        words: 'saved in a file',
        meaning: 'It is in the file, and runs nowhere.',
        icon: { codicon: 'save', color: 'charts.blue' },
      };
    case 'nobody':
      return {
        words: 'lost',
        meaning: 'No QEMU has a guest that could run. Start it anew from its disk.',
        icon: { codicon: 'error', color: 'problemsErrorIcon.foreground' },
      };
    case 'unknown':
      if (run.takenUp === true && run.outcome === undefined && phase !== 'needs-you') {
        return {
          words: 'not known yet',
          meaning: 'Which side may run the guest is being found out. Continue neither meanwhile.',
          icon: { codicon: 'search' },
        };
      }
      return {
        words: 'unknown - needs you',
        meaning:
          'It is not proven which side may run the guest. Continue neither before you have looked.',
        icon: { codicon: 'question', color: 'problemsErrorIcon.foreground' },
      };
  }
}

function whereLook(
  owner: 'source' | 'target',
  { request, sourceLabel, targetLabel }: RunRecord,
  id: MachineId,
): Omit<Lamp, 'owner'> {
  const isHere = isOneSided(methodOf(request)) || request[owner] === id;
  const label = owner === 'source' ? sourceLabel : targetLabel;
  if (isHere) {
    return {
      words: 'here',
      meaning: 'Only this QEMU may run the guest now.',
      icon: { codicon: 'circle-filled', color: 'testing.iconPassed' },
    };
  }
  return {
    words: owner === 'source' ? 'on the source' : 'on the target',
    meaning: `Only ${label} may run the guest now.`,
    icon: { codicon: 'circle-outline' },
  };
}
