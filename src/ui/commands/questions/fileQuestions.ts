import { l10n } from 'vscode';
import { methodTitles } from '../../../migration/methods/names';
import type { MachineSnapshot } from '../../../vm/types';
import { back, type Back, type PromptItem, type Prompts, type Step } from '../../prompts';
import type { Draft } from './draft';

type Layout = 'stream' | 'mapped';

/** Asks for the file of a saved guest, and how it is laid out. */
export class FileQuestions {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  /** Whether there is a choice at all. */
  layoutApplies({ method }: Draft, machine: MachineSnapshot | undefined): boolean {
    return method !== 'cpr-reboot' && has(machine, 'mapped-ram');
  }

  async layout(draft: Draft, title: string, step: Step): Promise<'next' | Back | undefined> {
    const isRestore = draft.method === 'restore';
    const items: readonly PromptItem<Layout>[] = [
      {
        label: l10n.t('A stream'),
        value: 'stream',
        icon: 'list-flat',
        detail: l10n.t('As it goes over a connection; every QEMU can read it'),
      },
      {
        label: l10n.t('A place for each page'),
        value: 'mapped',
        icon: 'symbol-array',
        description: 'mapped-ram',
        detail: l10n.t('Never larger than the memory, and quick to read; needs QEMU 9.0'),
      },
    ];
    const answer = await this.prompts.pick<Layout>({
      title,
      placeholder: isRestore
        ? l10n.t('How was the file written?')
        : l10n.t('How shall the file be laid out?'),
      items,
      active: draft.options.file?.mappedRam === true ? 'mapped' : 'stream',
      step,
    });
    if (answer === undefined || answer === back) return answer;
    const path = draft.options.file?.path ?? '';
    draft.options.file = { path, ...(answer === 'mapped' && { mappedRam: true }) };
    return 'next';
  }

  /** Whether the memory may stay where it is. */
  memoryApplies({ method }: Draft, machine: MachineSnapshot | undefined): boolean {
    return method === 'cpr-reboot' && has(machine, 'x-ignore-shared');
  }

  async memory(draft: Draft, title: string, step: Step): Promise<'next' | Back | undefined> {
    const answer = await this.prompts.pick<boolean>({
      title,
      placeholder: l10n.t('Where is the memory to be while the host restarts?'),
      items: [
        {
          label: l10n.t('In the file, with everything else'),
          value: false,
          icon: 'file',
        },
        {
          label: l10n.t('Where it is: in a file of its own that outlives the restart'),
          value: true,
          icon: 'symbol-array',
          description: 'x-ignore-shared',
          detail: l10n.t('Such as persistent memory; a file in /dev/shm does not outlive it'),
        },
      ],
      active: draft.options.ignoreShared === true,
      step,
    });
    if (answer === undefined || answer === back) return answer;
    draft.options.ignoreShared = answer;
    return 'next';
  }

  /** VS Code's own dialog, which asks before it lets a file be overwritten. */
  async path(draft: Draft, machine: MachineSnapshot | undefined): Promise<'next' | undefined> {
    const label = machine?.label ?? '';
    const title = l10n.t('{0}: {1}', label, methodTitles[draft.method]);
    const path =
      draft.method === 'restore'
        ? await this.prompts.openFile({ title, action: l10n.t('Restore Guest') })
        : await this.prompts.saveFile({
            title,
            action: l10n.t('Save Guest'),
            name: `${label.replaceAll(/[^\w.-]+/g, '-')}.qemu-guest`,
          });
    if (path === undefined) return undefined;
    draft.options.file = { ...draft.options.file, path };
    return 'next';
  }
}

function has(machine: MachineSnapshot | undefined, capability: string): boolean {
  return machine?.facts?.capabilities.some(({ name }) => name === capability) === true;
}
