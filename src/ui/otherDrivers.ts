import type { OtherDriver } from '../migration/view/context';
import { type Disposable, Emitter, type Event } from '../qmp/emitter';
import type { MachineId } from '../vm/types';

/** Which machines are in the hands of other windows and programs, as the journals told last. */
export class OtherDrivers implements Disposable {
  private known: ReadonlyMap<MachineId, OtherDriver> = new Map();
  private readonly changes = new Emitter<readonly MachineId[]>();

  /** Tells the machines of which something else is known now. */
  readonly onDidChange: Event<readonly MachineId[]> = this.changes.event;

  of(id: MachineId): OtherDriver | undefined {
    return this.known.get(id);
  }

  set(drivers: ReadonlyMap<MachineId, OtherDriver>): void {
    const before = this.known;
    this.known = drivers;
    const ids = new Set([...before.keys(), ...drivers.keys()]);
    const changed = [...ids].filter((id) => before.get(id)?.run !== drivers.get(id)?.run);
    if (changed.length > 0) this.changes.fire(changed);
  }

  dispose(): void {
    this.changes.dispose();
  }
}
