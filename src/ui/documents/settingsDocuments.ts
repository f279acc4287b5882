import {
  commands,
  Disposable,
  EventEmitter,
  l10n,
  type TextDocumentContentProvider,
  Uri,
  workspace,
} from 'vscode';
import * as z from 'zod/mini';
import { settingsDocument } from '../../migration/pair/document';
import { planProfile } from '../../migration/profiles/apply';
import type { Profile } from '../../migration/profiles/types';
import { withChange } from '../../migration/settings/settingsState';
import type { MachineRegistry, RegistryChange } from '../../vm/registry';
import type { MachineId, MachineSnapshot, VmFacts } from '../../vm/types';
import type { Contribution } from '../contribution';
import type { ProfileLibrary } from '../profiles/profileLibrary';

/** The scheme of our read-only documents. */
const settingsScheme = 'qemu-migration';

/** Changes that follow each other within this time are shown together. */
const mergeMs = 100;

const shownShape = z.object({
  machine: z.string(),
  /** As it would be with this profile, instead of as it is. */
  profile: z.optional(
    z.object({
      origin: z.enum(['builtin', 'file']),
      name: z.string(),
      side: z.enum(['source', 'target']),
    }),
  ),
});
const subjectShape = z.object({ shown: shownShape, beside: shownShape });

/** A machine's settings as they are, or as they would be with a profile. */
export type Shown = z.infer<typeof shownShape>;
type Subject = z.infer<typeof subjectShape>;

interface OpenDocument {
  readonly uri: Uri;
  readonly subject: Subject;
  text: string | undefined;
  /** What a machine was when it was last there. */
  readonly lastKnown: Map<MachineId, MachineSnapshot>;
}

interface DiffOptions {
  readonly preserveFocus?: boolean;
}

/** Settings as read-only documents that follow QEMU, for VS Code's own diff editor. */
export class SettingsDocuments implements TextDocumentContentProvider, Contribution {
  private readonly registry: Pick<MachineRegistry, 'get' | 'onDidChange'>;
  private readonly library: Pick<ProfileLibrary, 'find' | 'onDidChange'>;
  private readonly changes = new EventEmitter<Uri>();
  private readonly open = new Map<string, OpenDocument>();
  private readonly stale = new Set<OpenDocument>();
  private timer: NodeJS.Timeout | undefined;

  readonly onDidChange = this.changes.event;

  constructor(
    registry: Pick<MachineRegistry, 'get' | 'onDidChange'>,
    library: Pick<ProfileLibrary, 'find' | 'onDidChange'>,
  ) {
    this.registry = registry;
    this.library = library;
  }

  register(): Disposable {
    return Disposable.from(
      workspace.registerTextDocumentContentProvider(settingsScheme, this),
      workspace.onDidCloseTextDocument(({ uri }) => this.forget(uri)),
      this.registry.onDidChange((change) => this.follow(change)),
      this.library.onDidChange(() =>
        this.markStale(({ beside, shown }) => hasProfile(shown, beside)),
      ),
      this.changes,
      { dispose: () => clearTimeout(this.timer) },
    );
  }

