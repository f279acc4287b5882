import type { SettingsHistory } from '../../migration/settings/history';
import type { JsonValue } from '../../qmp/json';
import type { MachineId } from '../../vm/types';

/** The value that each parameter had before its last change of ours: offered as the way back. */
export class PreviousValues {
  private readonly values = new Map<string, JsonValue>();

  constructor(history: Pick<SettingsHistory, 'last' | 'onDidChange'>) {
    // For as long as the history lives, which ends with all else.
    history.onDidChange(() => {
      for (const { machineId, before } of history.last?.sides ?? []) {
        for (const [name, value] of Object.entries(before.parameters)) {
          if (value !== undefined) this.values.set(key(machineId, name), value);
        }
      }
    });
  }

  of(machineId: MachineId, name: string): JsonValue | undefined {
    return this.values.get(key(machineId, name));
  }
}

function key(machineId: MachineId, name: string): string {
  return `${machineId} ${name}`;
}
