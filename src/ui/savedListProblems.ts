import type { Disposable } from '../qmp/emitter';
import type { MachineRegistry } from '../vm/registry';
import type { CommandRunner } from './command';
import type { Contribution } from './contribution';

/** Says once that the list of machines cannot be saved; the list itself goes on in memory. */
export class SavedListProblems implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'onProblem'>;
  private readonly commands: CommandRunner;
  private told = false;

  constructor(registry: Pick<MachineRegistry, 'onProblem'>, commands: CommandRunner) {
    this.registry = registry;
    this.commands = commands;
  }

  register(): Disposable {
    return this.registry.onProblem((error) => {
      this.commands.showError('list of machines', error, { quiet: this.told });
      this.told = true;
    });
  }
}
