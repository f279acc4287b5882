import type { MethodName, MigrationRequest } from '../run/types';

export const methodNames: readonly MethodName[] = [
  'precopy',
  'postcopy',
  'shared-ram',
  'cpr-transfer',
  'cpr-exec',
  'cpr-reboot',
  'save',
  'restore',
];

export function methodOf({ method }: Pick<MigrationRequest, 'method'>): MethodName {
  return method ?? 'precopy';
}

/** Both sides of the request are the same machine. */
export function isOneSided(method: MethodName): boolean {
  switch (method) {
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
    case 'cpr-transfer':
      return false;
    case 'cpr-exec':
    case 'cpr-reboot':
    case 'save':
    case 'restore':
      return true;
  }
}

/** For a person; `way` is how it travels. */
export const methodTitles: Readonly<Record<MethodName, string>> = {
  precopy: 'Pre-copy',
  postcopy: 'Postcopy',
  'shared-ram': 'Shared memory',
  'cpr-transfer': 'Live update into another process (cpr-transfer)',
  'cpr-exec': 'Live update in place (cpr-exec)',
  'cpr-reboot': 'Save for a restart of the host (cpr-reboot)',
  save: 'Save to a file',
  restore: 'Restore from a file',
};
