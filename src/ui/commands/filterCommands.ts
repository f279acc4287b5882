import { Disposable, l10n } from 'vscode';
import { noFilter, type TreeFilter } from '../../migration/view/filter';
import type { CommandRunner } from '../command';
import type { Contribution } from '../contribution';
import { CommandId } from '../ids';
import type { Prompts } from '../prompts';

/** A tree that can show a part of its settings only. */
export interface FilteredTree {
  readonly filter: TreeFilter;
  setFilter(filter: TreeFilter): void;
}

/** Finding settings in the tree. */
export class FilterCommands implements Contribution {
  private readonly tree: FilteredTree;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;

  constructor(tree: FilteredTree, commands: CommandRunner, prompts: Prompts) {
    this.tree = tree;
    this.commands = commands;
    this.prompts = prompts;
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.filterSettings, () => this.find()),
      commands.register(CommandId.clearFilter, () => this.tree.setFilter(noFilter)),
      commands.register(CommandId.showChangedOnly, () => this.change({ changedOnly: true })),
      commands.register(CommandId.showAllSettings, () => this.change({ changedOnly: false })),
    );
  }

  /** Filters while one types. Enter keeps the filter, Escape brings the one before back. */
  private async find(): Promise<void> {
    const former = this.tree.filter.text;
    const kept = await this.prompts.input({
      title: l10n.t('Find Setting'),
      prompt: l10n.t('Words of a name, a value or a summary; rows are filtered as you type'),
      placeholder: l10n.t('Such as "multifd", "bandwidth" or "tls"'),
      value: former,
      onType: (text) => this.change({ text }),
      validate: () => undefined,
      submit: () => Promise.resolve(undefined),
      // One may click and open rows meanwhile.
      stays: true,
    });
    if (!kept) this.change({ text: former });
  }

  private change(part: Partial<TreeFilter>): void {
    this.tree.setFilter({ ...this.tree.filter, ...part });
  }
}
