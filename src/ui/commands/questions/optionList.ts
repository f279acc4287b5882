import { l10n } from 'vscode';
import { type OptionName, optionOffers } from '../../../migration/methods/offers';
import type { RunOptions } from '../../../migration/run/types';
import {
  describeParameter,
  editText,
  type InputResult,
  type ParameterDescription,
  parseParameterInput,
} from '../../../migration/settings/parameters';
import type { MachineSnapshot } from '../../../vm/types';
import type { FieldNote, PromptItem, Prompts } from '../../prompts';
import { promptText } from '../parameterField';
import type { Draft } from './draft';

type OptionId =
  | 'multifd'
  | 'compression'
  | 'xbzrle'
  | 'auto-converge'
  | 'dirty-limit'
  | 'pause'
  | 'hold'
  | 'guard'
  | 'preempt';

interface OptionRow {
  readonly id: OptionId;
  readonly label: string;
  readonly detail: string;
  readonly capability?: string;
  /** Absent: every QEMU has it. */
  readonly option?: OptionName;
  /** A parameter whose figure is asked for. */
  readonly parameter?: string;
}

function rows(): readonly OptionRow[] {
  return [
    {
      id: 'hold',
      label: l10n.t('Hold the switchover'),
      detail: l10n.t('Stands still before the last step until you release it'),
      capability: 'pause-before-switchover',
      option: 'holdSwitchover',
    },
    {
      id: 'guard',
      label: l10n.t('Guard of the switchover...'),
      detail: l10n.t(
        'On or off for this run; by itself it is on, except for pre-copy over descriptors',
      ),
      capability: 'pause-before-switchover',
      option: 'holdSwitchover',
    },
    {
      id: 'pause',
      label: l10n.t('Longest pause of the guest...'),
      detail: l10n.t('For this run only'),
      parameter: 'downtime-limit',
    },
    {
      id: 'multifd',
      label: l10n.t('Several channels...'),
      detail: l10n.t('Memory goes over several connections at once; needs a UNIX socket or TCP'),
      capability: 'multifd',
      parameter: 'multifd-channels',
      option: 'multifdChannels',
    },
    {
      id: 'compression',
      label: l10n.t('Compression on several channels...'),
      detail: l10n.t('Fewer bytes for more work of the processors'),
      capability: 'multifd',
      parameter: 'multifd-compression',
      option: 'multifdCompression',
    },
    {
      id: 'auto-converge',
      label: l10n.t('Slow the guest until it ends'),
      detail: l10n.t('Takes processor time away from a guest that writes too fast'),
      capability: 'auto-converge',
      option: 'autoConverge',
    },
    {
      id: 'dirty-limit',
      label: l10n.t('Limit what each processor of the guest writes...'),
      detail: l10n.t('Slows only processors that write too much; needs KVM with a dirty ring'),
      capability: 'dirty-limit',
      option: 'dirtyLimitMegabytesPerSecond',
      parameter: 'vcpu-dirty-limit',
    },
    {
      id: 'xbzrle',
      label: l10n.t('Send what changed in a page only'),
      detail: l10n.t('For guests that change little of many pages'),
      capability: 'xbzrle',
      option: 'xbzrle',
    },
    {
      id: 'preempt',
      label: l10n.t('A channel of its own for pages that are waited for'),
      detail: l10n.t('Shorter waits of the guest after postcopy has begun'),
      capability: 'postcopy-preempt',
      option: 'postcopyPreempt',
    },
  ];
}

/** The options of a run as a list to tick, and the figures that some of them need. */
export class OptionList {
  private readonly prompts: Prompts;

  constructor(prompts: Prompts) {
    this.prompts = prompts;
  }

