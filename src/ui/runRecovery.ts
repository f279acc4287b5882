import { Disposable, l10n, workspace, type LogOutputChannel } from 'vscode';
import type { Journals, ListedRun } from '../migration/run/journal/journals';
import type { Runs } from '../migration/run/runs';
import type { OtherDriver } from '../migration/view/context';
import { explain, explanationText } from '../migration/view/words';
import { isMigrating } from '../vm/machine';
import type { MachineRegistry } from '../vm/registry';
import type { MachineId, MachineSnapshot } from '../vm/types';
import type { Contribution } from './contribution';
import type { MigrationReporter } from './migrationReporter';
import type { OtherDrivers } from './otherDrivers';
import type { Prompts } from './prompts';

/** How often we look whether another program that drives a run is still there, as long as one does. */
const intervalMs = 15_000;

/** How soon, at most, a migration of somebody else is looked up in the journals. */
const soonMs = 2000;

/**
 * Takes up the runs whose window or program was closed in the middle, and shows them like any run.
 * Finds out who drives those of other windows and programs.
 */
export class RunRecovery implements Contribution {
  private readonly journals: Journals;
  private readonly runs: Runs;
  private readonly registry: MachineRegistry;
  private readonly reporter: MigrationReporter;
  private readonly prompts: Prompts;
  private readonly log: LogOutputChannel;
  private readonly drivers: OtherDrivers;
  /** Those whose end could not be found out are tried again only when somebody asks. */
  private readonly tried = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  private disposed = false;

  constructor(
    journals: Journals,
    runs: Runs,
    registry: MachineRegistry,
    reporter: MigrationReporter,
    prompts: Prompts,
    log: LogOutputChannel,
    drivers: OtherDrivers,
  ) {
    this.journals = journals;
    this.runs = runs;
    this.registry = registry;
    this.reporter = reporter;
    this.prompts = prompts;
    this.log = log;
    this.drivers = drivers;
  }

  register(): Disposable {
    void this.look();
    return Disposable.from(
      workspace.onDidGrantWorkspaceTrust(() => void this.look()),
      this.runs.onDidChange(({ journalId, outcome }) => {
        if (journalId !== undefined && outcome?.kind === 'unknown') this.tried.add(journalId);
      }),
      this.registry.onDidChange((change) => {
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
    try {
      const { runs, damaged } = await this.journals.list();
      for (const { path, reason } of damaged) this.tellDamaged(path, reason);
      const open = runs.filter(({ state }) => !state.ended);
      const snapshots = this.registry.machines.map(({ snapshot }) => snapshot);
      this.drivers.set(othersOf(open, snapshots));
      // To take a run up is to act on machines; an untrusted workspace may only look.
      if (!workspace.isTrusted) return;
      for (const { id, drivenBy } of open.reverse()) {
        if (drivenBy === undefined && !this.tried.has(id)) await this.takeUp(id);
      }
      const others = open.some(({ drivenBy }) => drivenBy?.pid !== process.pid && drivenBy);
      if (others) this.lookLater();
    } catch (error) {
      this.log.warn('The journals of runs could not be read:', error);
    }
  }

  /** Takes up a run once more whose end could not be found out. */
  again(id: string): void {
    this.tried.delete(id);
    void this.look();
  }

  private async takeUp(id: string): Promise<void> {
    if (this.disposed) return;
    this.tried.add(id);
    try {
      const run = await this.runs.recover(id, (socket) => this.registry.attach(socket));
      void this.reporter.follow(run, () => this.again(id));
    } catch (error) {
      // Another window was faster, as a rule.
      this.log.info(`Run ${id} was not taken up: ${explanationText(explain(error))}`);
      this.tried.delete(id);
      this.lookLater();
    }
  }

  /** It migrates, and neither a run of ours nor one that is known of another program tells why. */
  private isUnexplained(id: MachineId): boolean {
    const facts = this.registry.get(id)?.snapshot.facts;
    if (facts === undefined || !isMigrating(facts.migration)) return false;
    return this.runs.active(id) === undefined && this.drivers.of(id) === undefined;
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
    this.log.warn(text);
    void this.prompts.message('warning', text);
  }
}

/** By the sockets of both machines, and by their processes: a QEMU may have several monitors. */
function othersOf(
  open: readonly ListedRun[],
  snapshots: readonly MachineSnapshot[],
): ReadonlyMap<MachineId, OtherDriver> {
  return new Map(
    open.flatMap(({ id, state, drivenBy }) => {
      if (drivenBy === undefined || drivenBy.pid === process.pid) return [];
      const driver = { program: drivenBy.program, pid: drivenBy.pid, run: id };
      const sides = [state.begin.source, state.begin.target];
      const same = snapshots.filter(({ process: qemu }) =>
        sides.some(
          (side) =>
            qemu !== undefined &&
            side.process?.pid === qemu.pid &&
            side.process.startTicks === qemu.startTicks,
        ),
      );
      const ids = [...sides.map(({ socket }) => socket), ...same.map((snapshot) => snapshot.id)];
      return ids.map((machine) => [machine, driver] as const);
    }),
  );
}
