import type { SideName } from '../run/journal/entries';
import type { GuestOwner, MethodName, RunPhase } from '../run/types';

/** All that is known of a run that went wrong; whatever is not known is absent. */
export interface FailureEvidence {
  readonly method: MethodName;
  /** The state in which it went wrong. */
  readonly phase: RunPhase;
  readonly owner: GuestOwner;
  readonly guestRunning: boolean | undefined;
  readonly labels: Readonly<Record<SideName, string>>;
  /** `error-desc` of `query-migrate`, or the refusal of a command. */
  readonly sourceError: string | undefined;
  readonly targetError: string | undefined;
  /** Last lines of standard error, oldest first, where we could read them. */
  readonly sourceStderr?: readonly string[];
  readonly targetStderr?: readonly string[];
  readonly sourceEnd?: ProcessEnd;
  readonly targetEnd?: ProcessEnd;
  /** A command that was refused, where `sourceError` and `targetError` do not have it. */
  readonly refusal?: Refusal;
}

/** QEMU did not carry a command out. */
export interface Refusal {
  readonly command: string;
  readonly text: string;
  /** Absent where it may have been either. */
  readonly side?: SideName;
}

/** How a QEMU ended; both absent: it is gone and nobody knows how. */
export interface ProcessEnd {
  readonly exitCode?: number;
  readonly signal?: string;
}

/** One cause in plain words. */
export interface FailureExplanation {
  /** Of the catalogue; `unknown` when no text is known. */
  readonly id: string;
  /** Which side refused or broke. */
  readonly side: SideName | 'channel' | 'unknown';
  /** One sentence: which step failed, on which side. */
  readonly what: string;
  /** What it means. */
  readonly meaning: string;
  /** What to do; the guest's place is said elsewhere. */
  readonly nextStep: string;
  /** QEMU's own words that this rests on, verbatim, with who said them. */
  readonly quotes: readonly string[];
}
