import { l10n } from 'vscode';
import { back, type Back, type Prompts, type Step } from '../../prompts';
import type { Draft } from './draft';

type Start = 'first-pass' | 'by-hand' | 'later-pass';

/** More passes than a migration ever makes before somebody loses patience. */
const mostPasses = 1000;

/** Asks when the guest is to go over. */
export class PostcopyQuestion {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  async ask(draft: Draft, title: string, step: Step): Promise<'next' | Back | undefined> {
    const { postcopyAfterPass: before } = draft.options;
    const answer = await this.prompts.pick<Start>({
      title,
      placeholder: l10n.t('When is the guest to go over?'),
      items: [
        {
          label: l10n.t('After the first pass over its memory'),
          value: 'first-pass',
          icon: 'debug-step-over',
          detail: l10n.t('Most pages are there by then, and few have to be waited for'),
        },
        {
          label: l10n.t('By hand'),
          value: 'by-hand',
          icon: 'person',
          detail: l10n.t('When you choose "Start Postcopy"; it may end before, as pre-copy does'),
        },
        {
          label: l10n.t('After a later pass...'),
          value: 'later-pass',
          icon: 'history',
        },
      ],
      active: before === undefined || before === 1 ? 'first-pass' : 'later-pass',
      step,
    });
    if (answer === undefined || answer === back) return answer;
    if (answer === 'later-pass') return this.askPass(draft, title);
    if (answer === 'first-pass') draft.options.postcopyAfterPass = 1;
    else delete draft.options.postcopyAfterPass;
    return 'next';
  }

  private async askPass(draft: Draft, title: string): Promise<'next' | undefined> {
    const taken = await this.prompts.input({
      title,
      prompt: l10n.t('After how many passes over its memory?'),
      value: String(draft.options.postcopyAfterPass ?? 2),
      validate: passProblem,
      submit: (text) => {
        const problem = passProblem(text);
        if (problem === undefined) draft.options.postcopyAfterPass = Number(text);
        return Promise.resolve(problem);
      },
      stays: true,
    });
    return taken ? 'next' : undefined;
  }
}

function passProblem(text: string): string | undefined {
  const pass = Number(text);
  const isPass = /^\d+$/.test(text.trim()) && pass >= 1 && pass <= mostPasses;
  return isPass
    ? undefined
    : l10n.t('A whole number between 1 and {0} is needed.', String(mostPasses));
}