  /** Asks, and keeps the answers. Whoever leaves in the middle changes nothing. */
  async ask(
    draft: Draft,
    title: string,
    source: MachineSnapshot,
    target: MachineSnapshot | undefined,
  ): Promise<void> {
    const all = rows();
    const picked = await this.prompts.pickMany<OptionId>({
      title,
      placeholder: l10n.t('What shall be different in this run? Everything is put back after it'),
      items: all.map((row) => itemOf(row, draft, source, target)),
      picked: new Set(pickedIn(draft.options)),
    });
    if (picked === undefined) return;
    const { tcp, plainTcpConsent, cprSocket, postcopyAfterPass } = draft.options;
    // Compression is something that several channels do.
    const wanted = new Set(picked);
    if (wanted.has('compression')) wanted.add('multifd');
    const figures = new Map<OptionId, number | string>();
    for (const { id, parameter } of all) {
      if (parameter === undefined || !wanted.has(id)) continue;
      const figure = await this.askFigure(title, source, target, parameter, draft.options);
      if (figure === undefined) return;
      figures.set(id, figure);
    }
    const isGuarded = wanted.has('guard') ? await this.askGuard(title, draft) : undefined;
    if (wanted.has('guard') && isGuarded === undefined) return;
    const number = (id: OptionId): number => Number(figures.get(id));
    draft.options = {
      ...(tcp !== undefined && { tcp }),
      ...(plainTcpConsent !== undefined && { plainTcpConsent }),
      ...(cprSocket !== undefined && { cprSocket }),
      ...(postcopyAfterPass !== undefined && { postcopyAfterPass }),
      ...(wanted.has('hold') && { holdSwitchover: true }),
      ...(isGuarded !== undefined && { guardSwitchover: isGuarded }),
      ...(wanted.has('pause') && { downtimeLimitMs: number('pause') }),
      ...(wanted.has('multifd') && { multifdChannels: number('multifd') }),
      ...(wanted.has('compression') && {
        multifdCompression: String(figures.get('compression')),
      }),
      ...(wanted.has('auto-converge') && { autoConverge: true }),
      ...(wanted.has('dirty-limit') && { dirtyLimitMegabytesPerSecond: number('dirty-limit') }),
      ...(wanted.has('xbzrle') && { xbzrle: true }),
      ...(wanted.has('preempt') && { postcopyPreempt: true }),
    };
  }

  /** On or off for this run; whoever leaves the row unticked has what the run does by itself. */
  private async askGuard(title: string, draft: Draft): Promise<boolean | undefined> {
    const item = (value: boolean, label: string, detail: string): PromptItem<boolean> => ({
      label,
      value,
      detail,
    });
    const on = item(
      true,
      l10n.t('On'),
      l10n.t(
        'The target starts the guest only on proof that the source gave it away; some ms of pause',
      ),
    );
    const off = item(
      false,
      l10n.t('Off'),
      l10n.t(
        'The target starts it by itself: if the channel breaks just then, both may run it for some ms',
      ),
    );
    const answer = await this.prompts.pick<boolean>({
      title: l10n.t('{0}: guard of the switchover', title),
      placeholder:
        draft.method === 'precopy'
          ? l10n.t('Without a choice it is on, except over a pair of descriptors')
          : l10n.t('Without a choice it is on'),
      items: draft.options.guardSwitchover === false ? [off, on] : [on, off],
    });
    return typeof answer === 'boolean' ? answer : undefined;
  }

  private async askFigure(
    title: string,
    source: MachineSnapshot,
    target: MachineSnapshot | undefined,
    name: string,
    options: RunOptions,
  ): Promise<number | string | undefined> {
    const description = source.facts && describeParameter(source.facts, name);
    if (description === undefined) return undefined;
    if (description.control === 'enum') {
      const offer = optionOffers(source, target).find(({ values }) => values !== undefined);
      return this.askChoice(title, description, offer?.values ?? []);
    }
    const known = knownFigure(options, name) ?? suggestedFigure(name);
    let figure: number | undefined;
    const taken = await this.prompts.input({
      title: l10n.t('{0}: {1}', title, name),
      prompt: promptText(description),
      value:
        known === undefined ? editText(description) : editText({ ...description, value: known }),
      validate: (text) => problemOf(parseParameterInput(description, text)),
      submit: (text) => {
        const result = parseParameterInput(description, text);
        if (!result.ok) return Promise.resolve(result.problem);
        figure = Number(result.value);
        return Promise.resolve(undefined);
      },
      stays: true,
    });
    return taken ? figure : undefined;
  }

  private async askChoice(
    title: string,
    description: ParameterDescription,
    values: readonly string[],
  ): Promise<string | undefined> {
    const choices = values.filter((choice) => choice !== 'none');
    const answer = await this.prompts.pick<string>({
      title: l10n.t('{0}: {1}', title, description.name),
      placeholder: promptText(description),
      items: choices.map((choice) => ({
        label: choice,
        value: choice,
        ...detailOfChoice(description, choice),
      })),
    });
    return typeof answer === 'string' ? answer : undefined;
  }
}

