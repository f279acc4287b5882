import { l10n } from 'vscode';
import {
  fixRequests,
  preflight,
  type PreflightSurroundings,
} from '../../migration/preflight/preflight';
import {
  findingKey,
  type Finding,
  type FindingLevel,
  type PreflightReport,
} from '../../migration/preflight/types';
import { reasonProblem } from '../../migration/run/checks/force';
import type { MigrationRequest } from '../../migration/run/types';
import type { SettingsHistory } from '../../migration/settings/history';
import type { CommandRunner } from '../command';
import { back, type PromptItem, type Prompts } from '../prompts';
import { type PairedMachines, pairLabel } from './pairPicker';

type Choice = Finding | 'measure' | 'again' | 'force';

/** Shows what the check before a migration found, and puts right what settings can. */
export class PreflightList {
  private readonly history: Pick<SettingsHistory, 'perform'>;
  private readonly commands: Pick<CommandRunner, 'showError'>;
  private readonly prompts: Prompts;
  private readonly surroundings: PreflightSurroundings;
  /** Warnings that were accepted for two machines, so that they are told once. */
  private readonly accepted = new Set<string>();

  constructor(
    history: Pick<SettingsHistory, 'perform'>,
    commands: Pick<CommandRunner, 'showError'>,
    prompts: Prompts,
    surroundings: PreflightSurroundings,
  ) {
    this.history = history;
    this.commands = commands;
    this.prompts = prompts;
    this.surroundings = surroundings;
  }

  /**
   * The list stays until it is left: after each fix the check is made again.
   *
   * @param starting a run waits for it: what can be overruled may be
   * @returns why to go on in spite of what forbids it
   * @throws {QmpError} when a connection ends meanwhile
   */
  async show(
    pair: PairedMachines,
    request: MigrationRequest,
    { starting = false } = {},
  ): Promise<string | undefined> {
    let measure = false;
    for (;;) {
      const report = await this.check(pair, request, measure);
      const choice = await this.prompts.pick<Choice>({
        title: l10n.t('{0}: check of the migration', pairLabel(pair)),
        placeholder: verdict(report),
        items: [
          ...report.findings.map((each) => findingItem(each, pair)),
          ...(starting && canBeForced(report) ? [forceItem()] : []),
          ...actions(report),
        ],
      });
      if (choice === undefined || choice === back) return undefined;
      if (choice === 'force') return this.askReason(pair, report);
      if (choice === 'again') continue;
      if (choice === 'measure') {
        measure = true;
        continue;
      }
      if (choice.fix === undefined) {
        this.tell(choice);
        return undefined;
      }
      await this.putRight(choice, choice.fix.title, pair);
    }
  }

  /** One step of the history; where it is refused, the list says the same again. */
  private async putRight(finding: Finding, title: string, pair: PairedMachines): Promise<void> {
    try {
      await this.history.perform(
        l10n.t('{0}: {1}', pairLabel(pair), title),
        fixRequests(finding, pair.source, pair.target),
      );
      this.prompts.status(l10n.t('Done: {0}.', title));
    } catch (error) {
      this.commands.showError('preflight', error);
    }
  }

  /**
   * The request if the migration may start: asks where there are warnings that were not accepted before, and
   * for a reason where what forbids it can be overruled. What forbids it for good is said by the run itself.
   */
  async mayStart(
    pair: PairedMachines,
    request: MigrationRequest,
  ): Promise<MigrationRequest | undefined> {
    let report: PreflightReport;
    try {
      report = await this.check(pair, request, false);
    } catch (error) {
      // The run looks again, and its outcome says what is wrong.
      this.commands.showError('preflight', error, { quiet: true });
      return request;
    }
    if (report.blocked) {
      return canBeForced(report) ? this.force(pair, request, report) : request;
    }
    const keys = new Map(
      report.findings
        .filter((finding) => finding.level === 'warns' && !isAskedAlready(finding, request))
        .map((finding) => [acceptedKey(pair, finding), finding]),
    );
    for (const key of this.accepted) keys.delete(key);
    const [first, ...others] = [...keys.values()];
    if (first === undefined) return request;
    const [anyway, show] = [l10n.t('Migrate Anyway'), l10n.t('Show')];
    const answer = await this.prompts.message(
      'warning',
      others.length === 0
        ? l10n.t('Before {0} is migrated: {1}', pair.source.snapshot.label, first.what)
        : l10n.t(
            'Before {0} is migrated: {1} And {2} more.',
            pair.source.snapshot.label,
            first.what,
            others.length,
          ),
      [anyway, show],
    );
    if (answer === show) await this.show(pair, request);
    if (answer !== anyway) return undefined;
    for (const key of keys.keys()) this.accepted.add(key);
    return request;
  }

  /** Says what forbids it, and lets a person overrule it with a reason. */
  private async force(
    pair: PairedMachines,
    request: MigrationRequest,
    report: PreflightReport,
  ): Promise<MigrationRequest | undefined> {
    const [goOn, show] = [l10n.t('Go On in Spite of It...'), l10n.t('Show')];
    const [first] = report.findings;
    const answer = await this.prompts.message(
      'warning',
      l10n.t(
        'The migration of {0} should not be made: {1} {2}',
        pair.source.snapshot.label,
        first?.what ?? '',
        first?.nextStep ?? '',
      ),
      [goOn, show],
    );
    const reason =
      answer === goOn
        ? await this.askReason(pair, report)
        : answer === show
          ? await this.show(pair, request, { starting: true })
          : undefined;
    return reason === undefined ? undefined : { ...request, force: { reason } };
  }

