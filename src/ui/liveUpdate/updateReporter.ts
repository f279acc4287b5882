import { l10n, type LogOutputChannel } from 'vscode';
import type { UpdateOutcome } from '../../migration/liveUpdate/types';
import type { LiveUpdate, LiveUpdateRecord } from '../../migration/liveUpdate/updates';
import { updateReport } from '../../migration/view/updateReport';
import { pauseFigures, updateProgressText } from '../../migration/view/updateWords';
import type { Prompts, Severity } from '../prompts';
import type { PlanDocuments } from './planDocuments';

const severities: Readonly<Record<UpdateOutcome['kind'], Severity>> = {
  updated: 'information',
  cancelled: 'information',
  refused: 'warning',
  failed: 'error',
  unknown: 'error',
};

/** Shows a live update as a notification while it goes on, and its outcome as one message. */
export class UpdateReporter {
  private readonly prompts: Prompts;
  private readonly log: LogOutputChannel;
  private readonly documents: Pick<PlanDocuments, 'showText'>;

  constructor(prompts: Prompts, log: LogOutputChannel, documents: Pick<PlanDocuments, 'showText'>) {
    this.prompts = prompts;
    this.log = log;
    this.documents = documents;
  }

  /**
   * Resolves when it has ended and its outcome is told. Never rejects.
   *
   * @param again it was taken up after its window or program had closed; offered when the outcome is
   * unknown: to look once more
   */
  async follow(update: LiveUpdate, again?: () => void): Promise<void> {
    const { label } = update.record;
    const title =
      again === undefined
        ? l10n.t('Live update of {0}', label)
        : l10n.t('Taking up the live update of {0}', label);
    await this.whileIn(title, update, () => update.cancel());
    this.tell(update.record, await update.outcome, again);
  }

  /** All that is known of the machine's last live update. */
  async details(record: LiveUpdateRecord): Promise<void> {
    const { outcome, label, id, startedAt } = record;
    if (outcome === undefined) return;
    await this.documents.showText(
      l10n.t('Live Update of {0}: Result', label),
      `${startedAt}.${id}`,
      updateReport(record, outcome),
    );
  }

  private async whileIn(title: string, update: LiveUpdate, cancel: () => void): Promise<void> {
    const show = async (report: (text: string) => void): Promise<void> => {
      const tell = ({ progress }: LiveUpdateRecord): void => report(updateProgressText(progress));
      tell(update.record);
      const listening = update.onDidChange(tell);
      await update.outcome;
      listening.dispose();
    };
    const cancelled = await this.prompts.progress(
      { title, where: 'notification', cancellable: true },
      (report, token) => {
        const asked = new Promise<true>((resolve) => {
          token.onCancellationRequested(() => resolve(true));
        });
        return Promise.race([show(report).then(() => false), asked]);
      },
    );
    if (!cancelled) return;
    cancel();
    // The button closed the notification; the truth is still to come.
    const cancelling = l10n.t('Cancelling the live update of {0}', update.record.label);
    await this.prompts.progress({ title: cancelling, where: 'notification' }, show);
  }

  private tell(record: LiveUpdateRecord, outcome: UpdateOutcome, again?: () => void): void {
    const { headline, details, nextStep, leftovers, times, kind } = outcome;
    this.log.info(`Live update of ${record.label}: ${kind}. ${headline}`);
    for (const line of [...details, ...leftovers, nextStep]) if (line !== '') this.log.info(line);
    const figures = kind === 'updated' ? pauseFigures(times) : '';
    const left =
      leftovers.length === 0
        ? ''
        : leftovers.length === 1
          ? (leftovers[0] ?? '')
          : l10n.t('{0} things were left behind.', leftovers.length);
    const told = [headline, figures === '' ? '' : `(${figures})`, left, nextStep]
      .filter((part) => part !== '')
      .join(' ');
    const text =
      again === undefined
        ? told
        : l10n.t('A live update that was under way when its window or program closed: {0}', told);
    const showDetails = l10n.t('Show Details');
    const lookAgain = l10n.t('Look Again');
    const buttons = [...(kind === 'unknown' && again ? [lookAgain] : []), showDetails];
    const severity = kind === 'updated' && leftovers.length > 0 ? 'warning' : severities[kind];
    void this.prompts.message(severity, text, buttons).then((button) => {
      if (button === showDetails) void this.details(record);
      if (button === lookAgain) again?.();
    });
  }
}
