import { l10n } from 'vscode';
import { type Pair, type Pairs, suggestPartner } from '../../migration/pair/pairs';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineId, MachineSnapshot } from '../../vm/types';
import { back, type Back, type PromptItem, type Prompts, type Step } from '../prompts';
import { machineItem, refuseUnlessReady } from './machinePicker';
import { askSteps } from './steps';

interface Draft {
  machine?: MachineId;
  other?: MachineId;
  pair?: Pair;
}

/** Asks which two machines are meant, and which of them is the source. */
export class PairQuestions {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly pairs: Pick<Pairs, 'of'>;
  private readonly prompts: Prompts;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get'>,
    pairs: Pick<Pairs, 'of'>,
    prompts: Prompts,
  ) {
    this.registry = registry;
    this.pairs = pairs;
    this.prompts = prompts;
  }

  /** A new pair; machines that are given are not asked for. `undefined`: the user left. */
  async ask(given?: MachineId, givenOther?: MachineId): Promise<Pair | undefined> {
    const draft: Draft = {};
    if (given !== undefined) draft.machine = given;
    if (givenOther !== undefined) draft.other = givenOther;
    const title = (): string => {
      const label = this.labelOf(draft.machine);
      return label === undefined ? l10n.t('Pair Machines') : l10n.t('Pair {0} with', label);
    };
    const answered = await askSteps([
      {
        applies: () => given === undefined,
        ask: async (step) => {
          const items = this.machineItems(undefined);
          const placeholder = l10n.t('Which machine?');
          const active = draft.machine;
          return keep(
            await this.prompts.pick({
              title: l10n.t('Pair Machines'),
              placeholder,
              items,
              active,
              step,
            }),
            (answer) => (draft.machine = answer),
          );
        },
      },
      {
        applies: () => givenOther === undefined,
        ask: async (step) => {
          const answer = await this.askPartner(draft.machine, draft.other, title(), step);
          return keep(answer, (other) => (draft.other = other));
        },
      },
      {
        applies: () => draft.other !== undefined && this.directionOf(draft) === 'unclear',
        ask: async (step) =>
          keep(await this.askDirection(draft, step), (pair) => (draft.pair = pair)),
      },
    ]);
    if (!answered) return undefined;
    const known = this.directionOf(draft);
    return known === 'unclear' ? draft.pair : known;
  }

  /** The other machine for something to be done with two. */
  askPartner(
    machine: MachineId | undefined,
    active: MachineId | undefined,
    title: string,
    step?: Step,
  ): Promise<MachineId | Back | undefined> {
    const items = this.machineItems(machine);
    if (items.every(({ refusal }) => refusal !== undefined)) {
      return this.tellNobody(items[0], machine);
    }
    return this.prompts.pick({
      title,
      placeholder: l10n.t('Which is the other machine?'),
      items,
      active,
      ...(step && { step }),
    });
  }

  private async tellNobody(
    first: PromptItem<string> | undefined,
    machine: MachineId | undefined,
  ): Promise<undefined> {
    const label = this.labelOf(machine) ?? l10n.t('this machine');
    await this.prompts.message(
      'information',
      first?.refusal === undefined
        ? l10n.t('There is no machine beside {0}. Connect to the other QEMU first.', label)
        : l10n.t('{0}: {1}', first.label, first.refusal),
    );
    return undefined;
  }

  /** All machines but this one: the one that fits best first, those that cannot be taken last. */
  private machineItems(machine: MachineId | undefined): readonly PromptItem<string>[] {
    const snapshots = this.registry.machines.map(({ snapshot }) => snapshot);
    const own = snapshots.find(({ id }) => id === machine);
    const best = own && suggestPartner(own, snapshots);
    const rank = ({ value, refusal }: PromptItem<string>): number =>
      value === best ? 0 : refusal === undefined ? 1 : 2;
    return snapshots
      .filter(({ id }) => id !== machine)
      .map((snapshot) => this.item(snapshot, snapshot.id === best))
      .sort((a, b) => rank(a) - rank(b));
  }

  private item(snapshot: MachineSnapshot, best: boolean): PromptItem<string> {
    const item = machineItem(snapshot, refuseUnlessReady(snapshot));
    const found = this.pairs.of(snapshot.id);
    const other = found && (found.role === 'source' ? found.pair.target : found.pair.source);
    const notes = [
      item.description,
      best ? l10n.t('the same machine') : undefined,
      other === undefined ? undefined : l10n.t('paired with {0}', this.labelOf(other) ?? other),
    ];
    return { ...item, description: notes.filter((note) => note !== undefined).join(' · ') };
  }

  /** The one that waits for a migration is the target. */
  private directionOf({ machine, other }: Draft): Pair | 'unclear' {
    if (machine === undefined || other === undefined) return 'unclear';
    const [waits, otherWaits] = [this.waits(machine), this.waits(other)];
    if (waits === otherWaits) return 'unclear';
    return waits ? { source: other, target: machine } : { source: machine, target: other };
  }

  private askDirection(
    { machine = '', other = '', pair }: Draft,
    step: Step,
  ): Promise<Pair | Back | undefined> {
    const item = (source: MachineId, target: MachineId): PromptItem<Pair> => ({
      label: l10n.t('{0} → {1}', this.labelOf(source) ?? source, this.labelOf(target) ?? target),
      value: { source, target },
      icon: 'arrow-right',
      detail: l10n.t('{0} is the source', this.labelOf(source) ?? source),
    });
    return this.prompts.pick({
      title: l10n.t('Pair Machines'),
      placeholder: this.waits(machine)
        ? l10n.t('Both wait for a migration. Which way will the guest go?')
        : l10n.t('Neither waits for a migration. Which way will the guest go?'),
      items:
        pair?.source === other
          ? [item(other, machine), item(machine, other)]
          : [item(machine, other), item(other, machine)],
      step,
    });
  }

  private waits(id: MachineId): boolean {
    return this.registry.get(id)?.snapshot.facts?.runState.status === 'inmigrate';
  }

  private labelOf(id: MachineId | undefined): string | undefined {
    return id === undefined ? undefined : this.registry.get(id)?.snapshot.label;
  }
}

function keep<T extends string | object>(
  answer: T | Back | undefined,
  use: (answer: T) => void,
): 'next' | Back | undefined {
  if (answer === undefined || answer === back) return answer;
  use(answer);
  return 'next';
}
