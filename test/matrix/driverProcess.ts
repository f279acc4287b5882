import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlRequest } from '../../src/migration/run/controls';
import type { RunOutcome, RunPhase, RunProgress } from '../../src/migration/run/types';
import { spawnOwned, type OwnedProcess } from '../../scripts/lib/processes';
import { cliBundle } from '../support/cliProcess';
import type { DriverOrder, DriverSays, DriverTold } from './driverTypes';

/** A run in another process, as seen from the outside. */
export class DriverProcess {
  private readonly owned: OwnedProcess;
  private latest: RunProgress | undefined;
  private held = false;
  private ended: RunOutcome | undefined;
  private run: string | undefined;
  /** Everything that it said but its progress, for a report. */
  readonly told: string[] = [];
  /** The phases that it went through. */
  readonly phases: RunPhase[] = [];
  readonly notes = new Set<string>();

  private constructor(owned: OwnedProcess) {
    this.owned = owned;
    const { stdout, stderr } = owned.child;
    if (stdout !== null) {
      createInterface({ input: stdout }).on('line', (line) =>
        this.hear(JSON.parse(line) as DriverSays),
      );
    }
    stderr?.setEncoding('utf8').on('data', (text: string) => this.told.push(text.trimEnd()));
  }

  static async start(
    order: DriverOrder,
    env: Readonly<Record<string, string>>,
  ): Promise<DriverProcess> {
    const bundle = await cliBundle('test/matrix/driver.ts');
    const owned = await spawnOwned(process.execPath, [bundle, JSON.stringify(order)], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    owned.child.stdin?.on('error', () => undefined);
    return new DriverProcess(owned);
  }

  get phase(): RunPhase | undefined {
    return this.latest?.phase;
  }

  get progress(): RunProgress | undefined {
    return this.latest;
  }

  get holds(): boolean {
    return this.held;
  }

  get outcome(): RunOutcome | undefined {
    return this.ended;
  }

  get hasEnded(): boolean {
    return this.owned.hasExited();
  }

  /** The journal's name; known once the run has ended. */
  get journalId(): string | undefined {
    return this.run;
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.owned.hasExited()) this.owned.child.kill(signal);
  }

  /** Goes on from where it holds. */
  go(): void {
    this.held = false;
    this.tell({ do: 'go' });
  }

  disk(full: boolean): void {
    this.tell({ do: 'disk', full });
  }

  control(request: ControlRequest): void {
    this.tell({ do: 'control', request });
  }

  /** The outcome, or `undefined` when it told none in that time or ended without one. */
  async untilOutcome(timeoutMs: number): Promise<RunOutcome | undefined> {
    await until(() => this.ended !== undefined || this.hasEnded, timeoutMs);
    return this.ended;
  }

  async stop(): Promise<void> {
    await this.owned.stop();
  }

  private tell(message: DriverTold): void {
    this.owned.child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  private hear(message: DriverSays): void {
    switch (message.say) {
      case 'holds':
        this.held = true;
        return;
      case 'progress': {
        const { phase, note } = message.progress;
        this.latest = message.progress;
        if (this.phases.at(-1) !== phase) this.phases.push(phase);
        if (note !== undefined) this.notes.add(note);
        return;
      }
      case 'log':
        this.told.push(message.line);
        return;
      case 'answer':
        this.told.push(`${message.control}: ${message.refused ?? 'done'}`);
        return;
      case 'outcome':
        this.ended = message.outcome;
        this.run = message.journalId;
        return;
    }
  }
}

/** Whether it became true in that time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await sleep(10);
  }
  return true;
}
