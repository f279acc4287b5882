import {
  Disposable,
  EventEmitter,
  type TextDocumentContentProvider,
  Uri,
  ViewColumn,
  window,
  workspace,
} from 'vscode';
import type { UpdateDesk } from '../../migration/liveUpdate/desk';
import type { LiveUpdatePlan } from '../../migration/liveUpdate/types';
import { verdictOf } from '../../migration/view/updateConsent';
import type { MachineId } from '../../vm/types';
import type { ContextKeys } from '../contextKeys';
import type { Contribution } from '../contribution';
import { ContextKey } from '../ids';

/** Plans that can be carried out, and all else that there is to read about live updates. */
export const planScheme = 'qemu-migration-plan';
export const updateScheme = 'qemu-migration-update';

/** How many texts are kept; VS Code asks again for those of tabs that it shows again. */
const keptTexts = 50;

interface OpenPlan {
  readonly plan: LiveUpdatePlan;
  /** It was begun; what is there now has to be looked at before it is again. */
  readonly begun: boolean;
}

/** The plans of live updates as read-only documents, one a machine. */
export class PlanDocuments implements TextDocumentContentProvider, Contribution {
  private readonly desk: Pick<UpdateDesk, 'document'>;
  private readonly contextKeys: ContextKeys;
  private readonly plans = new Map<MachineId, OpenPlan>();
  private readonly texts = new Map<string, string>();
  private readonly changes = new EventEmitter<Uri>();
  readonly onDidChange = this.changes.event;

  constructor(desk: Pick<UpdateDesk, 'document'>, contextKeys: ContextKeys) {
    this.desk = desk;
    this.contextKeys = contextKeys;
  }

  register(): Disposable {
    this.tell();
    return Disposable.from(
      workspace.registerTextDocumentContentProvider(planScheme, this),
      workspace.registerTextDocumentContentProvider(updateScheme, this),
      window.onDidChangeActiveTextEditor(() => this.tell()),
      workspace.onDidCloseTextDocument(({ uri }) => {
        if (uri.scheme === planScheme) this.plans.delete(uri.query);
      }),
      this.changes,
    );
  }

  provideTextDocumentContent(uri: Uri): string {
    if (uri.scheme === updateScheme) return this.texts.get(uri.toString()) ?? '';
    const open = this.plans.get(uri.query);
    if (open === undefined) {
      return 'This plan is of an earlier session. Run "QEMU Migration: Live Update..." for a new one.\n';
    }
    const begun = open.begun
      ? '> This plan was carried out. "Refresh Plan" looks at what is there now.\n\n'
      : '';
    return `${begun}${this.desk.document(open.plan)}`;
  }

  /** The machine whose plan, or command line, this is. */
  planOf(machine: MachineId): LiveUpdatePlan | undefined {
    return this.plans.get(machine)?.plan;
  }

  /** Takes another plan for the machine, and shows it where the old one is shown. */
  set(plan: LiveUpdatePlan, { begun = false } = {}): void {
    this.plans.set(plan.request.machine, { plan, begun });
    this.changes.fire(planUri(plan));
    this.tell();
  }

  async show(plan: LiveUpdatePlan): Promise<void> {
    this.set(plan);
    await open(planUri(plan));
    this.tell();
  }

  /** Shows a text that does not change. @param subject tells it from others of the same title */
  async showText(title: string, subject: string, text: string): Promise<void> {
    const uri = Uri.from({ scheme: updateScheme, path: `/${fileName(title)}.md`, query: subject });
    this.texts.delete(uri.toString());
    this.texts.set(uri.toString(), text);
    const [oldest] = this.texts.keys();
    if (this.texts.size > keptTexts && oldest !== undefined) this.texts.delete(oldest);
    this.changes.fire(uri);
    await open(uri);
  }

  /** What the buttons above the plan may do depends on the plan that is looked at. */
  private tell(): void {
    const uri = window.activeTextEditor?.document.uri;
    const looked = uri?.scheme === planScheme ? this.plans.get(uri.query) : undefined;
    const verdict = looked === undefined ? 'none' : verdictOf(looked.plan);
    this.contextKeys.set(ContextKey.updatePlan, looked?.begun === true ? 'begun' : verdict);
  }
}

function planUri({ label, request }: LiveUpdatePlan): Uri {
  return Uri.from({
    scheme: planScheme,
    path: `/Live Update of ${fileName(label)}.md`,
    query: request.machine,
  });
}

/** A name of a machine in the name of a tab. */
export function fileName(text: string): string {
  return text.replaceAll('/', ' ');
}

async function open(uri: Uri): Promise<void> {
  const document = await workspace.openTextDocument(uri);
  await window.showTextDocument(document, { preview: false, viewColumn: ViewColumn.Active });
}
