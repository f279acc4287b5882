import { Disposable, l10n, TreeItemCheckboxState, type TreeView, window, workspace } from 'vscode';
import type { Runs } from '../../migration/run/runs';
import type { RunRecord } from '../../migration/run/types';
import { isFiltering, type TreeFilter } from '../../migration/view/filter';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { CommandRunner } from '../command';
import type { ContextKeys } from '../contextKeys';
import type { Contribution } from '../contribution';
import type { Discovery } from '../discovery';
import { ContextKey, SettingId, ViewId } from '../ids';
import { readSetting } from '../settings';
import { ChangeDecorations } from './changeDecorations';
import type { MachinesProvider } from './machinesProvider';
import type { NodeHandle } from './nodeHandle';

/** What a checkbox does; the box itself follows what QEMU says afterwards. */
export interface CapabilitySwitch {
  switchCapability(machine: MachineHandle, name: string, enabled: boolean): Promise<unknown>;
}

/** The tree view "Machines": badge, message, checkboxes, and watching only while it is looked at. */
export class MachinesView implements Contribution {
  private readonly registry: MachineRegistry;
  private readonly runs: Runs;
  private readonly provider: MachinesProvider;
  private readonly capabilities: CapabilitySwitch;
  private readonly commands: CommandRunner;
  private readonly contextKeys: ContextKeys;
  private readonly discovery: Discovery;
  private readonly watched = new Map<MachineId, { dispose(): void }>();
  private view: TreeView<NodeHandle> | undefined;
  private searched = false;
  private readonly openedRuns = new Set<number>();

  constructor(
    registry: MachineRegistry,
    runs: Runs,
    provider: MachinesProvider,
    capabilities: CapabilitySwitch,
    commands: CommandRunner,
    contextKeys: ContextKeys,
    discovery: Discovery,
  ) {
    this.registry = registry;
    this.runs = runs;
    this.provider = provider;
    this.capabilities = capabilities;
    this.commands = commands;
    this.contextKeys = contextKeys;
    this.discovery = discovery;
  }

  register(): Disposable {
    const view = window.createTreeView(ViewId.machines, {
      treeDataProvider: this.provider,
      showCollapseAll: true,
      manageCheckboxStateManually: true,
      canSelectMany: true,
    });
    this.view = view;
    const refresh = (): void => this.refresh(view);
    const tell = (): void => this.tell(view);
    refresh();
    tell();
    this.searchOnce(view);
    return Disposable.from(
      view,
      view.onDidChangeVisibility(() => {
        refresh();
        this.searchOnce(view);
      }),
      view.onDidChangeCheckboxState(({ items }) => {
        for (const [handle, state] of items) {
          void this.toggle(handle, state === TreeItemCheckboxState.Checked);
        }
      }),
      view.onDidExpandElement(({ element }) => this.provider.setOpen(element, true)),
      view.onDidCollapseElement(({ element }) => this.provider.setOpen(element, false)),
      this.registry.onDidChange(refresh),
      this.runs.onDidChange(refresh),
      this.runs.onDidChange((record) => void this.openRows(record)),
      this.provider.onDidChangeFilter(tell),
      this.provider.onDidUpdate(tell),
      workspace.onDidGrantWorkspaceTrust(tell),
      new ChangeDecorations(this.provider).register(),
      { dispose: () => this.stopWatching() },
    );
  }

  /** The rows that are selected. */
  get selection(): readonly NodeHandle[] {
    return this.view?.selection ?? [];
  }

  /** Shows a machine's row, open and selected, in the view if it is visible. */
  async reveal(id: MachineId): Promise<void> {
    this.provider.flush();
    const root = this.provider.rootOf(id);
    if (root === undefined || this.view?.visible !== true) return;
    await this.view.reveal(root, { select: true, focus: false, expand: true });
  }

