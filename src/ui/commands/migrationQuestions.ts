import { l10n } from 'vscode';
import {
  bandwidthAdvice,
  migrationSources,
  migrationTargets,
} from '../../migration/run/candidates';
import type { Pairs } from '../../migration/pair/pairs';
import type { MigrationRequest, Transport } from '../../migration/run/types';
import { backendTransferOf } from '../../migration/settings/backendTransfer';
import { formatRate } from '../../migration/settings/units';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId, MachineSnapshot } from '../../vm/types';
import { back, type PromptItem, type Prompts } from '../prompts';
import { machineItem } from './machinePicker';
import { askSteps, type StepQuestion } from './steps';

type Bandwidth = 'keep' | 'suggested';

interface Draft {
  source?: MachineId;
  target?: MachineId;
  transport: Transport;
  backendTransfer: MigrationRequest['backendTransfer'];
  bandwidth: Bandwidth;
}

type DraftKey = keyof Draft;

/** Asks for all that one local migration needs; what is known already is not asked. */
export class MigrationQuestions {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly prompts: Prompts;
  private readonly connectAnother: () => Promise<MachineHandle | undefined>;
  private readonly pairs: Pick<Pairs, 'of'> | undefined;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get'>,
    prompts: Prompts,
    connectAnother: () => Promise<MachineHandle | undefined>,
    pairs?: Pick<Pairs, 'of'>,
  ) {
    this.registry = registry;
    this.prompts = prompts;
    this.connectAnother = connectAnother;
    this.pairs = pairs;
  }

  async ask(
    source: MachineId | undefined,
    transport: Transport,
  ): Promise<MigrationRequest | undefined> {
    const draft: Draft = { transport, backendTransfer: 'as-is', bandwidth: 'keep' };
    if (source !== undefined) draft.source = source;
    const questions: StepQuestion[] = [
      this.sourceQuestion(draft, source === undefined),
      this.targetQuestion(draft),
      this.transportQuestion(draft),
      this.backendTransferQuestion(draft),
      this.bandwidthQuestion(draft),
    ];
    if (!(await askSteps(questions))) return undefined;
    const { target, backendTransfer } = draft;
    if (draft.source === undefined || target === undefined) return undefined;
    const advice = draft.bandwidth === 'suggested' ? this.advice(draft) : undefined;
    return {
      source: draft.source,
      target,
      transport: draft.transport,
      backendTransfer: this.offersBackendTransfer(draft) ? backendTransfer : 'as-is',
      ...(advice && { maxBandwidthBytesPerSecond: advice.suggestedBytesPerSecond }),
    };
  }

  private get snapshots(): readonly MachineSnapshot[] {
    return this.registry.machines.map(({ snapshot }) => snapshot);
  }

  private snapshotOf(id: MachineId | undefined): MachineSnapshot | undefined {
    return id === undefined ? undefined : this.registry.get(id)?.snapshot;
  }

  private title(draft: Draft): string {
    const source = this.snapshotOf(draft.source);
    const target = this.snapshotOf(draft.target);
    if (source === undefined) return l10n.t('Migrate');
    if (target === undefined) return l10n.t('Migrate {0}', source.label);
    return l10n.t('Migrate {0} to {1}', source.label, target.label);
  }

  private sourceQuestion(draft: Draft, applies: boolean): StepQuestion {
    return {
      applies: () => applies,
      ask: async (step) => {
        const answer = await this.prompts.pick({
          title: l10n.t('Migrate'),
          placeholder: l10n.t('Which machine is to move?'),
          items: candidateItems(migrationSources(this.snapshots)),
          active: draft.source,
          step,
        });
        return this.keep(draft, 'source', answer);
      },
    };
  }

  private targetQuestion(draft: Draft): StepQuestion {
    return {
      applies: () => true,
      ask: async (step) => {
        for (;;) {
          const another: PromptItem<string> = {
            label: l10n.t('Connect to another QEMU...'),
            value: '',
            icon: 'add',
            detail: l10n.t('The target is a QEMU started like the source, with "-incoming defer"'),
            group: l10n.t('not in the list'),
            always: true,
          };
          const candidates = migrationTargets(this.snapshotOf(draft.source), this.snapshots);
          const answer = await this.prompts.pick({
            title: this.title({ ...draft, target: '' }),
            placeholder: l10n.t('Which QEMU takes the guest over?'),
            items: [...this.targetItems(draft.source, candidates), another],
            active: draft.target,
            step,
          });
          if (answer !== another.value) return this.keep(draft, 'target', answer);
          const machine = await this.connectAnother();
          if (machine !== undefined) draft.target = machine.id;
        }
      },
    };
  }

  /** The one that the source is paired with first, if it can be taken. */
  private targetItems(
    source: MachineId | undefined,
    candidates: readonly Candidate[],
  ): readonly PromptItem<string>[] {
    const found = source === undefined ? undefined : this.pairs?.of(source);
    const items = candidateItems(candidates);
    const paired = items.find(
      ({ value, refusal }) => refusal === undefined && value === found?.pair.target,
    );
    if (paired === undefined) return items;
    const notes = [paired.description, l10n.t('paired')];
    const description = notes.filter((note) => note !== undefined).join(' · ');
    return [{ ...paired, description }, ...items.filter((item) => item !== paired)];
  }

  private transportQuestion(draft: Draft): StepQuestion {
    const items: readonly PromptItem<Transport>[] = [
      {
        label: l10n.t('Passed descriptors'),
        value: 'fd',
        icon: 'plug',
        description: 'fd:',
        detail: l10n.t('A socket pair handed to both QEMUs; nothing on the file system'),
      },
      {
        label: l10n.t('UNIX socket'),
        value: 'unix',
        icon: 'file-symlink-file',
        description: 'unix:',
        detail: l10n.t('A socket in a directory that only you can enter'),
      },
    ];
    return {
      applies: () => true,
      ask: async (step) => {
        const answer = await this.prompts.pick({
          title: this.title(draft),
          placeholder: placeholder(l10n.t('How shall the guest travel?'), step),
          items,
          active: draft.transport,
          step,
        });
        return this.keep(draft, 'transport', answer);
      },
    };
  }

  private backendTransferQuestion(draft: Draft): StepQuestion {
    return {
      applies: () => this.offersBackendTransfer(draft),
      ask: async (step) => {
        const [source, target] = [this.isOn(draft.source), this.isOn(draft.target)];
        const both = (on: boolean): Draft['backendTransfer'] =>
          source === on && target === on ? 'as-is' : on ? 'on' : 'off';
        const item = (on: boolean): PromptItem<Draft['backendTransfer']> => ({
          label: on ? l10n.t('On for both sides') : l10n.t('Off for both sides'),
          value: both(on),
          description: both(on) === 'as-is' ? l10n.t('as it is') : sideNote(on, source, target),
          detail: on
            ? l10n.t('Open TAP devices and other back ends go over to the target as they are')
            : l10n.t('The target opens its own back ends'),
        });
        const answer = await this.prompts.pick({
          title: this.title(draft),
          placeholder: placeholder(l10n.t('Backend transfer'), step),
          items: source && target ? [item(true), item(false)] : orderedByUse(item, source, target),
          active: draft.backendTransfer,
          step,
        });
        return this.keep(draft, 'backendTransfer', answer);
      },
    };
  }

  private bandwidthQuestion(draft: Draft): StepQuestion {
    return {
      applies: () => this.advice(draft) !== undefined,
      ask: async (step) => {
        const advice = this.advice(draft);
        if (advice === undefined) return 'next';
        const { currentBytesPerSecond: current, suggestedBytesPerSecond: suggested } = advice;
        // One line of a picker is short: why it is slow stands with what is, the risk with what could be.
        const [why = '', ...risk] = advice.explanation.split(/(?<=\.) /);
        const answer = await this.prompts.pick<Bandwidth>({
          title: this.title(draft),
          placeholder: placeholder(l10n.t('How fast may it go?'), step),
          items: [
            {
              label: l10n.t('Keep {0}', formatRate(current)),
              value: 'keep',
              icon: 'dashboard',
              description: 'max-bandwidth',
              detail: why,
            },
            {
              label:
                suggested === 0n
                  ? l10n.t('No limit for this run')
                  : l10n.t('{0} for this run', formatRate(suggested)),
              value: 'suggested',
              icon: 'rocket',
              description: l10n.t('risks a longer pause'),
              detail: risk.join(' '),
            },
          ],
          active: draft.bandwidth,
          step,
        });
        return this.keep(draft, 'bandwidth', answer);
      },
    };
  }

  private keep<K extends DraftKey>(
    draft: Draft,
    key: K,
    answer: Draft[K] | typeof back | undefined,
  ): 'next' | typeof back | undefined {
    if (answer === undefined || answer === back) return answer;
    draft[key] = answer;
    return 'next';
  }

  private offersBackendTransfer({ source, target }: Draft): boolean {
    return [source, target].every((id) => {
      const snapshot = this.snapshotOf(id);
      return snapshot !== undefined && backendTransferOf(snapshot)?.kind === 'boolean';
    });
  }

  private isOn(id: MachineId | undefined): boolean {
    const snapshot = this.snapshotOf(id);
    const offer = snapshot && backendTransferOf(snapshot);
    return offer?.kind === 'boolean' && offer.enabled;
  }

  private advice({ source }: Draft): ReturnType<typeof bandwidthAdvice> {
    const facts = this.snapshotOf(source)?.facts;
    return facts && bandwidthAdvice(facts);
  }
}

interface Candidate {
  readonly snapshot: MachineSnapshot;
  readonly usable: boolean;
  readonly reason: string;
}

function candidateItems(candidates: readonly Candidate[]): readonly PromptItem<string>[] {
  const usable = candidates.filter((candidate) => candidate.usable);
  const others = candidates.filter((candidate) => !candidate.usable);
  return [
    ...usable.map(({ snapshot }) => machineItem(snapshot)),
    ...others.map(({ snapshot, reason }) => machineItem(snapshot, reason)),
  ];
}

/** The sides' present state first; where they differ, on first, for somebody wanted it. */
function orderedByUse<T>(item: (on: boolean) => T, source: boolean, target: boolean): T[] {
  return source || target ? [item(true), item(false)] : [item(false), item(true)];
}

function sideNote(on: boolean, source: boolean, target: boolean): string {
  if (source === target) return on ? l10n.t('now off') : l10n.t('now on');
  return source ? l10n.t('now on at the source only') : l10n.t('now on at the target only');
}

function placeholder(
  question: string,
  { number, total }: { number: number; total: number },
): string {
  return number === total ? l10n.t('{0} (Enter starts the migration)', question) : question;
}
