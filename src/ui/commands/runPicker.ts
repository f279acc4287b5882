import { l10n } from 'vscode';
import type { Run, Runs } from '../../migration/run/runs';
import type { RunRecord } from '../../migration/run/types';
import type { MachineRegistry } from '../../vm/registry';
import type { CommandTarget } from '../command';
import type { Prompts } from '../prompts';
import type { MachinePicker } from './machinePicker';

/** Finds the run that a command is about: that of the machine given, the only one, else the one that the user picks. */
export class RunPicker {
  private readonly registry: Pick<MachineRegistry, 'machines'>;
  private readonly runs: Pick<Runs, 'active' | 'last'>;
  private readonly prompts: Prompts;
  private readonly picker: MachinePicker;

  constructor(
    registry: Pick<MachineRegistry, 'machines'>,
    runs: Pick<Runs, 'active' | 'last'>,
    prompts: Prompts,
    picker: MachinePicker,
  ) {
    this.registry = registry;
    this.runs = runs;
    this.prompts = prompts;
    this.picker = picker;
  }

  /** A run under way; says so where there is none. */
  async active(target: CommandTarget, title: string): Promise<Run | undefined> {
    const all = new Set(this.registry.machines.flatMap(({ id }) => this.runs.active(id) ?? []));
    const [only] = all;
    if (target.machineId === undefined && all.size === 1) return only;
    const machine = await this.picker.choose(target, {
      title,
      refuse: ({ id }) =>
        this.runs.active(id) === undefined ? l10n.t('No migration is running.') : undefined,
    });
    if (machine === undefined) return undefined;
    const run = this.runs.active(machine.id);
    if (run === undefined) {
      void this.prompts.message(
        'information',
        l10n.t('{0} is in no migration; nothing was done.', machine.snapshot.label),
      );
    }
    return run;
  }

  /** The last run of a machine that has ended. */
  async ended(target: CommandTarget, title: string): Promise<RunRecord | undefined> {
    const machine = await this.picker.choose(target, {
      title,
      refuse: ({ id }) =>
        this.runs.last(id)?.outcome === undefined
          ? l10n.t('No migration of it has ended in this window.')
          : undefined,
    });
    return machine && this.runs.last(machine.id);
  }
}