  /** Opens the diff editor, the first on the left. */
  async showDiff(
    left: Shown,
    right: Shown,
    title: string,
    { preserveFocus = false }: DiffOptions = {},
  ): Promise<void> {
    await commands.executeCommand(
      'vscode.diff',
      this.uri({ shown: left, beside: right }),
      this.uri({ shown: right, beside: left }),
      title,
      { preserveFocus },
    );
  }

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const document = this.enter(uri);
    if (document === undefined) return `// ${l10n.t('There is nothing to show here.')}\n`;
    const text = await this.render(document);
    document.text = text;
    return text;
  }

  private uri(subject: Subject): Uri {
    const { machine, profile } = subject.shown;
    const label = this.registry.get(machine)?.snapshot.label ?? machine;
    const name = profile === undefined ? label : `${label}, ${profile.name}`;
    return Uri.from({
      scheme: settingsScheme,
      // Told from other JSON by its end: comments are no mistake in it.
      path: `/${name.replaceAll(/[/\\]/g, '-')}.jsonc`,
      query: JSON.stringify(subject),
    });
  }

  private enter(uri: Uri): OpenDocument | undefined {
    const known = this.open.get(uri.toString());
    if (known !== undefined) return known;
    const subject = readSubject(uri.query);
    if (subject === undefined) return undefined;
    const document: OpenDocument = { uri, subject, text: undefined, lastKnown: new Map() };
    this.open.set(uri.toString(), document);
    return document;
  }

  private forget(uri: Uri): void {
    const document = this.open.get(uri.toString());
    if (document === undefined) return;
    this.open.delete(uri.toString());
    this.stale.delete(document);
  }

  private follow(change: RegistryChange): void {
    if (change.kind === 'list') {
      this.markStale(() => true);
      return;
    }
    const { id, parts } = change.change;
    // A running migration is read again and again; none of it is shown here.
    if ([...parts].every((part) => part === 'migration')) return;
    this.markStale(({ shown, beside }) => shown.machine === id || beside.machine === id);
  }

  private markStale(concerns: (subject: Subject) => boolean): void {
    for (const document of this.open.values()) {
      if (concerns(document.subject)) this.stale.add(document);
    }
    if (this.stale.size > 0) this.timer ??= setTimeout(() => void this.update(), mergeMs);
  }

  private async update(): Promise<void> {
    this.timer = undefined;
    const documents = [...this.stale];
    this.stale.clear();
    for (const document of documents) {
      if ((await this.render(document)) !== document.text) this.changes.fire(document.uri);
    }
  }

  private async render(document: OpenDocument): Promise<string> {
    const { shown, beside } = document.subject;
    const notes: string[] = [];
    const snapshot = await this.snapshot(document, shown, notes);
    const other = await this.snapshot(document, beside, []);
    const head = notes.map((note) => `// ${note}\n`).join('');
    return snapshot === undefined ? head : head + settingsDocument(snapshot, other);
  }

  /** What is to be shown; what stands in the way is added to the notes. */
  private async snapshot(
    document: OpenDocument,
    { machine: id, profile: asked }: Shown,
    notes: string[],
  ): Promise<MachineSnapshot | undefined> {
    const machine = this.registry.get(id);
    const snapshot = machine?.snapshot ?? document.lastKnown.get(id);
    if (snapshot === undefined) {
      notes.push(l10n.t('The machine at {0} is not in the list.', id));
      return undefined;
    }
    document.lastKnown.set(id, snapshot);
    if (machine === undefined) {
      const { label } = snapshot;
      notes.push(
        l10n.t('{0} is not in the list any more; this is what was last known of it.', label),
      );
    }
    const { facts } = snapshot;
    if (asked === undefined || facts === undefined) return snapshot;
    const profile = await this.library.find(asked);
    if (profile === undefined) {
      notes.push(l10n.t('There is no profile "{0}" any more.', asked.name));
      return snapshot;
    }
    return { ...snapshot, facts: this.withProfile(profile, asked.side, facts, notes) };
  }

  private withProfile(
    profile: Profile,
    side: 'source' | 'target',
    facts: VmFacts,
    notes: string[],
  ): VmFacts {
    const { change, problems } = planProfile(profile, facts, side);
    for (const problem of problems) {
      notes.push(l10n.t('It cannot be applied as it is: {0}', problem.replaceAll('\n', ' ')));
    }
    return withChange(facts, change);
  }
}

function hasProfile(...sides: readonly Shown[]): boolean {
  return sides.some(({ profile }) => profile !== undefined);
}

function readSubject(query: string): Subject | undefined {
  try {
    return subjectShape.safeParse(JSON.parse(query)).data;
  } catch {
    return undefined;
  }
}
