import { qemuVersions, type QemuOptions, type QemuVersionName } from '../../scripts/lib/qemu';
import type { MethodName, Transport } from '../../src/migration/run/types';
import type { Phase } from './names';
import type { RequestOrder } from './driverTypes';

export type ArmName = 'precopy-fd' | 'precopy-unix';

/** A way to migrate, as the matrix tries it. */
export interface Arm {
  readonly name: ArmName;
  readonly method: MethodName;
  readonly transport: Transport;
  readonly versions: readonly QemuVersionName[];
  /** Those that it can be held in. */
  readonly phases: readonly Phase[];
  /** Why it has none of the others. */
  readonly never: Readonly<Partial<Record<Phase, string>>>;
  readonly request: Partial<RequestOrder>;
  /** How both QEMUs are started. */
  readonly qemu?: (place: { readonly directory: string }) => Partial<QemuOptions>;
}

const notHeld = 'the switchover is held only by a run that asks for it: tried as "hold"';
const noPostcopy = 'the guest leaves in one go';

export const arms: readonly Arm[] = [
  {
    name: 'precopy-fd',
    method: 'precopy',
    transport: 'fd',
    versions: qemuVersions,
    phases: ['prepare', 'transfer', 'switch-over', 'settle'],
    never: { held: notHeld, postcopy: noPostcopy },
    request: {},
  },
  {
    name: 'precopy-unix',
    method: 'precopy',
    transport: 'unix',
    versions: qemuVersions,
    phases: ['prepare', 'transfer', 'switch-over', 'settle'],
    never: { held: notHeld, postcopy: noPostcopy },
    request: {},
  },
];
