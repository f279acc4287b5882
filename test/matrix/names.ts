/** Where a run is broken; the states of a run that can be stood in. */
export type Phase = 'prepare' | 'transfer' | 'held' | 'switch-over' | 'postcopy' | 'settle';

export const phases: readonly Phase[] = [
  'prepare',
  'transfer',
  'held',
  'switch-over',
  'postcopy',
  'settle',
];

/**
 * What is done to it. `kill`: SIGKILL. `pause`: SIGSTOP, and SIGCONT after a while. `freeze`: SIGSTOP,
 * and nothing more before a person has cancelled and, where that did not help, killed what hangs.
 */
export const breakings = [
  'kill-source',
  'kill-target',
  'kill-helper',
  'kill-driver',
  'pause-source',
  'pause-target',
  'pause-helper',
  'pause-driver',
  'freeze-source',
  'freeze-target',
  'cut-channel',
  'stall-channel',
  'disk-full',
  'cancel',
  'other-device',
  'other-ram',
] as const;

export type Breaking = (typeof breakings)[number];
