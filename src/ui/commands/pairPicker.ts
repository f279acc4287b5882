import { commands as vscodeCommands, l10n } from 'vscode';
import type { PairRole, Pairs } from '../../migration/pair/pairs';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { CommandTarget } from '../command';
import { CommandId } from '../ids';
import { back, type PromptItem, type Prompts } from '../prompts';

/** A pair whose machines are both in the list. */
export interface PairedMachines {
  readonly source: MachineHandle;
  readonly target: MachineHandle;
}

/** A pair as one of its machines sees it. */
export interface PairedSide extends PairedMachines {
  readonly role: PairRole;
  readonly here: MachineHandle;
  readonly other: MachineHandle;
}

/** Finds the pair that a command is about: that of the machine given, else the one that the user picks. */
export class PairPicker {
  private readonly registry: Pick<MachineRegistry, 'get'>;
  private readonly pairs: Pick<Pairs, 'all' | 'of'>;
  private readonly prompts: Prompts;

  constructor(
    registry: Pick<MachineRegistry, 'get'>,
    pairs: Pick<Pairs, 'all' | 'of'>,
    prompts: Prompts,
  ) {
    this.registry = registry;
    this.pairs = pairs;
    this.prompts = prompts;
  }

  /** The pairs whose machines are both in the list. */
  get known(): readonly PairedMachines[] {
    return this.pairs.all.flatMap(({ source }) => this.of(source) ?? []);
  }

  /** The pair that a machine is in; `undefined` as well while its other machine is not in the list. */
  of(id: MachineId): PairedSide | undefined {
    const found = this.pairs.of(id);
    const source = found && this.registry.get(found.pair.source);
    const target = found && this.registry.get(found.pair.target);
    if (found === undefined || source === undefined || target === undefined) return undefined;
    const isSource = found.role === 'source';
    return {
      source,
      target,
      role: found.role,
      here: isSource ? source : target,
      other: isSource ? target : source,
    };
  }

  /** Whether the machine has a partner, in the list or not. */
  isPaired(id: MachineId): boolean {
    return this.pairs.of(id) !== undefined;
  }

  /** The pair of the machine given, else the one picked; says why there is none. */
  async choose({ machineId }: CommandTarget, title: string): Promise<PairedMachines | undefined> {
    if (machineId !== undefined) return this.ofGiven(machineId);
    const { known } = this;
    if (known.length === 0) {
      await this.offerPairing(l10n.t('No two machines are a pair yet.'), {});
      return undefined;
    }
    const chosen = await this.prompts.pick({
      title,
      placeholder: l10n.t('Which pair?'),
      items: known.map(pairItem),
    });
    return chosen === back ? undefined : chosen;
  }

  /** Like `of`, but says why there is none. */
  async ofGiven(machineId: MachineId): Promise<PairedSide | undefined> {
    const side = this.of(machineId);
    if (side !== undefined) return side;
    const found = this.pairs.of(machineId);
    const label = this.registry.get(machineId)?.snapshot.label ?? machineId;
    if (found === undefined) {
      await this.offerPairing(l10n.t('{0} is not in a pair.', label), { machineId });
      return undefined;
    }
    const missing = found.role === 'source' ? found.pair.target : found.pair.source;
    const connect = l10n.t('Connect');
    const answer = await this.prompts.message(
      'warning',
      l10n.t('The other machine of the pair, at {0}, is not in the list.', missing),
      [connect],
    );
    if (answer === connect) await vscodeCommands.executeCommand(CommandId.connect, missing);
    return undefined;
  }

  private async offerPairing(text: string, target: CommandTarget): Promise<void> {
    const pair = l10n.t('Pair with...');
    const answer = await this.prompts.message('information', text, [pair]);
    if (answer === pair) await vscodeCommands.executeCommand(CommandId.pair, target);
  }
}

/** One pair in a picker. */
export function pairItem<T extends PairedMachines>(pair: T): PromptItem<T> {
  const { source, target } = pair;
  return {
    label: pairLabel(pair),
    value: pair,
    icon: 'arrow-swap',
    detail: `${source.snapshot.socketPath} → ${target.snapshot.socketPath}`,
  };
}

/** `web-1 → web-1-new`: the guest goes that way. */
export function pairLabel({ source, target }: PairedMachines): string {
  return `${source.snapshot.label} → ${target.snapshot.label}`;
}