  /** Typed, not clicked: whoever reads the journal later has to understand it. */
  private async askReason(
    pair: PairedMachines,
    { findings }: PreflightReport,
  ): Promise<string | undefined> {
    const reasons: string[] = [];
    const blocks = findings.filter(({ level }) => level === 'blocks').map(({ what }) => what);
    await this.prompts.input({
      title: l10n.t('{0}: go on in spite of it', pairLabel(pair)),
      prompt: l10n.t(
        '{0} Why shall it be made all the same? Kept in the journal',
        blocks.join(' '),
      ),
      value: '',
      placeholder: l10n.t('Reason, at least 10 characters'),
      validate: reasonProblem,
      submit: (text) => {
        const problem = reasonProblem(text);
        if (problem === undefined) reasons.push(text.trim());
        return Promise.resolve(problem);
      },
      stays: true,
    });
    return reasons[0];
  }

  private check(
    { source, target }: PairedMachines,
    request: MigrationRequest,
    measure: boolean,
  ): Promise<PreflightReport> {
    const title = measure
      ? l10n.t('Measuring how much the guest writes')
      : l10n.t('Checking the migration');
    return this.prompts.progress({ title, where: 'view' }, () =>
      preflight(source, target, request, { ...this.surroundings, measure }),
    );
  }

  private tell({ what, why, nextStep, level }: Finding): void {
    void this.prompts.message(
      level === 'tells' ? 'information' : 'warning',
      [what, why, nextStep].join(' '),
    );
  }
}

/** The dialog asks for the speed, and for consent, and says what each choice risks. */
function isAskedAlready({ id }: Finding, request: MigrationRequest): boolean {
  if (['bandwidth-low', 'exec-no-way-back', 'tcp-plain'].includes(id)) return true;
  return id === 'switchover-guess' && request.maxBandwidthBytesPerSecond !== undefined;
}

/** With what was found, so that another value is another warning. */
function acceptedKey({ source, target }: PairedMachines, finding: Finding): string {
  return [source.id, target.id, findingKey(finding), finding.what].join('\n');
}

function verdict({ findings, blocked }: PreflightReport): string {
  if (blocked) return l10n.t('This migration would be refused. Enter puts right what settings can');
  const warnings = findings.filter(({ level }) => level === 'warns').length;
  if (warnings === 0) return l10n.t('Nothing stands in the way');
  return l10n.t('Nothing blocks it. Enter puts right what settings can');
}

const icons: Readonly<Record<FindingLevel, string>> = {
  blocks: 'error',
  warns: 'warning',
  tells: 'info',
};

/** Nothing forbids it but what a person may overrule. */
function canBeForced({ findings, blocked }: PreflightReport): boolean {
  return (
    blocked &&
    findings.every(({ level, canBeOverruled }) => level !== 'blocks' || canBeOverruled === true)
  );
}

function forceItem(): PromptItem<Choice> {
  return {
    label: l10n.t('Go on in spite of it...'),
    value: 'force',
    icon: 'debug-continue',
    detail: l10n.t('Asks for a reason, which the journal keeps'),
    group: l10n.t('overrule'),
    always: true,
  };
}

function findingItem(finding: Finding, pair: PairedMachines): PromptItem<Choice> {
  const { level, side, what, why, nextStep, fix } = finding;
  return {
    label: what,
    value: finding,
    icon: icons[level],
    description:
      finding.canBeOverruled === true
        ? l10n.t('{0}, can be overruled, {1}', levelWord(level), sideWord(side, pair))
        : l10n.t('{0}, {1}', levelWord(level), sideWord(side, pair)),
    detail:
      fix === undefined ? [why, nextStep].join(' ') : l10n.t('{0} Enter: {1}.', why, fix.title),
    group: groupOf(level),
  };
}

/** Said with each row as well, for an icon alone is not heard. */
function levelWord(level: FindingLevel): string {
  switch (level) {
    case 'blocks':
      return l10n.t('blocks');
    case 'warns':
      return l10n.t('warning');
    case 'tells':
      return l10n.t('note');
  }
}

function groupOf(level: FindingLevel): string {
  switch (level) {
    case 'blocks':
      return l10n.t('blocks the migration');
    case 'warns':
      return l10n.t('to think about first');
    case 'tells':
      return l10n.t('good to know');
  }
}

function sideWord(side: Finding['side'], { source, target }: PairedMachines): string {
  switch (side) {
    case 'source':
      return source.snapshot.label;
    case 'target':
      return target.snapshot.label;
    case 'both':
      return l10n.t('both sides');
    case 'host':
      return l10n.t('this host');
  }
}

function actions({ measured }: PreflightReport): readonly PromptItem<Choice>[] {
  const group = l10n.t('look again');
  return [
    {
      label: measured
        ? l10n.t('Measure again how much the guest writes')
        : l10n.t('Measure how much the guest writes'),
      value: 'measure',
      icon: 'pulse',
      detail: l10n.t('Takes a second, and says whether the migration will come to an end'),
      group,
    },
    { label: l10n.t('Check again'), value: 'again', icon: 'refresh', group },
  ];
}
