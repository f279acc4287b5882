import type { StampedEntry } from '../run/journal/entries';
import { states } from '../run/states';

/** One line of a run's journal for a person. */
export interface JournalStep {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly words: string;
}

/** What was written down, in plain words. Entries that announce something are worded so. */
export function journalSteps(entries: readonly StampedEntry[]): readonly JournalStep[] {
  return entries.map((entry) => ({ at: entry.at, words: wordsOf(entry) }));
}

/** The last state in which something was done; what came after it only looked. */
export function lastWorkingPhase(entries: readonly StampedEntry[]): string | undefined {
  const idle = new Set(['settle', 'needs-you', 'ended']);
  return entries
    .flatMap((entry) => (entry.kind === 'phase' && !idle.has(entry.phase) ? [entry.phase] : []))
    .at(-1);
}

function wordsOf(entry: StampedEntry): string {
  switch (entry.kind) {
    case 'begin':
      return `begun by ${entry.driver.program}, pid ${entry.driver.pid}`;
    case 'driver':
      return `taken up by ${entry.driver.program}, pid ${entry.driver.pid}`;
    case 'loan':
      return `about to change ${loanText(entry.what)} on the ${entry.side}`;
    case 'loan-end':
      return 'a changed setting is as it was';
    case 'kept':
      return 'the settings were written down';
    case 'channel':
      return `about to open the channel (${entry.channel.transport})`;
    case 'incoming':
      return 'about to tell the target to listen (migrate-incoming)';
    case 'migrate':
      return 'about to tell the source to migrate';
    case 'migrate-refused':
      return 'QEMU refused to migrate';
    case 'phase':
      return phaseWords(entry.phase);
    case 'cancel-asked':
      return 'a cancel was asked for';
    case 'control':
      return entry.detail === undefined
        ? `asked for: ${entry.control}`
        : `asked for: ${entry.control} (${entry.detail})`;
    case 'hold':
      return holdText(entry);
    case 'cancel':
      return entry.reason === 'asked-for'
        ? 'about to cancel (migrate_cancel)'
        : 'about to cancel, for the target is gone (migrate_cancel)';
    case 'continue-source':
      return 'about to continue the guest on the source, for the target is gone';
    case 'gap':
      return `entries are missing here: ${entry.why}`;
    case 'unsettled':
      return 'nobody watched any more, and the end was not known';
    case 'end':
      return `ended: ${entry.outcome.kind.replaceAll('-', ' ')}`;
  }
}

/** A phase of another version of this program is shown as it is. */
export function phaseWords(phase: string): string {
  const row: { readonly words: string } | undefined = Object.entries(states).find(
    ([name]) => name === phase,
  )?.[1];
  return row?.words ?? phase;
}

function loanText(what: Extract<StampedEntry, { kind: 'loan' }>['what']): string {
  return what.type === 'parameter' ? what.name : what.names.join(', ');
}

function holdText({ side, state }: Extract<StampedEntry, { kind: 'hold' }>): string {
  switch (state) {
    case 'taking':
      return `about to hold the guest on the ${side}`;
    case 'taken':
      return `the guest is held on the ${side}`;
    case 'releasing':
      return `about to continue what was held on the ${side}`;
    case 'released':
      return `the guest is not held on the ${side} any more`;
  }
}
