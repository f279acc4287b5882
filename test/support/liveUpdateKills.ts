import type { LiveUpdateCase } from './runLiveUpdate';

/** One killing at one entry of the update's journal, or of its run's. */
export interface LiveUpdateKill extends Pick<LiveUpdateCase, 'kill' | 'method' | 'memory'> {
  /** `program launch`: who, and the entry that was on disk. */
  readonly title: string;
  /** Where the guest is in the end; `either` where the moment does not decide it. */
  readonly guest: 'old' | 'new' | 'either';
}

type Who = NonNullable<LiveUpdateCase['kill']>['who'];

const kill = (
  who: Who,
  entry: string,
  guest: LiveUpdateKill['guest'],
  more: Partial<LiveUpdateKill> = {},
): LiveUpdateKill => ({
  title: `${who} ${entry}`,
  method: 'tap-adoption',
  kill: { who, when: 'synced', at: `"kind":"${entry}"` },
  guest,
  ...more,
});

/** After an entry that only says what has happened: nobody waits until that is on disk. */
const killAfter = (entry: string): LiveUpdateKill =>
  kill('program', entry, 'new', {
    kill: { who: 'program', when: 'written', at: `"kind":"${entry}"` },
  });

/**
 * All killings. Entries that announce are on disk before what they announce is done. Where the source
 * is killed while it has the guest, the guest is lost by that alone: not among them.
 */
export const liveUpdateKills: readonly LiveUpdateKill[] = [
  kill('program', 'guard', 'old'),
  kill('program', 'launch', 'old'),
  kill('program', 'launched', 'old'),
  kill('program', 'run', 'old'),
  // Of the run's journal: about to send `migrate`, and about to let the guest go over.
  kill('program', 'migrate', 'either'),
  kill('program', 'quit-source', 'new'),
  killAfter('source-gone'),
  kill('program', 'move', 'new'),
  killAfter('moved'),
  kill('target', 'launched', 'old'),
  kill('target', 'run', 'old'),
  kill('target', 'migrate', 'old'),
  kill('helper', 'launch', 'old'),
  kill('helper', 'launched', 'either'),
  kill('helper', 'run', 'either'),
  kill('source', 'quit-source', 'new'),
];
