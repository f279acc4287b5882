import type { LogOutputChannel } from 'vscode';
import type { MachineRegistry } from '../vm/registry';
import type { ContextKeys } from './contextKeys';
import { ContextKey } from './ids';
import type { Prompts } from './prompts';

/** Searches for running QEMUs and tells the empty view how that went. */
export class Discovery {
  private readonly registry: MachineRegistry;
  private readonly contextKeys: ContextKeys;
  private readonly prompts: Prompts;
  private readonly log: LogOutputChannel;

  constructor(
    registry: MachineRegistry,
    contextKeys: ContextKeys,
    prompts: Prompts,
    log: LogOutputChannel,
  ) {
    this.registry = registry;
    this.contextKeys = contextKeys;
    this.prompts = prompts;
    this.log = log;
    contextKeys.set(ContextKey.discovery, 'not-searched');
  }

  /** Whether the search could be made. Never rejects. */
  async search(): Promise<boolean> {
    this.contextKeys.set(ContextKey.discovery, 'searching');
    try {
      await this.prompts.progress({ title: '', where: 'view' }, () => this.registry.discover());
      this.contextKeys.set(ContextKey.discovery, 'searched');
      return true;
    } catch (error) {
      this.log.error('Search for running QEMUs:', error instanceof Error ? error : String(error));
      this.contextKeys.set(ContextKey.discovery, 'failed');
      return false;
    }
  }
}
