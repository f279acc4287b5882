import { Emitter } from '../../src/qmp/emitter';
import type { QemuBinary, UpdateDesk } from '../../src/migration/liveUpdate/desk';
import type { LiveUpdate, LiveUpdateRecord } from '../../src/migration/liveUpdate/updates';
import type {
  LiveUpdatePlan,
  LiveUpdateRequest,
  UpdateOutcome,
  UpdateProgress,
} from '../../src/migration/liveUpdate/types';

/** An update that does what a test says. */
export class FakeUpdate implements LiveUpdate {
  record: LiveUpdateRecord;
  cancelled = 0;
  private readonly changes = new Emitter<LiveUpdateRecord>();
  private settle: (outcome: UpdateOutcome) => void = () => undefined;
  readonly onDidChange = this.changes.event;
  readonly outcome = new Promise<UpdateOutcome>((resolve) => (this.settle = resolve));

  constructor(id: number, plan: LiveUpdatePlan) {
    this.record = {
      id,
      machine: plan.request.machine,
      label: plan.label,
      plan,
      startedAt: 0,
      progress: { phase: 'start', step: 'starting QEMU', run: undefined },
      outcome: undefined,
      journalId: `update-${id}`,
    };
  }

  cancel(): void {
    this.cancelled += 1;
  }

  tell(progress: UpdateProgress): void {
    this.record = { ...this.record, progress };
    this.changes.fire(this.record);
  }

  end(outcome: UpdateOutcome): void {
    const progress: UpdateProgress = { phase: 'ended', step: '', run: undefined };
    this.record = { ...this.record, progress, outcome };
    this.changes.fire(this.record);
    this.settle(outcome);
  }
}

/** A desk whose plans and ends a test decides. */
export class FakeDesk implements UpdateDesk {
  readonly requests: LiveUpdateRequest[] = [];
  readonly started: FakeUpdate[] = [];
  /** What is there to choose. */
  offered: readonly QemuBinary[] = [];
  /** Makes the plan of a request. */
  planner: (request: LiveUpdateRequest) => LiveUpdatePlan;
  /** Hears of each update that begins. */
  onStart: (update: FakeUpdate) => void = () => undefined;
  private readonly changes = new Emitter<LiveUpdateRecord>();
  private readonly byMachine = new Map<string, FakeUpdate>();
  readonly onDidChange = this.changes.event;

  constructor(planner: (request: LiveUpdateRequest) => LiveUpdatePlan) {
    this.planner = planner;
  }

  binaries(): Promise<readonly QemuBinary[]> {
    return Promise.resolve(this.offered);
  }

  plan(request: LiveUpdateRequest): Promise<LiveUpdatePlan> {
    this.requests.push(request);
    return Promise.resolve().then(() => this.planner(request));
  }

  document(plan: LiveUpdatePlan): string {
    return `# Live update of ${plan.label}\n\n${plan.why}\n`;
  }

  script(plan: LiveUpdatePlan): string {
    return `#!/bin/sh\n# ${plan.label}\n`;
  }

  start(plan: LiveUpdatePlan): FakeUpdate {
    const update = new FakeUpdate(this.started.length + 1, plan);
    this.started.push(update);
    this.byMachine.set(plan.request.machine, update);
    update.onDidChange((record) => this.changes.fire(record));
    this.changes.fire(update.record);
    this.onStart(update);
    return update;
  }

  recover(): Promise<never> {
    return Promise.reject(new Error('Nothing is taken up here'));
  }

  active(id: string): FakeUpdate | undefined {
    const update = this.byMachine.get(id);
    return update?.record.outcome === undefined ? update : undefined;
  }

  last(id: string): LiveUpdateRecord | undefined {
    return this.byMachine.get(id)?.record;
  }

  dispose(): void {
    this.changes.dispose();
  }
}
