import { plan, type Case } from './cases';

/**
 * What CI tries of the matrix: each way to migrate and each breaking at least once, spread over the
 * versions, in a few minutes. By title, so that a case that goes away is noticed.
 */
const titles: readonly string[] = [
  'precopy-fd 7.2 prepare kill-source',
  'precopy-fd 10.0 prepare kill-target',
  'precopy-fd 11.1 prepare kill-helper',
  'precopy-fd 7.2 prepare pause-helper',
  'precopy-fd 10.0 prepare kill-driver',
  'precopy-fd 7.2 prepare other-device',
  'precopy-fd 11.1 prepare other-ram',
  'precopy-fd 11.1 transfer kill-source',
  'precopy-fd 7.2 transfer kill-target',
  'precopy-fd 10.0 transfer pause-source',
  'precopy-fd 11.1 transfer pause-driver',
  'precopy-fd 10.0 transfer freeze-target',
  'precopy-fd 7.2 switch-over kill-driver',
  'precopy-fd 11.1 settle kill-target',
  'precopy-unix 10.0 prepare disk-full',
  'precopy-unix 7.2 transfer cut-channel',
  'precopy-unix 11.1 transfer cancel',
  'precopy-unix 10.0 transfer stall-channel',
  'precopy-unix 11.1 transfer freeze-source',
  'precopy-unix 7.2 switch-over pause-target',
  'precopy-unix 11.1 switch-over kill-target',
  'precopy-unix 10.0 settle kill-source',
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
