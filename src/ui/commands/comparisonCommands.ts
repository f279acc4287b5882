import { type Disposable, l10n } from 'vscode';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import type { SettingsDocuments } from '../documents/settingsDocuments';
import { CommandId } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';
import { machineItem, refuseUnlessReady } from './machinePicker';
import { pairItem, type PairedMachines, type PairPicker } from './pairPicker';
import type { PairQuestions } from './pairQuestions';

type Choice =
  | { readonly kind: 'pair'; readonly pair: PairedMachines }
  | { readonly kind: 'machine'; readonly machine: MachineHandle };

/** Two machines' settings side by side. */
export class ComparisonCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly picker: PairPicker;
  private readonly questions: Pick<PairQuestions, 'askPartner'>;
  private readonly documents: Pick<SettingsDocuments, 'showDiff'>;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get'>,
    commands: CommandRunner,
    prompts: Prompts,
    picker: PairPicker,
    questions: Pick<PairQuestions, 'askPartner'>,
    documents: Pick<SettingsDocuments, 'showDiff'>,
  ) {
    this.registry = registry;
    this.commands = commands;
    this.prompts = prompts;
    this.picker = picker;
    this.questions = questions;
    this.documents = documents;
  }

  register(): Disposable {
    return this.commands.register(CommandId.compare, (target, all) => this.compare(target, all));
  }

  private async compare(target: CommandTarget, all: readonly CommandTarget[]): Promise<void> {
    const selected = [...new Set(all.flatMap(({ machineId }) => machineId ?? []))];
    // Two machines that are selected are what is meant, a pair or not.
    const [left, right] = selected.map((id) => this.registry.get(id));
    if (selected.length === 2 && left !== undefined && right !== undefined) {
      await this.show(this.inOrder(left, right));
      return;
    }
    const choice = await this.choose(target);
    if (choice === undefined) return;
    if (choice.kind === 'pair') await this.show(choice.pair);
    else await this.compareWithAnother(choice.machine);
  }

  private async choose({ machineId }: CommandTarget): Promise<Choice | undefined> {
    if (machineId === undefined) return this.ask();
    const pair = this.picker.of(machineId);
    if (pair !== undefined) return { kind: 'pair', pair };
    const machine = this.registry.get(machineId);
    if (machine !== undefined) return { kind: 'machine', machine };
    throw new Error(l10n.t('The machine at {0} is not in the list any more.', machineId));
  }

  private async ask(): Promise<Choice | undefined> {
    const pairs = this.picker.known.map((pair): PromptItem<Choice> => {
      const group = l10n.t('pairs');
      return { ...pairItem(pair), value: { kind: 'pair', pair }, group };
    });
    const machines = this.registry.machines.map((machine): PromptItem<Choice> => {
      const refusal = refuseUnlessReady(machine.snapshot);
      const item = machineItem(machine.snapshot, refusal);
      const group = refusal === undefined ? l10n.t('machines') : l10n.t('not possible now');
      return { ...item, value: { kind: 'machine', machine }, group };
    });
    const items = [
      ...pairs,
      ...machines.sort((a, b) => Number('refusal' in a) - Number('refusal' in b)),
    ];
    if (items.length === 0) {
      await this.prompts.message(
        'information',
        l10n.t('No machine is known yet. Connect to a QEMU first.'),
      );
      return undefined;
    }
    const choice = await this.prompts.pick({
      title: l10n.t('Compare Settings'),
      placeholder: l10n.t('Which pair, or which machine?'),
      items,
    });
    return choice === back ? undefined : choice;
  }

  private async compareWithAnother(machine: MachineHandle): Promise<void> {
    const { label } = machine.snapshot;
    const title = l10n.t('Compare {0} with', label);
    const id = await this.questions.askPartner(machine.id, undefined, title);
    const other = id === undefined || id === back ? undefined : this.registry.get(id);
    if (other !== undefined) await this.show(this.inOrder(machine, other));
  }

  /** The source of a pair is on the left, and so is the one that does not wait for a migration. */
  private inOrder(a: MachineHandle, b: MachineHandle): PairedMachines {
    const pair = this.picker.of(a.id);
    if (pair?.other === b) return pair;
    const waits = ({ snapshot }: MachineHandle): boolean =>
      snapshot.facts?.runState.status === 'inmigrate';
    return waits(a) && !waits(b) ? { source: b, target: a } : { source: a, target: b };
  }

  private async show({ source, target }: PairedMachines): Promise<void> {
    await this.documents.showDiff(
      { machine: source.id },
      { machine: target.id },
      l10n.t('{0} ↔ {1} (settings)', source.snapshot.label, target.snapshot.label),
    );
  }
}
