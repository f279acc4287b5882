import { l10n } from 'vscode';
import { noChange, type SettingsChange } from '../../migration/settings/change';
import type { SettingsHistory } from '../../migration/settings/history';
import type { MachineHandle, VmFacts } from '../../vm/types';
import type { CommandRunner } from '../command';
import { type CompletedChange, judge, textOf, type Verdict } from '../fixes';
import type { Prompts, Severity } from '../prompts';
import { changeTitle, changeWords } from '../settingWords';

/** Makes changes that were asked for with one click: where there is no field to say things beside. */
export class SettingsChanger {
  private readonly history: Pick<SettingsHistory, 'perform'>;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;

  constructor(
    history: Pick<SettingsHistory, 'perform'>,
    commands: CommandRunner,
    prompts: Prompts,
  ) {
    this.history = history;
    this.commands = commands;
    this.prompts = prompts;
  }

  /** Turns one capability on or off; see `change`. */
  switchCapability(machine: MachineHandle, name: string, enabled: boolean): Promise<void> {
    return this.change(machine, { ...noChange, capabilities: { [name]: enabled } });
  }

  /**
   * Makes the change as one step of the history. What speaks against it is said in a message, with
   * a button that changes what it needs as well; it is not waited for: until it is answered all is
   * as QEMU says.
   *
   * @param options `warn: false` where a setting without an effect is just what is wanted
   * @throws whatever `SettingsHistory.perform` throws
   */
  async change(
    machine: MachineHandle,
    change: SettingsChange,
    title?: string,
    { warn = true } = {},
  ): Promise<void> {
    machine.connection();
    const { facts, label } = machine.snapshot;
    if (facts === undefined) return;
    const { refusals, warnings, completed } = judge(facts, change);
    if (refusals.length > 0) {
      this.offer('warning', machine, change, title, { refusals, warnings, completed });
      return;
    }
    await this.history.perform(title ?? changeTitle(label, change), [{ machine, change }]);
    if (warn && warnings.length > 0) {
      this.offer('information', machine, change, undefined, { refusals, warnings, completed });
    }
  }

  private offer(
    severity: Severity,
    machine: MachineHandle,
    change: SettingsChange,
    title: string | undefined,
    { refusals, warnings, completed }: Verdict,
  ): void {
    const text = textOf(refusals.length > 0 ? refusals : warnings);
    if (completed === undefined) {
      void this.prompts.message(severity, text);
      return;
    }
    const { facts, label } = machine.snapshot;
    if (facts === undefined) return;
    const pending = refusals.length > 0;
    const button = buttonText(facts, change, completed, pending);
    // What is made already stays; then only the rest is a step of its own.
    const rest = pending ? completed.change : completed.added;
    const step = title ?? changeTitle(label, rest);
    void this.commands.run(step, async () => {
      const answer = await this.prompts.message(severity, text, [button]);
      if (answer === button) await this.history.perform(step, [{ machine, change: rest }]);
    });
  }
}

function buttonText(
  facts: VmFacts,
  change: SettingsChange,
  { added }: CompletedChange,
  pending: boolean,
): string {
  if (pending && turnsOneOn(change) && turnsOneOn(added)) return l10n.t('Turn On Both');
  return l10n.t('Also {0}', changeWords(facts, added));
}

function turnsOneOn({ parameters, capabilities }: SettingsChange): boolean {
  const states = Object.values(capabilities);
  return Object.keys(parameters).length === 0 && states.length === 1 && states[0] === true;
}
