import { Emitter } from '../../qmp/emitter';
import type { MachineId } from '../../vm/types';
import type { Attach } from '../run/runs';
import type { QemuBinary, UpdateDesk } from './desk';
import type { LiveUpdatePlan, LiveUpdateRequest } from './types';
import type { LiveUpdate, LiveUpdateRecord } from './updates';

/** A desk that can be exchanged while everybody holds it. */
export class DeskSlot implements UpdateDesk {
  private readonly changes = new Emitter<LiveUpdateRecord>();
  private desk: UpdateDesk;
  private listening: { dispose(): void };
  readonly onDidChange = this.changes.event;

  constructor(desk: UpdateDesk) {
    this.desk = desk;
    this.listening = desk.onDidChange((record) => this.changes.fire(record));
  }

  get current(): UpdateDesk {
    return this.desk;
  }

  set current(desk: UpdateDesk) {
    this.listening.dispose();
    this.desk = desk;
    this.listening = desk.onDidChange((record) => this.changes.fire(record));
  }

  binaries(machine: MachineId): Promise<readonly QemuBinary[]> {
    return this.desk.binaries(machine);
  }

  plan(request: LiveUpdateRequest): Promise<LiveUpdatePlan> {
    return this.desk.plan(request);
  }

  document(plan: LiveUpdatePlan): string {
    return this.desk.document(plan);
  }

  script(plan: LiveUpdatePlan): string {
    return this.desk.script(plan);
  }

  start(plan: LiveUpdatePlan): LiveUpdate {
    return this.desk.start(plan);
  }

  recover(journalId: string, attach: Attach): Promise<LiveUpdate> {
    return this.desk.recover(journalId, attach);
  }

  active(id: MachineId): LiveUpdate | undefined {
    return this.desk.active(id);
  }

  last(id: MachineId): LiveUpdateRecord | undefined {
    return this.desk.last(id);
  }

  dispose(): void {
    this.listening.dispose();
    this.desk.dispose();
    this.changes.dispose();
  }
}
