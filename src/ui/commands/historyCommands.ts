import { Disposable, l10n } from 'vscode';
import { type AppliedChange, SettingsNotAppliedError } from '../../migration/settings/change';
import { SettingsRefusedError } from '../../migration/settings/findings';
import {
  type SettingsHistory,
  type SettingsStep,
  UndoConflictError,
  UndoImpossibleError,
} from '../../migration/settings/history';
import { parameterValueText } from '../../migration/settings/parameters';
import { settingsOf } from '../../migration/settings/settingsState';
import { sameValue } from '../../migration/settings/values';
import { explain, explanationText } from '../../migration/view/words';
import type { MachineRegistry } from '../../vm/registry';
import type { CommandRunner } from '../command';
import type { ContextKeys } from '../contextKeys';
import type { Contribution } from '../contribution';
import { CommandId, ContextKey } from '../ids';
import type { Prompts } from '../prompts';
import { stateText } from '../settingWords';

/** More settings than this are only counted. */
const mostNamed = 5;

/** Undo of changes of settings. */
export class HistoryCommands implements Contribution {
  private readonly history: SettingsHistory;
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly contextKeys: ContextKeys;

  constructor(
    history: SettingsHistory,
    registry: Pick<MachineRegistry, 'get'>,
    commands: CommandRunner,
    prompts: Prompts,
    contextKeys: ContextKeys,
  ) {
    this.history = history;
    this.registry = registry;
    this.commands = commands;
    this.prompts = prompts;
    this.contextKeys = contextKeys;
  }

  register(): Disposable {
    const follow = (): void => {
      this.contextKeys.set(ContextKey.canUndo, this.history.last !== undefined);
    };
    follow();
    return Disposable.from(
      this.history.onDidChange(follow),
      this.commands.register(CommandId.undoSettings, () => this.undo()),
    );
  }

  private async undo(): Promise<void> {
    if (this.history.last === undefined) {
      void this.prompts.message(
        'information',
        l10n.t('No change of settings is there to be undone.'),
      );
      return;
    }
    const step = await this.undoOrAsk();
    if (step !== undefined) void this.prompts.message('information', this.undoneText(step));
  }

  /** `undefined`: it was left as it is. */
  private async undoOrAsk(): Promise<SettingsStep | undefined> {
    try {
      return await this.history.undo();
    } catch (error) {
      if (error instanceof UndoImpossibleError && error.reason === 'nothing') return undefined;
      if (error instanceof SettingsRefusedError || error instanceof SettingsNotAppliedError) {
        this.offerToForget(error);
        return undefined;
      }
      if (!(error instanceof UndoConflictError)) throw error;
      const { headline, detail = '' } = explain(error);
      const sure = await this.prompts.confirm({
        message: l10n.t('{0} Put the earlier values back anyway?', headline),
        detail,
        action: l10n.t('Put Back Anyway'),
        keep: l10n.t('Leave as It Is'),
      });
      return sure ? this.history.undo({ evenIfChanged: true }) : undefined;
    }
  }

  /** A step that QEMU does not let be undone would stand before those under it for ever. */
  private offerToForget(error: Error): void {
    const { last } = this.history;
    if (last === undefined) return;
    const forget = l10n.t('Forget This Change');
    void this.prompts
      .message(
        'error',
        l10n.t('{0} was not undone. {1}', last.title, explanationText(explain(error))),
        [forget],
      )
      .then((button) => {
        if (button === forget) this.history.forget(last);
      });
  }

  /** What is again as it was, and what QEMU keeps because it cannot unset it. */
  private undoneText({ title, sides }: SettingsStep): string {
    const several = sides.length > 1;
    const settings = sides.flatMap((side) => this.settingsNow(side));
    const words = settings
      .filter(({ again }) => again)
      .map(({ label, name, text }) =>
        several ? l10n.t('{0} of {1}: {2}', name, label, text) : l10n.t('{0}: {1}', name, text),
      );
    const kept = settings.filter(({ again }) => !again);
    const [only] = settings;
    const done =
      only !== undefined && settings.length === 1 && only.again
        ? l10n.t('Undid {0}: {1} again.', title, only.text)
        : words.length > mostNamed
          ? l10n.t('Undid {0}: {1} settings are as they were.', title, words.length)
          : words.length > 0
            ? l10n.t('Undid {0}. Again: {1}.', title, words.join(', '))
            : l10n.t('Undid {0}.', title);
    if (kept.length === 0) return done;
    const stuck = kept.map(({ name, text }) => l10n.t('{0}: {1}', name, text)).join(', ');
    return l10n.t('{0} QEMU cannot unset what was not set before; now {1}.', done, stuck);
  }

  /** The settings of a side with what QEMU says of them now. */
  private settingsNow({
    machineId,
    label,
    before,
  }: AppliedChange): readonly { label: string; name: string; text: string; again: boolean }[] {
    const facts = this.registry.get(machineId)?.snapshot.facts;
    if (facts === undefined) return [];
    const now = settingsOf(facts, {
      parameters: Object.keys(before.parameters),
      capabilities: Object.keys(before.capabilities),
    });
    return [
      ...Object.entries(before.parameters).map(([name, value]) => ({
        label,
        name,
        text: parameterValueText(facts, name, now.parameters[name]),
        again: sameValue(now.parameters[name], value),
      })),
      ...Object.entries(before.capabilities).map(([name, enabled]) => ({
        label,
        name,
        text: stateText(now.capabilities[name]),
        again: now.capabilities[name] === enabled,
      })),
    ];
  }
}
