/** What forbids a run, by a name that stays. */
export type ObstacleId =
  | 'same-machine'
  | 'not-connected'
  | 'same-process'
  | 'source-waits'
  | 'source-gave-away'
  | 'source-migrating'
  | 'blocked-reason'
  | 'target-not-waiting'
  | 'target-used'
  | 'guest-runs-on'
  | 'mapped-ram'
  | 'multifd-over-fd'
  | 'unix-path-users'
  | 'unix-path-root'
  | 'machine-type'
  | 'memory-size'
  | 'uuid'
  | 'capability-differs'
  | 'parameter-differs'
  | 'backend-transfer-listed'
  | 'backend-transfer-empty'
  | 'backend-transfer-unable'
  | 'backend-transfer-one-side'
  | 'netdev-not-permitted'
  | 'netdev-too-early'
  | 'permission-one-side'
  | 'vcpu-count'
  | 'device-missing'
  | 'device-differs'
  | 'ram-block'
  | 'block-job'
  | 'tls-creds';

/** Something that forbids a run, and what to do about it; one sentence each. */
export interface Obstacle {
  readonly id: ObstacleId;
  /** Where it is to be put right. */
  readonly side: 'source' | 'target' | 'both';
  /** The setting or the device, where there may be several. */
  readonly subject?: string;
  readonly reason: string;
  readonly nextStep: string;
}