  /** Opens the rows of a run when it begins: VS Code keeps a row closed that had nothing below it. */
  private async openRows({ id, request, outcome }: RunRecord): Promise<void> {
    if (outcome !== undefined || this.openedRuns.has(id)) return;
    this.openedRuns.add(id);
    this.provider.flush();
    const root = this.provider.rootOf(request.source);
    const rows = root === undefined ? [] : this.provider.getChildren(root);
    const row = rows.find(({ nodeId }) => this.provider.node(nodeId)?.kind === 'migration');
    if (row === undefined || this.view?.visible !== true) return;
    // It may have gone away before VS Code came to it.
    await Promise.resolve(
      this.view.reveal(row, { select: false, focus: false, expand: true }),
    ).catch(() => undefined);
  }

  private toggle(handle: NodeHandle, enabled: boolean): Promise<void> {
    return this.commands.run(`checkbox ${handle.nodeId}`, async () => {
      try {
        const machine = this.registry.get(handle.machineId);
        if (machine !== undefined && handle.subject !== undefined) {
          await this.capabilities.switchCapability(machine, handle.subject, enabled);
        }
      } finally {
        // Whatever was clicked, the box shows what QEMU says; what changed is drawn anyway.
        this.provider.flush();
        if (this.provider.node(handle.nodeId)?.checked !== enabled) this.provider.redraw(handle);
      }
    });
  }

  private refresh(view: TreeView<NodeHandle>): void {
    const { machines } = this.registry;
    const active = new Set(machines.flatMap(({ id }) => this.runs.active(id)?.record.id ?? []));
    const badge =
      active.size === 0
        ? undefined
        : {
            value: active.size,
            tooltip:
              active.size === 1
                ? l10n.t('1 migration is running')
                : l10n.t('{0} migrations are running', active.size),
          };
    if (view.badge?.value !== badge?.value) view.badge = badge;
    this.contextKeys.set(ContextKey.migrating, active.size > 0);
    this.contextKeys.set(
      ContextKey.connected,
      machines.some(({ snapshot }) => snapshot.state.kind === 'ready'),
    );
    this.watch(view.visible ? machines.map(({ id }) => id) : []);
  }

  /** Says above the rows why some of them are not there, and what cannot be done. */
  private tell(view: TreeView<NodeHandle>): void {
    const { filter } = this.provider;
    const filtering = isFiltering(filter);
    this.contextKeys.set(ContextKey.filtered, filtering);
    this.contextKeys.set(ContextKey.changedOnly, filter.changedOnly);
    const sentences: string[] = [];
    if (filtering) {
      const found = this.provider.settingCount > 0;
      sentences.push(found ? filterText(filter) : nothingFoundText(filter));
    }
    if (this.registry.machines.length > 0 && !workspace.isTrusted) {
      sentences.push(l10n.t('This workspace is not trusted: you can look, but not migrate.'));
    }
    const message = sentences.join('\n');
    if ((view.message ?? '') !== message) view.message = message;
  }

  /** Holds a watch on exactly these machines. */
  private watch(ids: readonly MachineId[]): void {
    for (const [id, watch] of this.watched) {
      if (ids.includes(id)) continue;
      watch.dispose();
      this.watched.delete(id);
    }
    for (const id of ids) {
      const machine = this.watched.has(id) ? undefined : this.registry.get(id);
      if (machine !== undefined) this.watched.set(id, machine.watch());
    }
  }

  private stopWatching(): void {
    this.watch([]);
  }

  private searchOnce(view: TreeView<NodeHandle>): void {
    if (this.searched || !view.visible || !readSetting(SettingId.discoveryEnabled)) return;
    this.searched = true;
    void this.discovery.search();
  }
}

function filterText({ text, changedOnly }: TreeFilter): string {
  const words = text.trim();
  if (words === '') return l10n.t('Changed settings only');
  return changedOnly
    ? l10n.t('Settings with "{0}" · changed only', words)
    : l10n.t('Settings with "{0}"', words);
}

function nothingFoundText({ text, changedOnly }: TreeFilter): string {
  const words = text.trim();
  if (words === '') return l10n.t('No setting is changed.');
  return changedOnly
    ? l10n.t('No changed setting matches "{0}".', words)
    : l10n.t('No setting matches "{0}".', words);
}
