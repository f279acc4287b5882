import type { JournalledUpdateEnd } from '../run/journal/updateEntries';
import type { RunOutcome } from '../run/types';
import { explain } from '../view/words';
import { noTimes } from './measure';
import { TargetStartError } from './startTarget';
import type { UpdateOutcome } from './types';

/** All that an outcome has beside its kind and words. */
export const blankUpdate = {
  run: undefined,
  times: noTimes,
  ledger: [],
  leftovers: [],
  targetPid: undefined,
  findings: [],
} as const satisfies Partial<UpdateOutcome>;

/** What of an outcome is written down. */
export function journalEnd(outcome: UpdateOutcome): JournalledUpdateEnd {
  const { kind, headline, details, nextStep, leftovers, times } = outcome;
  const { downtimeMs, blackoutMs } = times;
  return {
    ...{ kind, headline, details, nextStep, leftovers },
    ...(downtimeMs !== undefined && { downtimeMs }),
    ...(blackoutMs !== undefined && { blackoutMs }),
  };
}

/** Why something did not work, as sentences, with what QEMU wrote. */
export function problemLines(error: unknown): readonly string[] {
  if (error instanceof TargetStartError) {
    const wrote = error.lines.length === 0 ? [] : [`It wrote: ${error.lines.join(' / ')}`];
    return [error.message, ...wrote];
  }
  const { headline, detail } = explain(error);
  return detail === undefined ? [headline] : [headline, detail];
}

/** The guest stayed where it was, and everything is put back, or told in `leftovers`. */
export function stayedOutcome(
  label: string,
  why: {
    readonly kind: 'failed' | 'cancelled';
    readonly run: RunOutcome | undefined;
    readonly reasons: readonly string[];
    readonly nextStep?: string | undefined;
  },
  leftovers: readonly string[],
): UpdateOutcome {
  const { kind, run, reasons } = why;
  const begin = kind === 'cancelled' ? 'Cancelled' : 'Not updated';
  const stands = run?.guestRunning === false ? 'is paused' : 'runs on';
  return {
    ...blankUpdate,
    kind,
    run,
    leftovers,
    headline: `${begin}: the guest of ${label} ${stands} in its old QEMU.`,
    details: reasons,
    nextStep:
      leftovers.length > 0
        ? 'See to what was left behind; then the update can be tried again.'
        : (why.nextStep ?? 'Mend the cause and try again.'),
  };
}
