import { l10n } from 'vscode';
import { parseTcpAddress, TcpAddressError } from '../../../migration/methods/tcpAddress';
import type { Transport } from '../../../migration/run/types';
import type { MachineSnapshot } from '../../../vm/types';
import { type Back, type PromptItem, type Prompts, type Step } from '../../prompts';
import { askField } from '../steps';
import { type Draft, keep, placeholder } from './draft';
import { OptionList, optionsText } from './optionList';

/** The ways that the bytes may go, those that cannot be taken with the reason. */
export function transportItems({ method, options }: Draft): readonly PromptItem<Transport>[] {
  const unix: PromptItem<Transport> = {
    label: l10n.t('UNIX socket'),
    value: 'unix',
    icon: 'file-symlink-file',
    description: 'unix:',
    detail: l10n.t('A socket in a directory that only you can enter'),
  };
  // QEMU dies of a descriptor there.
  if (method === 'cpr-transfer') return [unix];
  return [
    {
      label: l10n.t('Passed descriptors'),
      value: 'fd',
      icon: 'plug',
      description: 'fd:',
      detail: l10n.t('A socket pair handed to both QEMUs; nothing on the file system'),
      ...(options.multifdChannels !== undefined && {
        refusal: l10n.t('There is one pair of descriptors; several channels need a socket.'),
      }),
      ...(options.postcopyPreempt === true && {
        refusal: l10n.t('There is one pair of descriptors; a second channel needs a socket.'),
      }),
    },
    unix,
    {
      label: l10n.t('TCP...'),
      value: 'tcp',
      icon: 'globe',
      description: 'tcp:',
      detail: l10n.t('A port that the target listens at; asks for the address'),
    },
  ];
}

/** Asks for the way of the bytes, with a way to the options, which few need, and back. */
export class TransportQuestion {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  async ask(
    draft: Draft,
    title: string,
    { source, target }: Sides,
    step: Step,
  ): Promise<'next' | Back | undefined> {
    const list = new OptionList(this.prompts);
    for (;;) {
      const items = transportItems(draft);
      const usable = items.filter(({ refusal }) => refusal === undefined);
      const liked = usable.find(({ value }) => value === draft.transport) ?? usable[0];
      const answer = await this.prompts.pick<Transport | 'options'>({
        title,
        placeholder: placeholder(l10n.t('How shall the guest travel?'), step),
        items: [...items, optionsItem(draft)],
        active: liked?.value,
        step,
      });
      if (answer !== 'options') return keep(draft, 'transport', answer);
      if (source === undefined) return undefined;
      await list.ask(draft, title, source, target);
    }
  }
}

interface Sides {
  readonly source: MachineSnapshot | undefined;
  readonly target: MachineSnapshot | undefined;
}

function optionsItem({ options }: Draft): PromptItem<'options'> {
  const chosen = optionsText(options);
  return {
    label: l10n.t('With options...'),
    value: 'options',
    icon: 'settings',
    ...(chosen !== '' && { description: chosen }),
    detail: l10n.t('Channels, compression, a held switchover and more, for this run only'),
    group: l10n.t('first'),
    always: true,
  };
}

/** Asks where the target listens, and for consent to a stream that everybody can read. */
export class TcpQuestion {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  async ask(
    draft: Draft,
    title: string,
    sides: readonly (MachineSnapshot | undefined)[],
    step: Step,
  ): Promise<'next' | Back | undefined> {
    return askField(this.prompts, {
      title,
      prompt: l10n.t(
        'Where the target listens, as HOST:PORT; with port 0 it takes one that is free',
      ),
      value: draft.options.tcp?.listen ?? '127.0.0.1:0',
      placeholder: l10n.t('HOST:PORT, an IPv6 address in brackets'),
      step,
      validate: addressProblem,
      submit: async (text) => {
        const listen = text.trim();
        const problem = addressProblem(text);
        if (problem !== undefined) return problem;
        const isEncrypted = sides.every((side) => hasTls(side));
        if (!isEncrypted && !(await this.consent(listen))) {
          return l10n.t('Not agreed to; choose another address, or go back for another way.');
        }
        draft.options.tcp = { ...hostOf(draft), listen };
        if (isEncrypted) delete draft.options.plainTcpConsent;
        else draft.options.plainTcpConsent = true;
        return undefined;
      },
    });
  }

  private consent(listen: string): Promise<boolean> {
    return this.prompts.confirm({
      message: l10n.t('Send the guest over TCP without encryption?'),
      detail: l10n.t(
        'All of its memory, keys and passwords included, goes to {0} as it is, and whoever reaches that port first can take the part of the source. With "tls-creds" set on both sides it is encrypted.',
        listen,
      ),
      action: l10n.t('Send Unencrypted'),
      keep: l10n.t('Do Not'),
    });
  }
}

function hostOf({ options }: Draft): { readonly host?: string } {
  const host = options.tcp?.host;
  return host === undefined ? {} : { host };
}

function addressProblem(text: string): string | undefined {
  try {
    parseTcpAddress(text.trim());
    return undefined;
  } catch (error) {
    if (!(error instanceof TcpAddressError)) throw error;
    return error.message;
  }
}

function hasTls(side: MachineSnapshot | undefined): boolean {
  const credentials = side?.facts?.parameters['tls-creds'];
  return typeof credentials === 'string' && credentials !== '';
}
