import { ProgressLocation, Uri, window } from 'vscode';
import type { CancellationToken } from 'vscode';
import { ViewId } from './ids';
import type {
  Back,
  Confirmation,
  InputRequest,
  PickManyRequest,
  PickRequest,
  PlaceRequest,
  ProgressRequest,
  Prompts,
  Report,
  Severity,
} from './prompts';
import { askText } from './vscodeInput';
import { askToPick, askToPickMany } from './vscodePicker';

/** How long a line of the status bar stays, in milliseconds. */
const statusMs = 8000;

/** The prompts of a real window. */
export class VscodePrompts implements Prompts {
  async message(
    severity: Severity,
    text: string,
    buttons: readonly string[] = [],
  ): Promise<string | undefined> {
    switch (severity) {
      case 'information':
        return window.showInformationMessage(text, ...buttons);
      case 'warning':
        return window.showWarningMessage(text, ...buttons);
      case 'error':
        return window.showErrorMessage(text, ...buttons);
    }
  }

  status(text: string): void {
    window.setStatusBarMessage(text, statusMs);
  }

  async confirm({ message, detail, action, keep }: Confirmation): Promise<boolean> {
    const answer = await window.showWarningMessage(
      message,
      { modal: true, detail },
      { title: action },
      { title: keep, isCloseAffordance: true },
    );
    return answer?.title === action;
  }

  pick<T>(request: PickRequest<T>): Promise<T | Back | undefined> {
    return askToPick(request);
  }

  pickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined> {
    return askToPickMany(request);
  }

  input(request: InputRequest): Promise<boolean> {
    return askText(request);
  }

  async choosePlace({ title, action, kind, folder }: PlaceRequest): Promise<string | undefined> {
    const uris = await window.showOpenDialog({
      title,
      openLabel: action,
      defaultUri: Uri.file(folder),
      canSelectFiles: kind === 'file',
      canSelectFolders: kind === 'folder',
    });
    return uris?.[0]?.fsPath;
  }

  async progress<T>(
    request: ProgressRequest,
    task: (report: Report, token: CancellationToken) => Promise<T>,
  ): Promise<T> {
    const location =
      request.where === 'view' ? { viewId: ViewId.machines } : ProgressLocation.Notification;
    return window.withProgress(
      { location, title: request.title, cancellable: request.cancellable ?? false },
      (progress, token) => {
        const report: Report = (message, increment) => {
          progress.report(increment === undefined ? { message } : { message, increment });
        };
        return task(report, token);
      },
    );
  }
}
