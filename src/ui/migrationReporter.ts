import { l10n, type LogOutputChannel } from 'vscode';
import { progressLine } from '../migration/run/progressText';
import type { Run } from '../migration/run/runs';
import type { OutcomeKind, RunOutcome, RunRecord } from '../migration/run/types';
import type { Prompts, Report, Severity } from './prompts';

const severities: Readonly<Record<OutcomeKind, Severity>> = {
  completed: 'information',
  cancelled: 'information',
  refused: 'warning',
  'too-late-to-cancel': 'warning',
  failed: 'error',
  unknown: 'error',
};

/** Shows a run as a notification while it goes on, and its outcome as one message. */
export class MigrationReporter {
  private readonly prompts: Prompts;
  private readonly log: LogOutputChannel;

  constructor(prompts: Prompts, log: LogOutputChannel) {
    this.prompts = prompts;
    this.log = log;
  }

  /**
   * Resolves when the run has ended and its outcome is told. Never rejects.
   *
   * @param again offered when the outcome is unknown: to look once more
   */
  async follow(run: Run, again?: () => void): Promise<void> {
    const { sourceLabel, targetLabel, takenUp } = run.record;
    const title =
      takenUp === true
        ? l10n.t('Taking up the migration of {0} to {1}', sourceLabel, targetLabel)
        : l10n.t('Migrating {0} to {1}', sourceLabel, targetLabel);
    const cancelled = await this.prompts.progress(
      { title, where: 'notification', cancellable: true },
      (report, token) => {
        const asked = new Promise<true>((resolve) => {
          token.onCancellationRequested(() => resolve(true));
        });
        return Promise.race([this.show(run, report).then(() => false), asked]);
      },
    );
    if (cancelled) {
      run.cancel();
      // The button closed the notification; the truth is still to come.
      const cancelling = l10n.t('Cancelling the migration of {0}', sourceLabel);
      await this.prompts.progress({ title: cancelling, where: 'notification' }, (report) =>
        this.show(run, report),
      );
    }
    this.tell(run.record, await run.outcome, again);
  }

  /** Reports progress until the run has ended. */
  private async show(run: Run, report: Report): Promise<void> {
    const tell = ({ progress }: RunRecord): void => report(progressLine(progress));
    tell(run.record);
    const listening = run.onDidChange(tell);
    try {
      await run.outcome;
    } finally {
      listening.dispose();
    }
  }

  private tell(record: RunRecord, outcome: RunOutcome, again?: () => void): void {
    const { headline, details, nextStep, sourceError, targetError } = outcome;
    const route = `${record.sourceLabel} -> ${record.targetLabel}`;
    this.log.info(`Run ${record.id} (${route}): ${outcome.kind}. ${headline}`);
    for (const line of [...details, nextStep].filter((text) => text !== '')) this.log.info(line);
    if (sourceError !== undefined) this.log.info(`The source's QEMU: ${sourceError}`);
    if (targetError !== undefined) this.log.info(`The target's QEMU: ${targetError}`);
    const showLog = l10n.t('Show Log');
    const told = [headline, nextStep].filter((part) => part !== '').join(' ');
    const text =
      record.takenUp === true
        ? l10n.t('A migration that was under way when its window or program closed: {0}', told)
        : told;
    const lookAgain = l10n.t('Look Again');
    const offerAgain = outcome.kind === 'unknown' && again !== undefined;
    const buttons = [...(offerAgain ? [lookAgain] : []), showLog];
    void this.prompts.message(severities[outcome.kind], text, buttons).then((button) => {
      if (button === showLog) this.log.show();
      if (button === lookAgain) again?.();
    });
  }
}
