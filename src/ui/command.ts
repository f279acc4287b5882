import { CancellationError, commands, type Disposable, l10n, type LogOutputChannel } from 'vscode';
import { QmpAbortedError } from '../qmp/errors';
import { explain, explanationText } from '../migration/view/words';
import type { MachineId } from '../vm/types';
import type { CommandId } from './ids';
import type { Prompts } from './prompts';

/** What a command is about. Ids only: what they stand for is asked of the registry when needed. */
export interface CommandTarget {
  readonly machineId?: MachineId;
  /** The tree row that it was called from. */
  readonly nodeId?: string;
  /** Name of the parameter, capability or device. */
  readonly subject?: string;
}

/** `all` has every row that was selected when a command was called from one of them. */
export type CommandBody = (target: CommandTarget, all: readonly CommandTarget[]) => unknown;

/** The one wrapper of all commands: logs them, and puts what they throw into one message. */
export class CommandRunner {
  private readonly log: LogOutputChannel;
  private readonly prompts: Prompts;

  constructor(log: LogOutputChannel, prompts: Prompts) {
    this.log = log;
    this.prompts = prompts;
  }

  /** Registers a command that accepts a tree row, or several, a machine's id, or nothing. */
  register(id: CommandId, body: CommandBody): Disposable {
    return commands.registerCommand(id, (argument?: unknown, selected?: unknown) => {
      const target = readTarget(argument);
      return this.run(id, () => body(target, readTargets(target, selected)));
    });
  }

  /** Runs an action that has no command of its own, such as a checkbox, in the same way. */
  async run(name: string, action: () => unknown): Promise<void> {
    const startedAt = performance.now();
    this.log.debug(`${name} begins`);
    let end = 'done';
    try {
      await action();
    } catch (error) {
      end = isCancellation(error) ? 'cancelled' : 'failed';
      if (end === 'failed') this.showError(name, error);
    }
    this.log.debug(`${name} ${end} after ${Math.round(performance.now() - startedAt)} ms`);
  }

  /** One message in plain words; the log has the rest. Quiet: the log only. */
  showError(name: string, error: unknown, { quiet = false } = {}): void {
    this.log.error(`${name}:`, error instanceof Error ? error : String(error));
    if (quiet) return;
    const showLog = l10n.t('Show Log');
    void this.prompts
      .message('error', explanationText(explain(error)), [showLog])
      .then((button) => {
        if (button === showLog) this.log.show();
      });
  }
}

function isCancellation(error: unknown): boolean {
  return error instanceof CancellationError || error instanceof QmpAbortedError;
}

/** VS Code hands over the row and, where several are selected and it is one of them, all of them. */
function readTargets(target: CommandTarget, selected: unknown): readonly CommandTarget[] {
  if (!Array.isArray(selected) || selected.length === 0) return [target];
  const targets = selected.map(readTarget);
  const known = new Set(targets.map(({ nodeId }) => nodeId));
  return known.has(target.nodeId) ? targets : [target];
}

function readTarget(argument: unknown): CommandTarget {
  if (typeof argument === 'string') return { machineId: argument };
  if (typeof argument !== 'object' || argument === null) return {};
  const text = (key: string): string | undefined => {
    const value: unknown = Reflect.get(argument, key);
    return typeof value === 'string' ? value : undefined;
  };
  const [machineId, nodeId, subject] = [text('machineId'), text('nodeId'), text('subject')];
  return {
    ...(machineId !== undefined && { machineId }),
    ...(nodeId !== undefined && { nodeId }),
    ...(subject !== undefined && { subject }),
  };
}
