import type { MachineId, MachineSnapshot } from '../../vm/types';
import type { LiveUpdateRecord } from '../liveUpdate/updates';
import type { PairRole } from '../pair/pairs';
import type { ControlOffer } from '../run/controls';
import type { RunRecord } from '../run/types';

/** The machine on the other side of a pair. */
export interface PairView {
  /** What the machine whose rows are built is in the pair. */
  readonly role: PairRole;
  readonly otherId: MachineId;
  /** `undefined` while it is not in the list of machines. */
  readonly other: MachineSnapshot | undefined;
}

/** What the rows of a machine tell beyond the machine itself. */
export interface MachineContext {
  /** The run that it takes part in, or took part in last. */
  readonly run?: RunRecord | undefined;
  readonly pair?: PairView | undefined;
  /** What can be done with that run while it goes on. */
  readonly offers?: readonly ControlOffer[] | undefined;
  /** The live update that it is in, or was in last. */
  readonly update?: LiveUpdateRecord | undefined;
  /** Another program of this user that drives a migration of the machine. */
  readonly driver?: OtherDriver | undefined;
}

/** Who else drives a migration. */
export interface OtherDriver {
  /** Such as `the command line`. */
  readonly program: string;
  readonly pid: number;
  /** Name of the run in the journals. */
  readonly run: string;
}