/** What was chosen, in few words for a row. */
export function optionsText(options: RunOptions): string {
  const {
    multifdChannels,
    multifdCompression,
    dirtyLimitMegabytesPerSecond: limit,
    downtimeLimitMs,
  } = options;
  return [
    options.holdSwitchover === true ? l10n.t('held before the switchover') : undefined,
    guardText(options),
    downtimeLimitMs === undefined ? undefined : l10n.t('pause up to {0} ms', downtimeLimitMs),
    multifdChannels === undefined ? undefined : l10n.t('{0} channels', multifdChannels),
    multifdCompression,
    options.autoConverge === true ? 'auto-converge' : undefined,
    limit === undefined ? undefined : l10n.t('writes up to {0} MiB/s', limit),
    options.xbzrle === true ? 'xbzrle' : undefined,
    options.postcopyPreempt === true ? 'postcopy-preempt' : undefined,
  ]
    .filter((part) => part !== undefined)
    .join(' · ');
}

function guardText({ guardSwitchover }: RunOptions): string | undefined {
  if (guardSwitchover === undefined) return undefined;
  return guardSwitchover ? l10n.t('guarded switchover') : l10n.t('switchover without guard');
}

function pickedIn(options: RunOptions): readonly OptionId[] {
  const all: readonly (readonly [OptionId, unknown])[] = [
    ['hold', options.holdSwitchover],
    ['guard', options.guardSwitchover],
    ['pause', options.downtimeLimitMs],
    ['multifd', options.multifdChannels],
    ['compression', options.multifdCompression],
    ['auto-converge', options.autoConverge],
    ['dirty-limit', options.dirtyLimitMegabytesPerSecond],
    ['xbzrle', options.xbzrle],
    ['preempt', options.postcopyPreempt],
  ];
  return all.flatMap(([id, value]) => (value === undefined ? [] : [id]));
}

function itemOf(
  { id, label, detail, capability, option }: OptionRow,
  draft: Draft,
  source: MachineSnapshot,
  target: MachineSnapshot | undefined,
): PromptItem<OptionId> {
  const offer = optionOffers(source, target).find((each) => each.option === option);
  const why = refusalOf(id, draft) ?? (offer?.offered === false ? offer.why : undefined);
  return {
    label,
    value: id,
    detail,
    ...(capability !== undefined && { description: capability }),
    ...(why !== undefined && { refusal: why }),
  };
}

/** What an option has no meaning for. */
function refusalOf(id: OptionId, { method }: Draft): string | undefined {
  if (id === 'preempt' && method !== 'postcopy') return l10n.t('Only postcopy has such pages.');
  if (id === 'guard' && method === 'postcopy') {
    return l10n.t('The guest has to run on the target before all of its memory is there.');
  }
  if (method === 'cpr-transfer' && id !== 'hold' && id !== 'guard') {
    return l10n.t('No memory is sent by this method; there is nothing to tune.');
  }
  if (method === 'shared-ram' && id !== 'hold' && id !== 'guard' && id !== 'pause') {
    return l10n.t('No memory is sent by this method; there is nothing to tune.');
  }
  return undefined;
}

function knownFigure(options: RunOptions, name: string): number | undefined {
  switch (name) {
    case 'downtime-limit':
      return options.downtimeLimitMs;
    case 'multifd-channels':
      return options.multifdChannels;
    case 'vcpu-dirty-limit':
      return options.dirtyLimitMegabytesPerSecond;
    default:
      return undefined;
  }
}

/** QEMU's defaults of these do little. */
function suggestedFigure(name: string): number | undefined {
  return name === 'multifd-channels' ? 4 : name === 'vcpu-dirty-limit' ? 50 : undefined;
}

function problemOf(result: InputResult): FieldNote | undefined {
  return result.ok ? undefined : { level: 'problem', text: result.problem };
}

function detailOfChoice(
  { info }: ParameterDescription,
  choice: string,
): { readonly detail?: string } {
  const summary = info?.values?.find(({ value }) => value === choice)?.summary;
  return summary === undefined ? {} : { detail: summary };
}
