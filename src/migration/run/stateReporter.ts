import type { RunJournal } from './journal/runJournal';
import { ownerIn } from './states';
import type { GuestOwner, RunPhase, RunProgress } from './types';

/** Tells whoever watches, and the journal once there is one, in which state a run is. */
export class StateReporter {
  private readonly report: (patch: Partial<RunProgress>) => void;
  private journal: Pick<RunJournal, 'jot'> | undefined;
  private owner: GuestOwner;
  private listener: ((state: RunPhase) => void) | undefined;

  /** @param owner who may run the guest before any state is entered */
  constructor(report: (patch: Partial<RunProgress>) => void, owner: GuestOwner = 'source') {
    this.report = report;
    this.owner = owner;
  }

  recordIn(journal: Pick<RunJournal, 'jot'> | undefined): void {
    this.journal = journal;
  }

  /** Somebody else to tell. */
  onEnter(listener: (state: RunPhase) => void): void {
    this.listener = listener;
  }

  /** @param proven who has the guest; absent: as the table of states says */
  enter(state: RunPhase, proven?: GuestOwner): void {
    this.listener?.(state);
    this.owner = proven ?? ownerIn(state, this.owner);
    this.report({ phase: state, owner: this.owner });
    // The states before say nothing that other entries do not prove.
    if (state !== 'prepare') this.journal?.jot({ kind: 'phase', phase: state });
  }
}
