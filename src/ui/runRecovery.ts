import { Disposable, l10n, workspace, type LogOutputChannel } from 'vscode';
import type { UpdateDesk } from '../migration/liveUpdate/desk';
import type { Journals } from '../migration/run/journal/journals';
import type { Runs } from '../migration/run/runs';
import { explain, explanationText } from '../migration/view/words';
import { isMigrating } from '../vm/machine';
import type { MachineRegistry } from '../vm/registry';
import type { MachineId } from '../vm/types';
import type { Contribution } from './contribution';
import { abandoned, openWork, othersOf } from './leftOpen';
import type { UpdateReporter } from './liveUpdate/updateReporter';
import type { MigrationReporter } from './migrationReporter';
import type { OtherDrivers } from './otherDrivers';
import type { Prompts } from './prompts';

/** How often we look whether another program that drives a run is still there, as long as one does. */
const intervalMs = 15_000;

/** How soon, at most, a migration of somebody else is looked up in the journals. */
const soonMs = 2000;

export interface RunRecoveryParts {
  readonly journals: Journals;
  readonly runs: Runs;
  readonly desk: Pick<UpdateDesk, 'recover' | 'onDidChange'>;
  readonly registry: MachineRegistry;
  readonly reporter: MigrationReporter;
  readonly updateReporter: Pick<UpdateReporter, 'follow'>;
  readonly prompts: Prompts;
  readonly log: LogOutputChannel;
  readonly drivers: OtherDrivers;
}

/**
 * Takes up the live updates and runs whose window or program was closed in the middle, and shows them
 * like any other. Finds out who drives those of other windows and programs.
 */
export class RunRecovery implements Contribution {
  private readonly parts: RunRecoveryParts;
  /** Those whose end could not be found out are tried again only when somebody asks. */
  private readonly tried = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  private disposed = false;

  constructor(parts: RunRecoveryParts) {
    this.parts = parts;
  }

  register(): Disposable {
    const { runs, desk, registry } = this.parts;
    void this.look();
    return Disposable.from(
      workspace.onDidGrantWorkspaceTrust(() => void this.look()),
      runs.onDidChange(({ journalId, outcome }) => {
        if (journalId !== undefined && outcome?.kind === 'unknown') this.tried.add(journalId);
      }),
      desk.onDidChange(({ journalId, outcome }) => {
        // Also one that left something to be done, and stays open for it.
        if (journalId !== undefined && outcome !== undefined) this.tried.add(journalId);
      }),
      registry.onDidChange((change) => {
        if (change.kind === 'machine' && this.isUnexplained(change.change.id)) this.lookSoon();
      }),
      new Disposable(() => {
        this.disposed = true;
        clearTimeout(this.timer);
        clearTimeout(this.soon);
      }),
    );
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { journals, registry, drivers, log } = this.parts;
    try {
      // In this order: the update of any run that is listed has been there before it.
      const { runs, damaged } = await journals.list();
      const { updates, damaged: damagedUpdates } = await journals.listUpdates();
      for (const { path, reason } of damaged) this.tellDamaged(path, reason);
      for (const { path, reason } of damagedUpdates) this.tellDamaged(path, reason);
      const open = openWork(runs, updates);
      const snapshots = registry.machines.map(({ snapshot }) => snapshot);
      drivers.set(othersOf(open, snapshots, process.pid));
      // To take something up is to act on machines; an untrusted workspace may only look.
      if (!workspace.isTrusted) return;
      const left = abandoned(open);
      for (const id of left.updates) {
        if (!this.tried.has(id)) await this.takeUp(id, () => this.followUpdate(id));
      }
      for (const id of left.runs) {
        if (!this.tried.has(id)) await this.takeUp(id, () => this.followRun(id));
      }
      const all = [...open.runs, ...open.updates];
      const others = all.some(({ drivenBy }) => drivenBy?.pid !== process.pid && drivenBy);
      if (others) this.lookLater();
    } catch (error) {
      log.warn('The journals of runs could not be read:', error);
    }
  }

  /** Takes up a run or an update once more whose end could not be found out. */
  again(id: string): void {
    this.tried.delete(id);
    void this.look();
  }

  /** @param follow resolves once it is ours */
  private async takeUp(id: string, follow: () => Promise<void>): Promise<void> {
    if (this.disposed) return;
    this.tried.add(id);
    try {
      await follow();
    } catch (error) {
      // Another window was faster, as a rule.
      this.parts.log.info(`${id} was not taken up: ${explanationText(explain(error))}`);
      this.tried.delete(id);
      this.lookLater();
    }
  }

  private async followUpdate(id: string): Promise<void> {
    const { desk, registry, updateReporter } = this.parts;
    const update = await desk.recover(id, (socket) => registry.attach(socket));
    void updateReporter.follow(update, () => this.again(id));
  }

  private async followRun(id: string): Promise<void> {
    const { runs, registry, reporter } = this.parts;
    const run = await runs.recover(id, (socket) => registry.attach(socket));
    void reporter.follow(run, () => this.again(id));
  }

  /** It migrates, and neither a run of ours nor one that is known of another program tells why. */
  private isUnexplained(id: MachineId): boolean {
    const { registry, runs, drivers } = this.parts;
    const facts = registry.get(id)?.snapshot.facts;
    if (facts === undefined || !isMigrating(facts.migration)) return false;
    return runs.active(id) === undefined && drivers.of(id) === undefined;
  }

  /** Once for many changes: a migration by hand stays unexplained, and tells of itself all the time. */
  private lookSoon(): void {
    if (this.disposed || this.soon !== undefined) return;
    void this.look();
    this.soon = setTimeout(() => (this.soon = undefined), soonMs);
    this.soon.unref();
  }

  private lookLater(): void {
    if (this.disposed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), intervalMs);
    this.timer.unref();
  }

  private tellDamaged(path: string, reason: string): void {
    const text = l10n.t(
      'The journal of a migration cannot be read ({0}). It is kept as {1}. Look at the machines that were migrated last.',
      reason,
      path,
    );
    const { log, prompts } = this.parts;
    log.warn(text);
    void prompts.message('warning', text);
  }
}
