import type { LogOutputChannel, Memento } from 'vscode';
import * as z from 'zod/mini';
import type { MachineStore, StoredMachine } from '../vm/registry';
import { StateKey } from './ids';

const currentVersion = 1;

const versioned = z.object({ version: z.int() });
const shape = z.object({
  version: z.literal(currentVersion),
  machines: z.array(z.object({ socketPath: z.string(), connect: z.boolean() })),
});

/** Keeps the remembered machines in `globalState`; a state that cannot be read is set aside. */
export class MementoMachineStore implements MachineStore {
  private readonly state: Memento;
  private readonly log: Pick<LogOutputChannel, 'warn'>;

  constructor(state: Memento, log: Pick<LogOutputChannel, 'warn'>) {
    this.state = state;
    this.log = log;
  }

  load(): readonly StoredMachine[] {
    const stored = this.state.get<unknown>(StateKey.machines);
    if (stored === undefined) return [];
    const parsed = shape.safeParse(stored);
    if (parsed.success) return parsed.data.machines;
    const { data } = versioned.safeParse(stored);
    this.log.warn(
      data !== undefined && data.version > currentVersion
        ? `The list of machines was written by a newer version of this extension (${data.version}).`
        : `The list of machines could not be read: ${z.prettifyError(parsed.error)}`,
      `It is kept under "${StateKey.damagedMachines}".`,
    );
    this.setAside(stored);
    return [];
  }

  async save(list: readonly StoredMachine[]): Promise<void> {
    const machines = list.map(({ socketPath, connect }) => ({ socketPath, connect }));
    await this.state.update(StateKey.machines, { version: currentVersion, machines });
  }

  private setAside(stored: unknown): void {
    this.state.update(StateKey.damagedMachines, stored).then(undefined, (error: unknown) => {
      this.log.warn('The unreadable list of machines could not be kept:', error);
    });
  }
}
