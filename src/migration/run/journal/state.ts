import type { RunOutcome } from '../types';
import type {
  ChannelWhat,
  Driver,
  JournalEntry,
  LoanWhat,
  SideName,
  StampedEntry,
} from './entries';

export type Beginning = Extract<JournalEntry, { kind: 'begin' }>;

export type KeptSettings = Pick<
  Extract<JournalEntry, { kind: 'kept' }>,
  'capabilities' | 'parameters'
>;

export interface OpenLoan {
  readonly loan: number;
  readonly side: SideName;
  readonly always: boolean;
  readonly what: LoanWhat;
}

/** `asked`: `stop` may have been sent; `confirmed`: QEMU said that it did it. */
export type HoldState = 'none' | 'asked' | 'confirmed';

/** What a journal proves, put together from its entries. */
export interface JournalState {
  readonly begin: Beginning;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Who carried it on last. */
  readonly driver: Driver;
  /** Not known to be put back; in the order of borrowing. */
  readonly loans: readonly OpenLoan[];
  /** All settings as they were, where the run wrote them down. */
  readonly kept: KeptSettings | undefined;
  readonly channel: ChannelWhat | undefined;
  /** The target may have been told to listen. */
  readonly incomingSent: boolean;
  /** The source may have been told to migrate. */
  readonly migrateSent: boolean;
  readonly phase: string;
  readonly cancelAsked: boolean;
  /** `migrate_cancel` may have been sent, for this reason. */
  readonly cancelReason: 'asked-for' | 'target-gone' | undefined;
  readonly holds: Readonly<Record<SideName, HoldState>>;
  /** The target was kept from starting by itself before `migrate_cancel` was sent. */
  readonly heldBeforeCancel: boolean;
  /** Whether the guest ran, our own holds aside, as last known. */
  readonly guestRan: boolean;
  /** Entries are missing. */
  readonly incomplete: boolean;
  /** The last driver stopped watching, and told so. */
  readonly left: boolean;
  /** The end, or as much as was known when somebody stopped watching. */
  readonly outcome: RunOutcome | undefined;
  readonly ended: boolean;
}

type Mutable = { -readonly [K in keyof JournalState]: JournalState[K] };

/** Puts a journal together; `undefined` when it does not begin with a beginning. */
export function stateOf(entries: readonly StampedEntry[]): JournalState | undefined {
  const [begin, ...rest] = entries;
  if (begin?.kind !== 'begin') return undefined;
  const state: Mutable = {
    begin,
    startedAt: begin.at,
    driver: begin.driver,
    loans: [],
    kept: undefined,
    channel: undefined,
    incomingSent: false,
    migrateSent: false,
    phase: 'prepare',
    cancelAsked: false,
    cancelReason: undefined,
    holds: { source: 'none', target: 'none' },
    heldBeforeCancel: false,
    guestRan: begin.guestRan,
    incomplete: false,
    left: false,
    outcome: undefined,
    ended: false,
  };
  for (const entry of rest) apply(state, entry);
  return state;
}

function apply(state: Mutable, entry: JournalEntry): void {
  switch (entry.kind) {
    case 'begin':
      return;
    case 'driver':
      state.driver = entry.driver;
      state.left = false;
      return;
    case 'loan':
      state.loans = [...state.loans, entry];
      return;
    case 'loan-end':
      state.loans = state.loans.filter(({ loan }) => loan !== entry.loan);
      return;
    case 'kept':
      state.kept = entry;
      return;
    case 'channel':
      state.channel = entry.channel;
      return;
    case 'incoming':
      state.incomingSent = true;
      return;
    case 'migrate':
      state.migrateSent = true;
      return;
    case 'migrate-refused':
      state.migrateSent = false;
      return;
    case 'phase':
      state.phase = entry.phase;
      return;
    case 'cancel-asked':
      state.cancelAsked = true;
      return;
    case 'hold':
      applyHold(state, entry);
      return;
    case 'cancel':
      state.cancelReason = entry.reason;
      // It is written down only when neither side can start by itself any more.
      state.heldBeforeCancel = entry.reason === 'asked-for';
      return;
    case 'continue-source':
    case 'control':
      return;
    case 'gap':
      state.incomplete = true;
      return;
    case 'unsettled':
      state.left = true;
      state.outcome = entry.outcome;
      return;
    case 'end':
      state.ended = true;
      state.outcome = entry.outcome;
      return;
  }
}

function applyHold(state: Mutable, entry: Extract<JournalEntry, { kind: 'hold' }>): void {
  const { side } = entry;
  const set = (hold: HoldState): void => {
    state.holds = { ...state.holds, [side]: hold };
  };
  switch (entry.state) {
    case 'taking':
      // Asked for again, it may have been confirmed before.
      if (state.holds[side] === 'none') set('asked');
      // Nothing is held but for that, or over a switchover.
      if (entry.purpose === undefined) state.cancelAsked = true;
      state.guestRan = entry.guestRan;
      return;
    case 'taken':
      set('confirmed');
      return;
    case 'releasing':
      // Whether `cont` was sent nobody knows; what QEMU says then decides.
      return;
    case 'released':
      set('none');
      return;
  }
}
