import type { Event, Memento } from 'vscode';
import type { DeskSlot } from '../migration/liveUpdate/deskSlot';
import type { Pairs } from '../migration/pair/pairs';
import type { Journals } from '../migration/run/journal/journals';
import type { Runs } from '../migration/run/runs';
import type { SettingsHistory } from '../migration/settings/history';
import type { MachineRegistry } from '../vm/registry';
import type { MachineId, MachineState } from '../vm/types';
import type { Prompts } from './prompts';
import type { PromptsSlot } from './promptsSlot';
import type { MachinesProvider } from './tree/machinesProvider';

/** A machine as other extensions may see it. */
export interface MachineSummary {
  readonly id: MachineId;
  readonly label: string;
  readonly socketPath: string;
  readonly state: MachineState['kind'];
  /** QEMU's version, `11.1.3`; `undefined` before the first connection. */
  readonly qemuVersion: string | undefined;
}

/** What `activate` returns: reading only. `version` changes when something in it is taken away. */
export interface QemuMigrationApi {
  readonly version: 1;
  machines(): readonly MachineSummary[];
  readonly onDidChangeMachines: Event<void>;
  /** Only in an extension host that runs this extension's own tests. */
  readonly forTests?: TestAccess;
}

export interface TestAccess {
  readonly registry: MachineRegistry;
  readonly runs: Runs;
  readonly desk: DeskSlot;
  readonly journals: Journals;
  readonly pairs: Pairs;
  readonly history: SettingsHistory;
  readonly provider: MachinesProvider;
  readonly globalState: Memento;
  readonly prompts: PromptsSlot;
  readonly realPrompts: Prompts;
}

export function summaries(registry: Pick<MachineRegistry, 'machines'>): MachineSummary[] {
  return registry.machines.map(({ snapshot }) => {
    const { id, label, socketPath, state, facts } = snapshot;
    const version = facts && `${facts.version.major}.${facts.version.minor}.${facts.version.micro}`;
    return { id, label, socketPath, state: state.kind, qemuVersion: version };
  });
}
