import type { ControlRequest } from '../../../src/migration/run/controls';
import type { Run } from '../../../src/migration/run/runs';
import { noProgress } from '../../../src/migration/run/progressText';
import type {
  MigrationRequest,
  RunOutcome,
  RunProgress,
  RunRecord,
} from '../../../src/migration/run/types';
import { Emitter } from '../../../src/qmp/emitter';

/** A run that does what a test says. */
export class FakeRun implements Run {
  record: RunRecord;
  cancelled = 0;
  readonly used: ControlRequest[] = [];
  /** What the next control throws. */
  refusal: Error | undefined;
  readonly changes = new Emitter<RunRecord>();
  readonly onDidChange = this.changes.event;
  end: (outcome: RunOutcome) => void = () => undefined;
  readonly outcome = new Promise<RunOutcome>((resolve) => {
    this.end = resolve;
  });

  constructor(progress: Partial<RunProgress> = {}, request: Partial<MigrationRequest> = {}) {
    this.record = {
      id: 1,
      request: {
        ...{ source: '/a', target: '/b', transport: 'fd', backendTransfer: 'as-is' },
        ...request,
      },
      sourceLabel: 'web-1',
      targetLabel: 'web-1 (target)',
      startedAt: 0,
      progress: { ...noProgress, phase: 'transfer', status: 'active', ...progress },
      outcome: undefined,
    };
  }

  control(request: ControlRequest): Promise<void> {
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    this.used.push(request);
    return Promise.resolve();
  }

  cancel(): void {
    this.cancelled += 1;
  }
}
