import type { Driver, ProcessIdentity } from './entries';
import type { JournalState } from './state';
import type { JournalledUpdateEnd, StampedUpdateEntry, UpdateEntry } from './updateEntries';

export type UpdateBeginning = Extract<UpdateEntry, { kind: 'begin' }>;

/** What the journal of a live update proves, put together from its entries. */
export interface UpdateState {
  readonly begin: UpdateBeginning;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** Who carried it on last. */
  readonly driver: Driver;
  readonly guarded: boolean;
  /** The target may have been started. */
  readonly launchAnnounced: boolean;
  readonly target: ProcessIdentity | undefined;
  /** The run may have been begun. */
  readonly runAnnounced: boolean;
  readonly runId: string | undefined;
  /** The source may have been told to quit, on proof that the target has the guest. */
  readonly quitAnnounced: boolean;
  readonly rollingBack: boolean;
  /** Entries are missing. */
  readonly incomplete: boolean;
  /** The last driver stopped, and told so. */
  readonly left: boolean;
  readonly outcome: JournalledUpdateEnd | undefined;
  readonly ended: boolean;
}

/** Whether a run is, or may be, the one of an update. */
export function isRunOf(
  update: UpdateState,
  run: Pick<JournalState, 'begin' | 'startedAt'>,
): boolean {
  const isSame = run.begin.source.key === update.begin.machine.key;
  return isSame && update.runAnnounced && run.startedAt >= update.startedAt;
}

type Mutable = { -readonly [K in keyof UpdateState]: UpdateState[K] };

/** Puts a journal together; `undefined` when it does not begin with a beginning. */
export function updateStateOf(entries: readonly StampedUpdateEntry[]): UpdateState | undefined {
  const [begin, ...rest] = entries;
  if (begin?.kind !== 'begin') return undefined;
  const state: Mutable = {
    begin,
    startedAt: begin.at,
    driver: begin.driver,
    guarded: false,
    launchAnnounced: false,
    target: undefined,
    runAnnounced: false,
    runId: undefined,
    quitAnnounced: false,
    rollingBack: false,
    incomplete: false,
    left: false,
    outcome: undefined,
    ended: false,
  };
  for (const entry of rest) apply(state, entry);
  return state;
}

function apply(state: Mutable, entry: UpdateEntry): void {
  switch (entry.kind) {
    case 'begin':
    case 'device':
    case 'source-gone':
    case 'move':
    case 'moved':
    case 'pid-file':
    case 'end-target':
      // What is there now tells more of these than what was announced.
      return;
    case 'driver':
      state.driver = entry.driver;
      state.left = false;
      return;
    case 'guard':
      state.guarded = true;
      return;
    case 'launch':
      state.launchAnnounced = true;
      return;
    case 'launched':
      state.target = entry.process;
      return;
    case 'run':
      state.runAnnounced = true;
      return;
    case 'run-id':
      state.runId = entry.run;
      return;
    case 'quit-source':
      state.quitAnnounced = true;
      return;
    case 'roll-back':
      state.rollingBack = true;
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
