import { watchStderr, type StderrTail } from '../../vm/stderr';
import type { QemuProcess } from '../../vm/types';
import { methodOf } from '../methods/names';
import type { OutcomeEvidence } from './outcome';
import type { MigrationRequest, RunPhase } from './types';

/** What is gathered beside QEMU's answers, to tell later why a run went wrong. */
export class Evidence {
  private readonly request: MigrationRequest;
  private readonly tails: readonly (StderrTail | undefined)[];
  private phase: RunPhase | undefined;

  private constructor(request: MigrationRequest, tails: readonly (StderrTail | undefined)[]) {
    this.request = request;
    this.tails = tails;
  }

  /** Begins to watch what both QEMUs write on their standard error, where that is a file. */
  static async begin(
    request: MigrationRequest,
    source: QemuProcess | undefined,
    target: QemuProcess | undefined,
  ): Promise<Evidence> {
    const watch = (process: QemuProcess | undefined): Promise<StderrTail | undefined> =>
      process === undefined ? Promise.resolve(undefined) : watchStderr(process);
    return new Evidence(request, await Promise.all([watch(source), watch(target)]));
  }

  /** To be told each state of the run: where it went wrong is the last one before it settles. */
  enter(state: RunPhase): void {
    if (state !== 'settle' && state !== 'needs-you' && state !== 'ended') this.phase = state;
  }

  /** Never rejects. */
  async read(): Promise<OutcomeEvidence> {
    const [source, target] = await Promise.all(
      this.tails.map((tail) => tail?.lines() ?? Promise.resolve(undefined)),
    );
    return {
      method: methodOf(this.request),
      ...(this.phase !== undefined && { phase: this.phase }),
      ...(source !== undefined && { sourceStderr: source }),
      ...(target !== undefined && { targetStderr: target }),
    };
  }
}
