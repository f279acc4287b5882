import {
  commands,
  type Disposable,
  type TextDocumentContentProvider,
  Uri,
  window,
  workspace,
} from 'vscode';
import type { Journals } from '../../migration/run/journal/journals';
import type { RunRecord } from '../../migration/run/types';
import { runReport } from '../../migration/view/runReport';
import type { Contribution } from '../contribution';

const runScheme = 'qemu-migration-run';

/** How many reports are kept; VS Code asks again for those of tabs that it shows again. */
const keptReports = 50;

/** All that is known of a run that has ended, as a read-only document. */
export class RunDocuments implements TextDocumentContentProvider, Contribution {
  private readonly journals: Pick<Journals, 'read'>;
  private readonly texts = new Map<string, string>();

  constructor(journals: Pick<Journals, 'read'>) {
    this.journals = journals;
  }

  register(): Disposable {
    return workspace.registerTextDocumentContentProvider(runScheme, this);
  }

  provideTextDocumentContent(uri: Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** Opens it, rendered where VS Code's own preview is there. Nothing for a run that goes on. */
  async show(record: RunRecord): Promise<void> {
    const { outcome, journalId, id, startedAt } = record;
    if (outcome === undefined) return;
    const journal =
      journalId === undefined
        ? undefined
        : await this.journals.read(journalId).catch(() => undefined);
    const uri = Uri.from({
      scheme: runScheme,
      path: `/Migration of ${record.sourceLabel.replaceAll('/', ' ')}.md`,
      query: `${startedAt}.${id}`,
    });
    this.texts.set(uri.toString(), runReport(record, outcome, journal));
    const [oldest] = this.texts.keys();
    if (this.texts.size > keptReports && oldest !== undefined) this.texts.delete(oldest);
    const document = await workspace.openTextDocument(uri);
    try {
      await commands.executeCommand('markdown.showPreview', uri);
    } catch {
      // Without its Markdown extension VS Code shows the text, which can be read as well.
      await window.showTextDocument(document, { preview: true });
    }
  }
}
