import type { JsonValue } from '../../qmp/json';

/** What a person can do with a run under way. */
export type ControlId =
  | 'cancel'
  | 'start-postcopy'
  | 'release-switchover'
  | 'set-parameters'
  | 'yank'
  | 'pause-postcopy'
  | 'recover-postcopy';

export type ControlRequest =
  | { readonly id: Exclude<ControlId, 'set-parameters'> }
  /** Parameters of the source that act while it runs; QMP names. */
  | { readonly id: 'set-parameters'; readonly parameters: Readonly<Record<string, JsonValue>> };

/** One control with whether it can be used now. */
export interface ControlOffer {
  readonly id: ControlId;
  /** A verb phrase for a button or a row. */
  readonly title: string;
  /** What it does and what it risks, to be read before it is used. */
  readonly explanation: string;
  readonly offered: boolean;
  /** Why not; empty when offered. */
  readonly refusal: string;
}

/** A control cannot be used now; nothing was sent. */
export class ControlRefusedError extends Error {
  override readonly name = 'ControlRefusedError';
  readonly control: ControlId;
  readonly nextStep: string;

  constructor(control: ControlId, reason: string, nextStep: string) {
    super(reason);
    this.control = control;
    this.nextStep = nextStep;
  }
}
