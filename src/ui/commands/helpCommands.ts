import { commands as vscodeCommands, Disposable, env, l10n, type LogOutputChannel } from 'vscode';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import { CommandId, ViewContainerId, WalkthroughId } from '../ids';
import type { MachinesProvider } from '../tree/machinesProvider';

/** Log, clipboard, settings, walkthrough. */
export class HelpCommands implements Contribution {
  private readonly commands: CommandRunner;
  private readonly provider: MachinesProvider;
  private readonly log: LogOutputChannel;
  private readonly extensionId: string;

  constructor(
    commands: CommandRunner,
    provider: MachinesProvider,
    log: LogOutputChannel,
    extensionId: string,
  ) {
    this.commands = commands;
    this.provider = provider;
    this.log = log;
    this.extensionId = extensionId;
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.showLog, () => this.log.show()),
      commands.register(CommandId.copyValue, (target) => this.copyValue(target)),
      commands.register(CommandId.copySocketPath, (target) => this.copyValue(target)),
      commands.register(CommandId.openSettings, async () => {
        await vscodeCommands.executeCommand(
          'workbench.action.openSettings',
          `${ViewContainerId.main}.`,
        );
      }),
      commands.register(CommandId.getStarted, async () => {
        await vscodeCommands.executeCommand(
          'workbench.action.openWalkthrough',
          `${this.extensionId}#${WalkthroughId.getStarted}`,
        );
      }),
    );
  }

  private async copyValue({ nodeId }: CommandTarget): Promise<void> {
    const node = nodeId === undefined ? undefined : this.provider.node(nodeId);
    if (node === undefined) throw new Error(l10n.t('That row is not shown any more.'));
    await env.clipboard.writeText(node.copyText ?? node.label);
  }
}
