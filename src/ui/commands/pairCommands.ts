import { commands as vscodeCommands, Disposable, l10n } from 'vscode';
import {
  backendTransferName,
  changeToMatch,
  compareMachines,
  type ComparedRow,
  type MatchingChange,
} from '../../migration/pair/compare';
import type { Pairs } from '../../migration/pair/pairs';
import { isEmptyChange } from '../../migration/settings/change';
import type { NodeKind, ViewNode } from '../../migration/view/nodes';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import type { PromptItem, Prompts } from '../prompts';
import { joinWords, namesTitle } from '../settingWords';
import { type PairedMachines, pairLabel, type PairPicker } from './pairPicker';
import type { PairQuestions } from './pairQuestions';
import type { SettingsChanger } from './settingsChanger';

/** Rows that are named by a setting. */
const settingKinds: ReadonlySet<NodeKind> = new Set(['parameter', 'capability', 'difference']);

/** Pairing, and what is done with both sides at once. */
export class PairCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly pairs: Pairs;
  private readonly changer: Pick<SettingsChanger, 'change'>;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: PairPicker;
  private readonly questions: Pick<PairQuestions, 'ask'>;
  private readonly rows: { node(nodeId: string): ViewNode | undefined };

  constructor(
    registry: Pick<MachineRegistry, 'get'>,
    pairs: Pairs,
    changer: Pick<SettingsChanger, 'change'>,
    commands: CommandRunner,
    prompts: Prompts,
    picker: PairPicker,
    questions: Pick<PairQuestions, 'ask'>,
    rows: { node(nodeId: string): ViewNode | undefined },
  ) {
    this.registry = registry;
    this.pairs = pairs;
    this.changer = changer;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.questions = questions;
    this.rows = rows;
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.pair, (target, all) => this.pair(target, all)),
      commands.register(CommandId.unpair, (target) => this.unpair(target)),
      commands.register(CommandId.applyToBoth, (_, all) => this.applyToOther(all, 'both')),
      commands.register(CommandId.applyToOther, (_, all) => this.applyToOther(all, 'other')),
      commands.register(CommandId.applySourceToTarget, (target) => this.matchTarget(target)),
    );
  }

  private async pair({ machineId }: CommandTarget, all: readonly CommandTarget[]): Promise<void> {
    // Of two machines that are selected, it is clear which other one is meant.
    const selected = new Set(all.flatMap((target) => target.machineId ?? []));
    const other = selected.size === 2 ? [...selected].find((id) => id !== machineId) : undefined;
    for (const id of [machineId, other]) {
      // Who is to be the source cannot be told of one that does not answer.
      if (id !== undefined) this.machine(id).connection();
    }
    const chosen = await this.questions.ask(machineId, other);
    if (chosen === undefined) return;
    await this.pairs.set(chosen.source, chosen.target);
    const pair = this.picker.of(chosen.source);
    if (pair !== undefined) this.tellPaired(pair);
  }

  private machine(id: MachineId): MachineHandle {
    const machine = this.registry.get(id);
    if (machine !== undefined) return machine;
    throw new Error(l10n.t('The machine at {0} is not in the list any more.', id));
  }

  /** Which is which was our guess, perhaps, so it is said. */
  private tellPaired({ source, target }: PairedMachines): void {
    const compare = l10n.t('Compare Settings');
    const match = l10n.t("Apply Source's Settings...");
    const problems = compareMachines(source.snapshot, target.snapshot)?.problems ?? [];
    const [from, to] = [source.snapshot.label, target.snapshot.label];
    const text =
      problems.length === 0
        ? l10n.t('{0} is the source and {1} the target of a pair now.', from, to)
        : l10n.t(
            '{0} is the source and {1} the target of a pair now. They differ where they should not: {2}.',
            from,
            to,
            problems.map(({ name }) => name).join(', '),
          );
    const shown = this.prompts.message(
      problems.length === 0 ? 'information' : 'warning',
      text,
      problems.length === 0 ? [compare] : [compare, match],
    );
    void shown.then((button) => {
      const id = button === compare ? CommandId.compare : CommandId.applySourceToTarget;
      if (button !== undefined) void vscodeCommands.executeCommand(id, source.id);
    });
  }

  private async unpair(target: CommandTarget): Promise<void> {
    // Its other machine may have left the list.
    if (target.machineId !== undefined && this.pairs.of(target.machineId) !== undefined) {
      await this.pairs.remove(target.machineId);
      return;
    }
    const chosen = await this.picker.choose(target, l10n.t('Remove Pair'));
    if (chosen !== undefined) await this.pairs.remove(chosen.source.id);
  }

  /** The other side gets what this side has now of the settings whose rows were chosen. */
  private async applyToOther(
    targets: readonly CommandTarget[],
    sides: 'both' | 'other',
  ): Promise<void> {
    const machineId = targets[0]?.machineId;
    if (machineId === undefined) return;
    const pair = await this.picker.ofGiven(machineId);
    if (pair === undefined) return;
    const { here, other } = pair;
    for (const machine of [here, other]) machine.connection();
    // Of a selection that spans machines, only the rows of the one that was clicked are meant.
    const names = new Set(
      targets.flatMap((target) => (target.machineId === machineId ? this.settingOf(target) : [])),
    );
    const matching = changeToMatch(here.snapshot, other.snapshot, names);
    const what = joinWords([...names]);
    if (isEmptyChange(matching.change)) {
      this.tellNothingToDo(matching, what);
      return;
    }
    // This side has the value already; only the other one is changed.
    const changed = sides === 'both' ? [here, other] : [other];
    const title = namesTitle(joinWords(changed.map(({ snapshot }) => snapshot.label)), [...names]);
    await this.changer.change(other, matching.change, title);
    if (matching.skipped.length > 0) this.tellSkipped(matching);
  }

  /** The name of the setting that a row stands for; none of a row that was only selected with it. */
  private settingOf({ nodeId, subject }: CommandTarget): readonly string[] {
    const kind = nodeId === undefined ? undefined : this.rows.node(nodeId)?.kind;
    // Each QEMU may call it otherwise.
    if (kind === 'backend-transfer') return [backendTransferName];
    const isSetting = kind === undefined || settingKinds.has(kind);
    return isSetting && subject !== undefined ? [subject] : [];
  }

  private tellNothingToDo(matching: MatchingChange, what: string): void {
    if (matching.skipped.length > 0) this.tellSkipped(matching);
    else this.prompts.status(l10n.t('Both sides have the same {0} already.', what));
  }

  private tellSkipped({ skipped }: MatchingChange): void {
    void this.prompts.message(
      'warning',
      l10n.t('Not applied: {0}', skipped.map(skippedText).join(' ')),
    );
  }

  /** Gives the target the source's settings, as far as the user wants them. */
  private async matchTarget(target: CommandTarget): Promise<void> {
    const pair = await this.picker.choose(target, l10n.t("Apply Source's Settings to Target"));
    if (pair === undefined) return;
    const { source, target: to } = pair;
    for (const machine of [source, to]) machine.connection();
    const rows = compareMachines(source.snapshot, to.snapshot)?.differences ?? [];
    const { skipped } = changeToMatch(source.snapshot, to.snapshot);
    const reasons = new Map(skipped.map(({ name, reason }) => [name, reason]));
    const items = rows.flatMap((row) => differenceItem(row, reasons.get(row.name)) ?? []);
    if (items.length === 0) {
      void this.prompts.message(
        'information',
        l10n.t('{0} and {1} have the same settings.', source.snapshot.label, to.snapshot.label),
      );
      return;
    }
    const chosen = await this.prompts.pickMany({
      title: l10n.t("{0}: apply the source's settings", pairLabel(pair)),
      placeholder: l10n.t("The target's value → the source's; all that are ticked are applied"),
      items: [...items].sort((a, b) => Number('refusal' in a) - Number('refusal' in b)),
      picked: new Set(rows.filter(isForBoth).map(({ name }) => name)),
    });
    if (chosen === undefined) return;
    // As they are now, not as they were when the list opened.
    const { change } = changeToMatch(source.snapshot, to.snapshot, chosen);
    if (isEmptyChange(change)) return;
    const [from, onto] = [source.snapshot.label, to.snapshot.label];
    await this.changer.change(to, change, l10n.t('settings of {0} applied to {1}', from, onto));
    if (isEmptyChange(changeToMatch(source.snapshot, to.snapshot, chosen).change)) {
      this.prompts.status(l10n.t('{0} has the settings of {1} now.', onto, from));
    }
  }
}

/** One difference to tick; `undefined` for what is no setting. */
function differenceItem(
  row: ComparedRow,
  refusal: string | undefined,
): PromptItem<string> | undefined {
  if (row.kind === 'identity') return undefined;
  return {
    label: row.name,
    value: row.name,
    description: `${row.target.text} → ${row.source.text}`,
    ...(row.note !== undefined && { detail: row.note }),
    ...(refusal === undefined
      ? { group: l10n.t('can be applied') }
      : { refusal, group: l10n.t('cannot be applied') }),
  };
}

function isForBoth({ meaning }: ComparedRow): boolean {
  return meaning !== 'source-only' && meaning !== 'target-only';
}

function skippedText({ name, reason }: MatchingChange['skipped'][number]): string {
  return l10n.t('{0}: {1}', name, reason);
}
