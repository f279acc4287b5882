import { l10n } from 'vscode';
import type { FleetEnd, FleetOptions, UpdateDesk } from '../../migration/liveUpdate/desk';
import { updateSeveral } from '../../migration/liveUpdate/several';
import type { LiveUpdatePlan } from '../../migration/liveUpdate/types';
import { parseQuantity } from '../../migration/settings/units';
import { blockersOf } from '../../migration/view/updateConsent';
import { fleetReport, plansReport } from '../../migration/view/fleetReport';
import { updateProgressText } from '../../migration/view/updateWords';
import type { MachineId } from '../../vm/types';
import type { Prompts } from '../prompts';
import type { PlanDocuments } from './planDocuments';

/** Updates several machines: the first one alone, its pause judged, then the others. */
export class SeveralUpdates {
  private readonly desk: UpdateDesk;
  private readonly prompts: Prompts;
  private readonly documents: Pick<PlanDocuments, 'showText'>;

  constructor(desk: UpdateDesk, prompts: Prompts, documents: Pick<PlanDocuments, 'showText'>) {
    this.desk = desk;
    this.prompts = prompts;
    this.documents = documents;
  }

  async update(machines: readonly MachineId[], program: string): Promise<void> {
    const options = await this.askOptions(machines.length);
    if (options === undefined) return;
    const title = l10n.t('Live Update of {0} Machines', machines.length);
    const plans = await this.prompts.progress(
      { title: l10n.t('Planning the live updates'), where: 'notification' },
      async (report) => {
        const made: LiveUpdatePlan[] = [];
        for (const machine of machines) {
          report(`${made.length + 1}/${machines.length}`);
          made.push(await this.desk.plan({ machine, program, method: 'auto' }));
        }
        return made;
      },
    );
    const subject = String(Date.now());
    await this.documents.showText(
      title,
      `plans.${subject}`,
      plansReport(plans, (plan) => this.desk.document(plan)),
    );
    const blocked = plans.filter((plan) => blockersOf(plan).length > 0);
    if (blocked.length > 0) {
      const labels = blocked.map(({ label }) => label).join(', ');
      void this.prompts.message(
        'warning',
        l10n.t('None was updated: {0} cannot be updated like this. The plans say why.', labels),
      );
      return;
    }
    const agreed = await this.prompts.confirm({
      message: l10n.t('Put another QEMU under {0} machines now?', plans.length),
      detail: consentLines(plans, options).join('\n'),
      action: l10n.t('Live Update'),
      keep: l10n.t('Not Now'),
    });
    if (!agreed) return;
    const end = await this.run(plans, options);
    await this.documents.showText(
      l10n.t('Live Update of {0} Machines: Result', plans.length),
      subject,
      fleetReport(end),
    );
  }

  private async run(plans: readonly LiveUpdatePlan[], options: FleetOptions): Promise<FleetEnd> {
    return this.prompts.progress(
      {
        title: l10n.t('Live update of {0} machines', plans.length),
        where: 'notification',
        cancellable: true,
      },
      (report, token) => {
        let ended = 0;
        const fleet = updateSeveral(this.desk, plans, options, (record) => {
          if (record.outcome !== undefined) ended += 1;
          report(
            `${ended}/${plans.length} · ${record.label}: ${record.outcome?.headline ?? updateProgressText(record.progress)}`,
          );
        });
        token.onCancellationRequested(() => fleet.cancel());
        return fleet.end;
      },
    );
  }

  private async askOptions(many: number): Promise<FleetOptions | undefined> {
    let limit: number | undefined;
    let atATime = 1;
    const hasLimit = await this.prompts.input({
      title: l10n.t('Live Update of {0} Machines', many),
      prompt: l10n.t(
        'Longest pause that lets the next one begin, such as 50 ms. Empty: any. The first machine is updated alone.',
      ),
      value: '100 ms',
      step: { number: 1, total: 2, back: false },
      validate: (text) => limitProblem(text),
      submit: (text) => {
        limit = readLimit(text);
        return Promise.resolve(undefined);
      },
    });
    if (!hasLimit) return undefined;
    const hasMany = await this.prompts.input({
      title: l10n.t('Live Update of {0} Machines', many),
      prompt: l10n.t('How many at a time, once the first one is through?'),
      value: '1',
      step: { number: 2, total: 2, back: false },
      validate: (text) =>
        /^[1-9]\d?$/.test(text.trim()) ? undefined : l10n.t('A number from 1 to 99.'),
      submit: (text) => {
        atATime = Number(text.trim());
        return Promise.resolve(undefined);
      },
    });
    if (!hasMany) return undefined;
    return { atATime, ...(limit !== undefined && { pauseLimitMs: limit }) };
  }
}

function limitProblem(text: string): string | undefined {
  if (text.trim() === '') return undefined;
  const parsed = parseQuantity(text, 'ms');
  return parsed.ok ? undefined : parsed.problem;
}

function readLimit(text: string): number | undefined {
  const parsed = text.trim() === '' ? undefined : parseQuantity(text, 'ms');
  return parsed?.ok === true ? Number(parsed.value) : undefined;
}

function consentLines(plans: readonly LiveUpdatePlan[], options: FleetOptions): readonly string[] {
  const { pauseLimitMs, atATime } = options;
  const [first] = plans;
  return [
    l10n.t('{0} alone first; the others follow {1} at a time.', first?.label ?? '', atATime),
    pauseLimitMs === undefined
      ? l10n.t('It stops at the first failure.')
      : l10n.t('It stops at the first failure, or pause longer than {0} ms.', pauseLimitMs),
    l10n.t('Until a guest has gone over, whatever fails leaves it running in its old QEMU.'),
  ];
}
