import { commands, l10n, type LogOutputChannel } from 'vscode';
import { isOneSided, methodOf, methodTitles } from '../migration/methods/names';
import { progressLine } from '../migration/run/progressText';
import type { Run } from '../migration/run/runs';
import type { OutcomeKind, RunOutcome, RunRecord } from '../migration/run/types';
import { CommandId } from './ids';
import type { Prompts, Report, Severity } from './prompts';

const severities: Readonly<Record<OutcomeKind, Severity>> = {
  completed: 'information',
  cancelled: 'information',
  refused: 'warning',
  'too-late-to-cancel': 'warning',
  failed: 'error',
  unknown: 'error',
};

/** Shows all that is known of a run. */
export interface RunDetails {
  show(record: RunRecord): Promise<void>;
}

/** Shows a run as a notification while it goes on, and its outcome as one message. */
export class MigrationReporter {
  private readonly prompts: Prompts;
  private readonly log: LogOutputChannel;
  private readonly details: RunDetails;

  constructor(prompts: Prompts, log: LogOutputChannel, details: RunDetails) {
    this.prompts = prompts;
    this.log = log;
    this.details = details;
  }

  /**
   * Resolves when the run has ended and its outcome is told. Never rejects.
   *
   * @param again offered when the outcome is unknown: to look once more
   */
  async follow(run: Run, again?: () => void): Promise<void> {
    const { sourceLabel } = run.record;
    const title = titleOf(run.record);
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
    const told = [headline, nextStep].filter((part) => part !== '').join(' ');
    const text =
      record.takenUp === true
        ? l10n.t('A migration that was under way when its window or program closed: {0}', told)
        : told;
    const buttons = new Map(this.buttonsOf(record, outcome, again));
    void this.prompts
      .message(severities[outcome.kind], text, [...buttons.keys()])
      .then((button) => button !== undefined && buttons.get(button)?.());
  }

  /** What is to be done next comes first. */
  private buttonsOf(
    record: RunRecord,
    { kind, owner }: RunOutcome,
    again: (() => void) | undefined,
  ): readonly (readonly [label: string, press: () => void])[] {
    const { request, sourceLabel } = record;
    const showDetails = [l10n.t('Show Details'), () => void this.details.show(record)] as const;
    const showLog = [l10n.t('Show Log'), () => this.log.show()] as const;
    // A guest in a file leaves a QEMU behind as well.
    const gaveAway = owner === 'file' || (owner === 'target' && !isOneSided(methodOf(request)));
    // A QEMU that gave its guest away is a danger as long as it lives.
    const quit = [
      l10n.t('Quit {0}...', sourceLabel),
      () => void commands.executeCommand(CommandId.quitMachine, request.source),
    ] as const;
    return [
      ...(kind === 'unknown' && again !== undefined
        ? [[l10n.t('Look Again'), again] as const]
        : []),
      ...(gaveAway ? [quit] : []),
      showDetails,
      ...(kind === 'completed' || kind === 'cancelled' ? [] : [showLog]),
    ];
  }
}

function titleOf({ request, sourceLabel, targetLabel, takenUp }: RunRecord): string {
  const method = methodOf(request);
  if (isOneSided(method)) {
    return takenUp === true
      ? l10n.t('Taking up: {0} of {1}', methodTitles[method], sourceLabel)
      : l10n.t('{0}: {1}', sourceLabel, methodTitles[method]);
  }
  return takenUp === true
    ? l10n.t('Taking up the migration of {0} to {1}', sourceLabel, targetLabel)
    : l10n.t('Migrating {0} to {1}', sourceLabel, targetLabel);
}
