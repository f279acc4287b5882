import { l10n } from 'vscode';
import { pairBackendTransfer, switchRequests } from '../../migration/pair/backendTransferPair';
import type { SettingsHistory } from '../../migration/settings/history';
import type { MachineId } from '../../vm/types';
import type { Prompts } from '../prompts';
import type { PairedMachines, PairPicker } from './pairPicker';

/** Backend transfer of a pair: one switch for both sides, each under its own name. */
export class PairedBackendTransfer {
  private readonly picker: Pick<PairPicker, 'isPaired' | 'ofGiven'>;
  private readonly history: Pick<SettingsHistory, 'perform'>;
  private readonly prompts: Prompts;

  constructor(
    picker: Pick<PairPicker, 'isPaired' | 'ofGiven'>,
    history: Pick<SettingsHistory, 'perform'>,
    prompts: Prompts,
  ) {
    this.picker = picker;
    this.history = history;
    this.prompts = prompts;
  }

  /**
   * Switches the pair that this machine is in: off where it is on on both sides, else on. One step
   * to undo; on a refusal both sides stay as they were.
   *
   * @returns whether the machine is in a pair; if not, nothing was done
   */
  async toggle(id: MachineId): Promise<boolean> {
    if (!this.picker.isPaired(id)) return false;
    const pair = await this.picker.ofGiven(id);
    // Told already: a pair is never left half switched.
    if (pair === undefined) return true;
    const { source, target } = pair;
    for (const machine of [source, target]) machine.connection();
    const on = pairBackendTransfer(source.snapshot, target.snapshot)?.state !== 'on';
    const both = l10n.t('{0} and {1}', source.snapshot.label, target.snapshot.label);
    await this.history.perform(
      on ? l10n.t('backend transfer on, {0}', both) : l10n.t('backend transfer off, {0}', both),
      switchRequests(source, target, on),
    );
    if (on) this.tellWhatIsMissing(pair);
    return true;
  }

  /** Says nothing where nothing is. */
  private tellWhatIsMissing({ source, target }: PairedMachines): void {
    const problems = pairBackendTransfer(source.snapshot, target.snapshot)?.problems ?? [];
    if (problems.length === 0) return;
    void this.prompts.message(
      'warning',
      l10n.t(
        'Backend transfer is on for {0} and {1}, but cannot work yet. {2}',
        source.snapshot.label,
        target.snapshot.label,
        problems.join(' '),
      ),
    );
  }
}
