import { l10n } from 'vscode';
import type { MachineSnapshot } from '../../../vm/types';
import { back, type Back, type PromptItem, type Prompts, type Step } from '../../prompts';
import type { Draft } from './draft';

type Layout = 'stream' | 'mapped';

/** Asks how the file of a saved guest is laid out, and what it is to have. */
export class FileQuestions {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  /** Whether there is a choice at all: a file that is there tells its form by itself. */
  layoutApplies({ method }: Draft, machine: MachineSnapshot | undefined): boolean {
    return method === 'save' && has(machine, 'mapped-ram');
  }

  async layout(draft: Draft, title: string, step: Step): Promise<'next' | Back | undefined> {
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
      placeholder: l10n.t('How shall the file be laid out?'),
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
}

function has(machine: MachineSnapshot | undefined, capability: string): boolean {
  return machine?.facts?.capabilities.some(({ name }) => name === capability) === true;
}
