import {
  Disposable,
  EventEmitter,
  FileDecoration,
  type FileDecorationProvider,
  l10n,
  ThemeColor,
  Uri,
  window,
} from 'vscode';
import type { NodeKind, ViewNode } from '../../migration/view/nodes';
import type { Contribution } from '../contribution';
import type { MachinesProvider } from './machinesProvider';

/** Of nobody else, so that nobody else decorates our rows, nor we theirs. */
const scheme = 'qemu-migration-row';

/** Not capabilities: their checkbox tells it, and VS Code would want an icon that takes room. */
const decorated: ReadonlySet<NodeKind> = new Set([
  'parameters',
  'parameter-group',
  'parameter',
  'capabilities',
]);

/** By what a row that can be marked as changed is known to VS Code. */
export function changeResource({ id, kind }: ViewNode): Uri | undefined {
  return decorated.has(kind) ? Uri.from({ scheme, path: `/${id}` }) : undefined;
}

/**
 * Marks settings that were changed, and the rows above them with their number. VS Code draws
 * decorations apart from rows: a row above is not drawn again, with all that is below it, when one
 * value changes.
 */
export class ChangeDecorations implements FileDecorationProvider, Contribution {
  private readonly provider: Pick<MachinesProvider, 'node' | 'onDidUpdate'>;
  private readonly changes = new EventEmitter<Uri[]>();
  /** What VS Code was told, by row. */
  private readonly told = new Map<string, number>();

  readonly onDidChangeFileDecorations = this.changes.event;

  constructor(provider: Pick<MachinesProvider, 'node' | 'onDidUpdate'>) {
    this.provider = provider;
  }

  register(): Disposable {
    return Disposable.from(
      window.registerFileDecorationProvider(this),
      this.provider.onDidUpdate(() => this.update()),
      this.changes,
    );
  }

  provideFileDecoration(uri: Uri): FileDecoration | undefined {
    if (uri.scheme !== scheme) return undefined;
    const id = uri.path.slice(1);
    const node = this.provider.node(id);
    const count = node === undefined ? 0 : changesIn(node);
    this.told.set(id, count);
    if (count === 0) return undefined;
    const decoration =
      node?.children.length === 0
        ? new FileDecoration(undefined, l10n.t('Changed from the default'))
        : new FileDecoration(
            // A badge has room for two characters.
            String(Math.min(count, 99)),
            count === 1 ? l10n.t('1 changed') : l10n.t('{0} changed', count),
          );
    decoration.color = new ThemeColor('gitDecoration.modifiedResourceForeground');
    return decoration;
  }

  /** Tells VS Code of rows whose mark is another than it knows; those not shown now may come back. */
  private update(): void {
    const changed = [...this.told].flatMap(([id, count]) => {
      const node = this.provider.node(id);
      return node === undefined || changesIn(node) === count
        ? []
        : Uri.from({ scheme, path: `/${id}` });
    });
    if (changed.length > 0) this.changes.fire(changed);
  }
}

function changesIn(node: ViewNode): number {
  const own = node.kind !== 'backend-transfer' && node.tags.includes('changed') ? 1 : 0;
  return node.children.reduce((sum, child) => sum + changesIn(child), own);
}
