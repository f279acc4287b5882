import type { ControlId, ControlRequest } from '../../src/migration/run/controls';
import type { MigrationRequest, RunOutcome, RunProgress } from '../../src/migration/run/types';

/** A request without its machines, as JSON can carry it. */
export type RequestOrder = Omit<
  MigrationRequest,
  'source' | 'target' | 'maxBandwidthBytesPerSecond'
> & {
  /** Bytes/s in digits; 0: no limit. */
  readonly maxBandwidth?: string;
};

/** What the driver's process is to do. */
export interface DriverOrder {
  /** QMP sockets. */
  readonly source: string;
  readonly target: string;
  /** It does not answer yet. */
  readonly targetArrives?: boolean;
  readonly request: RequestOrder;
  readonly stateDirectory: string;
  readonly helper: string;
  /** A regular expression: stop once, just before a journal entry that it matches is written. */
  readonly holdAt?: string;
  /** Takes up this run instead of beginning one. */
  readonly resume?: string;
}

/** What it tells, one object a line. */
export type DriverSays =
  /** It stands before the entry of `holdAt`, until it is told `go`. */
  | { readonly say: 'holds' }
  | { readonly say: 'progress'; readonly progress: RunProgress }
  | { readonly say: 'log'; readonly line: string }
  | { readonly say: 'answer'; readonly control: ControlId; readonly refused: string | undefined }
  | {
      readonly say: 'outcome';
      readonly outcome: RunOutcome;
      readonly journalId: string | undefined;
    };

/** What it is told, one object a line. */
export type DriverTold =
  | { readonly do: 'go' }
  | { readonly do: 'disk'; readonly full: boolean }
  | { readonly do: 'control'; readonly request: ControlRequest };
