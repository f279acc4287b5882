import { l10n } from 'vscode';
import type { Run, Runs } from '../migration/run/runs';
import type { RunRecord } from '../migration/run/types';
import type { Remedy } from '../migration/run/pace/convergence';
import type { Disposable } from '../qmp/emitter';
import type { CommandRunner } from './command';
import type { Contribution } from './contribution';
import type { Prompts } from './prompts';

/** The words of more would not fit below a message; the rows have all. */
const mostButtons = 2;

/** Carries a remedy out. */
export interface Remedies {
  apply(run: Run, remedy: Remedy): Promise<void>;
}

/** Tells once a run that a migration will not end by itself, with what can be done. */
export class ConvergenceNotices implements Contribution {
  private readonly runs: Pick<Runs, 'active' | 'onDidChange'>;
  private readonly commands: Pick<CommandRunner, 'run'>;
  private readonly prompts: Prompts;
  private readonly remedies: Remedies;
  private readonly told = new Set<number>();

  constructor(
    runs: Pick<Runs, 'active' | 'onDidChange'>,
    commands: Pick<CommandRunner, 'run'>,
    prompts: Prompts,
    remedies: Remedies,
  ) {
    this.runs = runs;
    this.commands = commands;
    this.prompts = prompts;
    this.remedies = remedies;
  }

  register(): Disposable {
    return this.runs.onDidChange((record) => void this.tell(record));
  }

  private async tell(record: RunRecord): Promise<void> {
    const { id, request, progress, outcome, sourceLabel } = record;
    const { verdict, phase } = progress;
    if (outcome !== undefined || phase !== 'transfer' || verdict?.kind !== 'not-converging') return;
    if (this.told.has(id)) return;
    this.told.add(id);
    // Whoever has postcopy ready asked for it.
    const ready = verdict.remedies.filter((remedy) => remedy.id === 'start-postcopy');
    const others = verdict.remedies.filter((remedy) => !ready.includes(remedy));
    const remedies = [...ready, ...others].slice(0, mostButtons);
    const button = await this.prompts.message(
      'warning',
      l10n.t('The migration of {0} may never end: {1}.', sourceLabel, verdict.text),
      remedies.map(({ title }) => title),
    );
    if (button === undefined) return;
    const chosen = remedies.find(({ title }) => title === button);
    const run = this.runs.active(request.source);
    if (chosen === undefined) return;
    await this.commands.run(`remedy ${chosen.id}`, async () => {
      // The message may have stood there for long.
      if (run?.record.id === id) await this.remedies.apply(run, chosen);
      else {
        void this.prompts.message(
          'information',
          l10n.t('That migration has ended; nothing was done.'),
        );
      }
    });
  }
}
