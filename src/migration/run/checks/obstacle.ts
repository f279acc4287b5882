/** What forbids a run, by a name that stays. */
export type ObstacleId =
  | 'same-machine'
  | 'not-connected'
  | 'same-process'
  | 'exec-process'
  | 'exec-program'
  | 'exec-option'
  | 'exec-descriptor'
  | 'exec-file'
  | 'exec-hot-plugged'
  | 'exec-memory'
  /** Nobody has tried it: a person may insist. */
  | 'exec-unproven'
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
  | 'tls-creds'
  // What a method or an option asks for.
  | 'method-not-offered'
  | 'option-not-offered'
  | 'option-not-for-method'
  | 'option-missing'
  | 'option-refused'
  | 'options-conflict'
  | 'dirty-limit-ring'
  | 'backend-transfer-method'
  | 'zero-copy-unix'
  | 'multifd-over-file'
  // TCP and TLS.
  | 'tcp-address'
  | 'tcp-consent'
  | 'tcp-port-taken'
  | 'tls-one-side'
  | 'userfaultfd'
  // Memory that stays where it is.
  | 'memory-not-shared'
  | 'memory-file-differs'
  | 'memory-unproven'
  | 'memory-not-in-file'
  | 'aux-ram-share'
  // Live update.
  | 'cpr-target-answers'
  | 'cpr-socket'
  | 'cpr-socket-holder'
  | 'cpr-main-fd'
  | 'exec-command'
  | 'exec-command-differs'
  | 'exec-tap'
  | 'exec-unknown'
  // Files.
  | 'file-path'
  | 'file-exists'
  | 'file-missing'
  | 'file-not-writable'
  | 'file-not-readable'
  | 'file-not-a-migration'
  | 'file-space'
  | 'file-root'
  | 'file-without-memory'
  | 'helper-missing'
  // A saved guest.
  | 'saved-unfinished'
  | 'saved-stale'
  | 'saved-guest-there'
  | 'saved-format'
  | 'restored-before'
  | 'force-reason';

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
