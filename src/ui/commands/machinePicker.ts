import { l10n } from 'vscode';
import { buildMachineNode } from '../../migration/view/machineTree';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineSnapshot } from '../../vm/types';
import type { CommandTarget } from '../command';
import { back, type PromptItem, type Prompts } from '../prompts';

export interface MachineQuestion {
  readonly title: string;
  /** Why this machine cannot be chosen; `undefined` when it can. */
  readonly refuse: (snapshot: MachineSnapshot) => string | undefined;
}

/** Finds the machine that a command is about: the one given, else the one that the user picks. */
export class MachinePicker {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly prompts: Prompts;

  constructor(registry: Pick<MachineRegistry, 'machines' | 'get'>, prompts: Prompts) {
    this.registry = registry;
    this.prompts = prompts;
  }

  async choose(
    target: CommandTarget,
    question: MachineQuestion,
  ): Promise<MachineHandle | undefined> {
    if (target.machineId !== undefined) {
      const machine = this.registry.get(target.machineId);
      if (machine === undefined) await this.tellGone(target.machineId);
      return machine;
    }
    const items = this.registry.machines
      .map(({ snapshot }) => machineItem(snapshot, question.refuse(snapshot)))
      .sort((a, b) => Number(a.refusal !== undefined) - Number(b.refusal !== undefined));
    if (items.every(({ refusal }) => refusal !== undefined)) {
      void this.prompts.message(
        'information',
        items[0]?.refusal === undefined
          ? l10n.t('No machine is known yet. Connect to a QEMU first.')
          : l10n.t('{0}: {1}', items[0].label, items[0].refusal),
      );
      return undefined;
    }
    const id = await this.prompts.pick({
      title: question.title,
      placeholder: l10n.t('Which machine?'),
      items,
    });
    return id === undefined || id === back ? undefined : this.registry.get(id);
  }

  private async tellGone(id: string): Promise<void> {
    await this.prompts.message(
      'warning',
      l10n.t('The machine at {0} is not in the list any more.', id),
    );
  }
}

/** One machine in a picker, described as in the tree. */
export function machineItem(snapshot: MachineSnapshot, refusal?: string): PromptItem<string> {
  const { description, icon } = buildMachineNode(snapshot);
  return {
    label: snapshot.label,
    value: snapshot.id,
    detail: snapshot.socketPath,
    ...(icon !== undefined && { icon: icon.codicon }),
    ...(description !== undefined && { description }),
    ...(refusal !== undefined && { refusal, group: l10n.t('not possible now') }),
  };
}

/** The usual refusal: the command needs a machine that answers. */
export function refuseUnlessReady({ state }: MachineSnapshot): string | undefined {
  return state.kind === 'ready' ? undefined : l10n.t('Not connected. Connect first.');
}
