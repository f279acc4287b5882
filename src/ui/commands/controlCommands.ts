import { Disposable, l10n } from 'vscode';
import {
  ControlRefusedError,
  type ControlId,
  type ControlOffer,
  type ControlRequest,
} from '../../migration/run/controls';
import type { Remedy } from '../../migration/run/pace/convergence';
import type { Run, Runs } from '../../migration/run/runs';
import { offersOf } from '../../migration/view/offers';
import type { MachineRegistry } from '../../vm/registry';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';
import type { LimitEditor } from './limitEditor';
import type { RunPicker } from './runPicker';

/** Controls that are asked about once more, for what they do cannot be taken back. */
const asksFirst: ReadonlySet<ControlId> = new Set([
  'cancel',
  'start-postcopy',
  'yank',
  'pause-postcopy',
]);

const icons: Readonly<Record<ControlId, string>> = {
  cancel: 'debug-stop',
  'start-postcopy': 'debug-step-over',
  'release-switchover': 'debug-continue',
  'set-parameters': 'dashboard',
  yank: 'debug-disconnect',
  'pause-postcopy': 'debug-pause',
  'recover-postcopy': 'debug-restart',
};

/** What a person can do with a run while it goes on. */
export class ControlCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly runs: Pick<Runs, 'active'>;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: RunPicker;
  private readonly limits: LimitEditor;

  constructor(
    registry: Pick<MachineRegistry, 'get'>,
    runs: Pick<Runs, 'active'>,
    commands: CommandRunner,
    prompts: Prompts,
    picker: RunPicker,
    limits: LimitEditor,
  ) {
    this.registry = registry;
    this.runs = runs;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.limits = limits;
  }

  register(): Disposable {
    const on = (command: CommandId, id: ControlId, title: string): Disposable =>
      this.commands.register(command, async (target) => {
        const run = await this.picker.active(target, title);
        if (run !== undefined) await this.use(run, id);
      });
    return Disposable.from(
      on(CommandId.cancelMigration, 'cancel', l10n.t('Cancel Migration')),
      on(CommandId.startPostcopy, 'start-postcopy', l10n.t('Start Postcopy')),
      on(CommandId.releaseSwitchover, 'release-switchover', l10n.t('Release Switchover')),
      on(CommandId.changeLimits, 'set-parameters', l10n.t('Change Limits')),
      on(CommandId.pausePostcopy, 'pause-postcopy', l10n.t('Pause Postcopy')),
      on(CommandId.recoverPostcopy, 'recover-postcopy', l10n.t('Recover Postcopy')),
      on(CommandId.yank, 'yank', l10n.t('Yank Connections')),
      this.commands.register(CommandId.controls, (target) => this.choose(target)),
      this.commands.register(CommandId.applyRemedy, (target) => this.applyChosen(target)),
    );
  }

  /** All controls, those that cannot be used now with the reason. */
  private async choose(target: CommandTarget): Promise<void> {
    const run = await this.picker.active(target, l10n.t('Control Migration'));
    if (run === undefined) return;
    const id = await this.prompts.pick<ControlId>({
      title: l10n.t('{0} → {1}: controls', run.record.sourceLabel, run.record.targetLabel),
      placeholder: l10n.t('What shall be done with the migration?'),
      items: controlItems(this.offers(run)),
    });
    if (id !== undefined && id !== back) await this.use(run, id);
  }

  private async use(run: Run, id: ControlId): Promise<void> {
    const offer = this.offers(run).find((each) => each.id === id);
    if (offer?.offered === false) {
      this.refuse(offer.refusal);
      return;
    }
    if (id === 'set-parameters') {
      await this.limits.edit(run);
      return;
    }
    if (asksFirst.has(id) && !(await this.confirm(run, id, offer))) return;
    await this.send(run, { id });
  }

  private confirm(run: Run, id: ControlId, offer: ControlOffer | undefined): Promise<boolean> {
    const { sourceLabel } = run.record;
    const explanation = offer?.explanation ?? '';
    if (id === 'cancel') {
      const { phase } = run.record.progress;
      // Nothing is lost before anything was sent.
      if (phase === 'plan' || phase === 'preflight' || phase === 'prepare') {
        return Promise.resolve(true);
      }
      const detail = l10n.t(
        'The guest goes on running on the source, and what has been sent is thrown away. If the guest has gone over already, it stays on the target.',
      );
      return this.prompts.confirm({
        message: l10n.t('Stop migrating {0}?', sourceLabel),
        detail: explanation === '' ? detail : explanation,
        action: l10n.t('Stop Migrating'),
        keep: l10n.t('Go On'),
      });
    }
    return this.prompts.confirm({
      message: l10n.t('{0}: {1}?', sourceLabel, offer?.title ?? id),
      detail: explanation,
      action: offer?.title ?? id,
      keep: l10n.t('Leave It'),
    });
  }

  private async applyChosen({ machineId, subject }: CommandTarget): Promise<void> {
    const run = machineId === undefined ? undefined : this.runs.active(machineId);
    const remedy = run?.record.progress.verdict?.remedies.find(({ id }) => id === subject);
    if (run === undefined || remedy === undefined) {
      void this.prompts.message(
        'information',
        l10n.t('That is not needed any more; nothing was done.'),
      );
      return;
    }
    await this.apply(run, remedy);
  }

  /** Carries a remedy out, which may have to be asked about first. */
  async apply(run: Run, remedy: Remedy): Promise<void> {
    if (remedy.id === 'start-postcopy') {
      await this.use(run, 'start-postcopy');
      return;
    }
    const { parameters } = remedy;
    if (await this.send(run, { id: 'set-parameters', parameters })) {
      this.prompts.status(l10n.t('{0}: {1}.', run.record.sourceLabel, remedy.title));
    }
  }

  /** Whether it was taken. A refusal of ours is told as such; QEMU's goes to whoever called. */
  private async send(run: Run, request: ControlRequest): Promise<boolean> {
    try {
      await run.control(request);
      return true;
    } catch (error) {
      if (!(error instanceof ControlRefusedError)) throw error;
      this.refuse([error.message, error.nextStep].join(' '));
      return false;
    }
  }

  private refuse(text: string): void {
    void this.prompts.message('warning', text);
  }

  private offers(run: Run): readonly ControlOffer[] {
    return offersOf(run.record, this.registry);
  }
}

function controlItems(offers: readonly ControlOffer[]): readonly PromptItem<ControlId>[] {
  const items = offers.map(
    ({ id, title, explanation, offered, refusal }): PromptItem<ControlId> => ({
      label: title,
      value: id,
      icon: icons[id],
      detail: explanation,
      group: offered ? l10n.t('can be done now') : l10n.t('not possible now'),
      ...(!offered && { refusal }),
    }),
  );
  return items.sort((a, b) => Number('refusal' in a) - Number('refusal' in b));
}
