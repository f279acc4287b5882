import type { MachineHandle } from '../../vm/types';

/** How often a target that is not there yet is tried. */
const intervalMs = 300;

/**
 * A target that comes up only when the source has begun (cpr-transfer: its monitor answers once the
 * source sent the state of its descriptors) and that is told to listen then.
 */
export class Arrival {
  private readonly target: MachineHandle;
  /** Prepares the target and sends `migrate-incoming`. */
  private readonly tell: () => Promise<void>;
  private told: boolean;
  private nextTryMs = 0;

  constructor(target: MachineHandle, tell: () => Promise<void>, told = false) {
    this.target = target;
    this.tell = tell;
    this.told = told;
  }

  /** `migrate-incoming` may have been sent: from now on the target may get the guest. */
  wasTold(): boolean {
    return this.told;
  }

  /**
   * Called again and again until it was told.
   *
   * @param before is done when the target answers, before it can get anything
   * @throws what `tell` throws
   */
  async step(before: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    if (this.told) return;
    if (!isReady(this.target)) {
      if (Date.now() < this.nextTryMs) return;
      this.nextTryMs = Date.now() + intervalMs;
      // Its monitor is not there yet, most likely.
      await this.target.connect().catch(() => undefined);
      if (!isReady(this.target)) return;
    }
    await before();
    await this.tell();
  }

  /** To be called right before `migrate-incoming`, once that is announced. */
  markTold(): void {
    this.told = true;
  }
}

function isReady({ snapshot }: MachineHandle): boolean {
  return snapshot.state.kind === 'ready';
}
