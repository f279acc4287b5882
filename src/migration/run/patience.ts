/** How long a run waits before it draws its conclusions; milliseconds. Other values are for tests. */
export interface Patience {
  /** How often both sides are asked while nothing is heard of them. */
  readonly intervalMs: number;
  /** How long one look waits for a monitor that may hang. */
  readonly lookMs: number;
  /** How long the target may take to settle after the source said that all is done. */
  readonly settleMs: number;
  /** How long nobody may answer before we say that we cannot find out. */
  readonly silenceMs: number;
  /** Between two attempts to join both sides of an interrupted postcopy again. */
  readonly recoveryMs: number;
}

export const patience: Patience = {
  intervalMs: 200,
  lookMs: 2000,
  settleMs: 15_000,
  silenceMs: 60_000,
  recoveryMs: 1000,
};
