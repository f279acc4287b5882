import { type Disposable, l10n } from 'vscode';
import { migrationTargets } from '../../migration/run/checks/candidates';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId, SettingId } from '../ids';
import { readSetting } from '../settings';
import { type MachinePicker, refuseUnlessReady } from './machinePicker';
import type { PairedMachines, PairPicker } from './pairPicker';
import type { PreflightList } from './preflightList';

/** The check before a migration, on demand. */
export class PreflightCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'machines'>;
  private readonly commands: CommandRunner;
  private readonly picker: MachinePicker;
  private readonly pairs: PairPicker;
  private readonly list: Pick<PreflightList, 'show'>;

  constructor(
    registry: Pick<MachineRegistry, 'machines'>,
    commands: CommandRunner,
    picker: MachinePicker,
    pairs: PairPicker,
    list: Pick<PreflightList, 'show'>,
  ) {
    this.registry = registry;
    this.commands = commands;
    this.picker = picker;
    this.pairs = pairs;
    this.list = list;
  }

  register(): Disposable {
    return this.commands.register(CommandId.preflight, (target) => this.check(target));
  }

  private async check(target: CommandTarget): Promise<void> {
    const pair = await this.sides(target);
    if (pair === undefined) return;
    await this.list.show(pair, {
      source: pair.source.id,
      target: pair.target.id,
      transport: readSetting(SettingId.transport),
      backendTransfer: 'as-is',
    });
  }

  /** The pair of the machine given; one without a pair is asked for its other side. */
  private async sides(target: CommandTarget): Promise<PairedMachines | undefined> {
    const { machineId } = target;
    if (machineId === undefined ? this.pairs.known.length > 0 : this.pairs.isPaired(machineId)) {
      return this.pairs.choose(target, l10n.t('Check Migration'));
    }
    const given = await this.picker.choose(target, {
      title: l10n.t('Check Migration: source'),
      refuse: refuseUnlessReady,
    });
    if (given === undefined) return undefined;
    // One that waits for a guest can only be the target.
    const isTarget = waits(given);
    const other = await this.picker.choose(
      {},
      {
        title: isTarget ? l10n.t('Check Migration: source') : l10n.t('Check Migration: target'),
        refuse: (snapshot) =>
          snapshot.id === given.id
            ? l10n.t('That is the other side.')
            : (refuseUnlessReady(snapshot) ??
              (isTarget ? undefined : this.targetRefusal(given, snapshot.id))),
      },
    );
    if (other === undefined) return undefined;
    return isTarget ? { source: other, target: given } : { source: given, target: other };
  }

  private targetRefusal(source: MachineHandle, id: string): string | undefined {
    const snapshots = this.registry.machines.map(({ snapshot }) => snapshot);
    const candidate = migrationTargets(source.snapshot, snapshots).find(
      ({ snapshot }) => snapshot.id === id,
    );
    return candidate === undefined || candidate.usable ? undefined : candidate.reason;
  }
}

function waits({ snapshot }: MachineHandle): boolean {
  return snapshot.facts?.runState.status === 'inmigrate';
}
