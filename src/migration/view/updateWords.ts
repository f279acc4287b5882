import type {
  LedgerRow,
  UpdateMethod,
  UpdateOutcome,
  UpdatePhase,
  UpdateProgress,
  UpdateTimes,
} from '../liveUpdate/types';
import { progressLine } from '../run/progressText';
import { formatDurationMs } from '../settings/units';

/** The ways, for lists and titles. */
export const updateMethodTitles: Readonly<Record<UpdateMethod, string>> = {
  'backend-transfer': 'Backend transfer',
  'tap-adoption': 'Adoption of the TAPs',
  'cpr-transfer': 'Memory stays in place (cpr-transfer)',
  'shared-ram': 'Shared memory file',
  'cpr-exec': 'Replacement in the same process (cpr-exec)',
  plain: 'Local migration with networks of its own',
};

/** What a way does, in one sentence. */
export const updateMethodMeanings: Readonly<Record<UpdateMethod, string>> = {
  'backend-transfer': 'QEMU itself hands the TAPs over; the memory is copied.',
  'tap-adoption': 'The new QEMU is given the very TAP queues of the old one; the memory is copied.',
  'cpr-transfer': 'The memory stays where it is; the new QEMU is given the TAP queues.',
  'shared-ram': 'Both QEMUs map the same memory file; the new one is given the TAP queues.',
  'cpr-exec':
    'The same process becomes the new program. A mistake in the command line there loses the guest, so it is tried out first.',
  plain: 'The memory is copied, and the new QEMU opens networks of its own.',
};

const phaseTitles: Readonly<Record<UpdatePhase, string>> = {
  plan: 'planning',
  start: 'starting the new QEMU',
  run: 'moving the guest',
  settle: 'putting names in order',
  'roll-back': 'putting everything back',
  ended: 'ended',
};

/** One line of how it goes, without a full stop; what the run says, while it moves the guest. */
export function updateProgressText({ phase, step, run }: UpdateProgress): string {
  if (phase === 'run' && run !== undefined) return progressLine(run);
  return [phaseTitles[phase], step].filter((part) => part !== '').join(' · ');
}

/** `11.1.0 → 11.2.0`; the same twice: said so. */
export function versionsText(from: string, to: string | undefined): string {
  if (to === undefined) return `${from} → a QEMU that does not tell its version`;
  return from === to ? `${from}, started anew` : `${from} → ${to}`;
}

/** Of a cell in a table. */
export function millisecondsText(time: number | undefined): string {
  return time === undefined ? '–' : ms(time);
}

/** Milliseconds as they are measured: the guest's pause is told to a tenth. */
function ms(value: number): string {
  return value < 100 ? `${Number(value.toFixed(1))} ms` : formatDurationMs(value);
}

/** What was measured, each with what it is; what was not is left out. */
export function timeRows(times: UpdateTimes): readonly (readonly [what: string, time: string])[] {
  const rows: readonly (readonly [string, number | undefined])[] = [
    ['Before: from the begin to "migrate", the guest runs', times.beforeMs],
    ['Pause of the guest, by QEMU', times.downtimeMs],
    ["From the old QEMU's STOP to the new one's RESUME", times.blackoutMs],
    ['After: until the old QEMU was gone, the guest runs', times.sourceGoneMs],
    ['After: until all names were in order, the guest runs', times.afterMs],
  ];
  return rows.flatMap(([what, value]) => (value === undefined ? [] : [[what, ms(value)] as const]));
}

/** The figures that count, in few words; empty where there are none. */
export function pauseFigures({ downtimeMs, blackoutMs }: UpdateTimes): string {
  return [
    downtimeMs === undefined ? undefined : `pause ${ms(downtimeMs)} by QEMU`,
    blackoutMs === undefined ? undefined : `${ms(blackoutMs)} from STOP to RESUME`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

const fates: Readonly<Record<LedgerRow['fate'], string>> = {
  'handed-over': 'handed over',
  'opened-anew': 'opened anew',
  unclaimed: 'never claimed',
  'ends-with-source': 'ends with the old QEMU',
};

export const ledgerHead = ['What', 'Kind', 'Old fd', 'New fd', 'Fate'] as const;

/** The descriptors as rows of a table; those that nobody claimed first. */
export function ledgerCells(ledger: readonly LedgerRow[]): readonly (readonly string[])[] {
  const rank = ({ fate }: LedgerRow): number =>
    ['unclaimed', 'handed-over', 'opened-anew', 'ends-with-source'].indexOf(fate);
  return [...ledger]
    .sort((a, b) => rank(a) - rank(b) || a.sourceFd - b.sourceFd)
    .map(({ kind, what, sourceFd, targetFd, fate }) => [
      what,
      kind,
      String(sourceFd),
      targetFd === undefined ? '–' : String(targetFd),
      fates[fate],
    ]);
}

/** How many of each fate, such as `4 handed over, 1 never claimed`. */
export function ledgerSummary(ledger: readonly LedgerRow[]): string {
  const count = new Map<string, number>();
  for (const { fate } of ledger) count.set(fate, (count.get(fate) ?? 0) + 1);
  return (['handed-over', 'opened-anew', 'unclaimed', 'ends-with-source'] as const)
    .flatMap((fate) => {
      const many = count.get(fate);
      return many === undefined ? [] : [`${many} ${fates[fate]}`];
    })
    .join(', ');
}

/** The state of an ended update in one or two words. */
export const updateKindWords: Readonly<Record<UpdateOutcome['kind'], string>> = {
  updated: 'updated',
  refused: 'not begun',
  failed: 'failed',
  cancelled: 'cancelled',
  unknown: 'needs you',
};
