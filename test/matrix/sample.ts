import { plan, type Case } from './cases';

/**
 * What CI tries of the matrix: each way to migrate and each breaking at least once, spread over the
 * versions, in a few minutes. By title, so that a case that goes away is noticed.
 */
const titles: readonly string[] = [
  'precopy-fd 7.2 prepare kill-source',
  'precopy-fd 11.1 prepare kill-helper',
  'precopy-fd 7.2 prepare pause-helper',
  'precopy-fd 10.0 prepare kill-driver',
  'precopy-fd 7.2 prepare other-device',
  'precopy-fd 11.1 prepare other-ram',
  'precopy-fd 7.2 transfer kill-target',
  'precopy-fd 10.0 transfer freeze-target',
  'precopy-fd 7.2 switch-over kill-driver',
  'precopy-fd 11.1 settle kill-target',
  'precopy-unix 7.2 transfer cut-channel',
  'precopy-unix 10.0 held cut-channel',
  'precopy-unix 7.2 switch-over pause-target',
  'precopy-unix 10.0 settle kill-source',
  'precopy-tcp 10.0 transfer stall-channel',
  'precopy-tcp 7.2 held cancel',
  'precopy-tcp 11.1 switch-over cut-channel',
  'multifd 7.2 transfer pause-driver',
  'xbzrle 10.0 switch-over kill-source',
  'xbzrle 11.1 held kill-driver',
  'postcopy-fd 11.1 postcopy kill-driver',
  'postcopy-fd 7.2 postcopy kill-target',
  'postcopy-unix 10.0 postcopy cut-channel',
  'shared-ram 7.2 held kill-target',
  'shared-ram 11.1 switch-over cancel',
  'cpr-transfer 11.1 transfer pause-target',
  'cpr-transfer 10.0 held kill-target',
  'save 11.1 transfer cancel',
  'save-mapped 10.0 transfer pause-source',
  'cpr-reboot 11.1 settle kill-driver',
  'cpr-reboot 10.0 transfer freeze-source',
  'cpr-exec 11.1 prepare pause-source',
  'cpr-exec 11.1 settle kill-driver',
  'restore 10.0 prepare kill-target',
  'restore 11.1 prepare disk-full',
  'restore 10.0 prepare kill-driver',
  'precopy-unix 11.1 settle kill-target',
  'cpr-transfer 10.0 settle kill-driver',
];

/** @throws when the matrix has no case of one of these titles */
export function sample(): readonly Case[] {
  const { cases } = plan();
  return titles.map((title) => {
    const found = cases.find((one) => one.title === title);
    if (found === undefined) throw new Error(`The matrix has no case "${title}".`);
    return found;
  });
}
