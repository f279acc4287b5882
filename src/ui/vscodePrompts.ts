import {
  l10n,
  ProgressLocation,
  type QuickPick,
  QuickInputButtons,
  type QuickPickItem,
  QuickPickItemKind,
  ThemeIcon,
  window,
} from 'vscode';
import type { Disposable } from '../qmp/emitter';
import { ViewId } from './ids';
import {
  back,
  type Back,
  type Confirmation,
  type InputRequest,
  type PickManyRequest,
  type PickRequest,
  type ProgressRequest,
  type PromptItem,
  type Prompts,
  type Report,
  type Severity,
} from './prompts';
import type { CancellationToken } from 'vscode';

interface Row<T> extends QuickPickItem {
  readonly item?: PromptItem<T>;
}

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
    const picker = window.createQuickPick<Row<T>>();
    picker.title = request.title;
    picker.placeholder = request.placeholder;
    picker.matchOnDescription = true;
    picker.matchOnDetail = true;
    picker.ignoreFocusOut = request.step !== undefined;
    if (request.step !== undefined) {
      picker.step = request.step.number;
      picker.totalSteps = request.step.total;
      if (request.step.back) picker.buttons = [QuickInputButtons.Back];
    }
    return new Promise<T | Back | undefined>((resolve) => {
      const finish = (answer: T | Back | undefined): void => {
        resolve(answer);
        picker.hide();
      };
      const list = new PickerList(picker, request.items);
      const accept = async (): Promise<void> => {
        const typed = picker.value;
        const item = await list.chosen();
        if (picker.value !== typed) return;
        const { acceptTyped } = request;
        if (item === undefined) {
          const value = acceptTyped?.(typed);
          if (value !== undefined) finish(value);
        } else if (item.refusal !== undefined) {
          picker.value = '';
          picker.placeholder = item.refusal;
        } else if (item.fill !== undefined) {
          picker.value = item.fill;
          void list.update();
        } else {
          finish(item.value);
        }
      };
      const subscriptions: Disposable[] = [
        picker,
        picker.onDidTriggerButton(() => finish(back)),
        picker.onDidAccept(() => void accept()),
        picker.onDidChangeValue(() => void list.update()),
        picker.onDidHide(() => {
          list.close();
          resolve(undefined);
          for (const subscription of subscriptions) subscription.dispose();
        }),
      ];
      void list.update();
      const { active } = request;
      const chosenBefore = picker.items.filter(
        ({ item }) => active !== undefined && item?.value === active,
      );
      // An empty list would take the mark from the first row, and Enter would do nothing.
      if (chosenBefore.length > 0) picker.activeItems = chosenBefore;
      picker.show();
    });
  }

  async pickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined> {
    const rows = request.items.map((item): Row<T> => {
      return { ...toRow(item), picked: request.picked.has(item.value) };
    });
    const chosen = await window.showQuickPick(rows, {
      title: request.title,
      placeHolder: request.placeholder,
      canPickMany: true,
      matchOnDescription: true,
      matchOnDetail: true,
    });
    return chosen && new Set(chosen.flatMap(({ item }) => (item ? [item.value] : [])));
  }

  input(request: InputRequest): Promise<boolean> {
    const box = window.createInputBox();
    box.title = request.title;
    box.prompt = request.prompt;
    box.value = request.value;
    box.valueSelection = [0, request.value.length];
    if (request.placeholder !== undefined) box.placeholder = request.placeholder;
    const buttons = (request.suggestions ?? []).map(({ icon, tooltip, text }) => {
      return { iconPath: new ThemeIcon(icon), tooltip, text };
    });
    box.buttons = buttons;
    const validate = (): void => {
      // Without words for the text one began with: nothing is wrong until something is typed.
      const problem = box.value === request.value ? undefined : request.validate(box.value);
      box.validationMessage = problem ?? '';
    };
    const submit = async (): Promise<boolean> => {
      const problem = request.validate(box.value);
      if (problem !== undefined) {
        box.validationMessage = problem;
        return false;
      }
      box.busy = true;
      box.enabled = false;
      const refusal = await request.submit(box.value);
      box.busy = false;
      box.enabled = true;
      if (refusal !== undefined) box.validationMessage = refusal;
      return refusal === undefined;
    };
    return new Promise<boolean>((resolve, reject) => {
      const subscriptions: Disposable[] = [
        box,
        box.onDidChangeValue(validate),
        box.onDidTriggerButton((pressed) => {
          const button = buttons.find((other) => other === pressed);
          if (button === undefined) return;
          box.value = button.text;
          validate();
        }),
        box.onDidAccept(() => {
          submit().then(
            (done) => {
              if (!done) return;
              resolve(true);
              box.hide();
            },
            (error: unknown) => {
              reject(error instanceof Error ? error : new Error(String(error)));
              box.hide();
            },
          );
        }),
        box.onDidHide(() => {
          resolve(false);
          for (const subscription of subscriptions) subscription.dispose();
        }),
      ];
      box.show();
    });
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

/** The rows of one open picker, which may depend on what is typed. */
class PickerList<T> {
  private readonly picker: QuickPick<Row<T>>;
  private readonly items: PickRequest<T>['items'];
  private question = 0;
  private shown: Promise<readonly PromptItem<T>[]> = Promise.resolve([]);
  private busy = false;

  constructor(picker: QuickPick<Row<T>>, items: PickRequest<T>['items']) {
    this.picker = picker;
    this.items = items;
    if (typeof items !== 'function') picker.items = toRows(items);
  }

  /** Asks for the rows that fit what is typed now. */
  async update(): Promise<void> {
    const { picker, items } = this;
    if (typeof items !== 'function') return;
    const question = ++this.question;
    this.busy = picker.busy = true;
    this.shown = items(picker.value).catch(() => []);
    const found = await this.shown;
    // An answer that was overtaken by more typing, or by the picker's end, is of no use.
    if (question !== this.question) return;
    picker.items = toRows(found);
    this.busy = picker.busy = false;
  }

  /** The item that Enter means: while rows are on their way, the one that is just what was typed. */
  async chosen(): Promise<PromptItem<T> | undefined> {
    if (!this.busy) return this.picker.activeItems[0]?.item;
    const typed = this.picker.value;
    return (await this.shown).find(({ label }) => label === typed);
  }

  close(): void {
    this.question += 1;
  }
}

function toRow<T>(item: PromptItem<T>): Row<T> {
  const { label, icon, description, detail, always } = item;
  return {
    label: icon === undefined ? label : `$(${icon}) ${label}`,
    item,
    ...(description !== undefined && { description }),
    ...(detail !== undefined && { detail }),
    ...(item.refusal !== undefined && {
      detail: l10n.t('$(circle-slash) {0}', item.refusal),
    }),
    ...(always !== undefined && { alwaysShow: always }),
  };
}

/** Rows with a line above each group. */
function toRows<T>(items: readonly PromptItem<T>[]): Row<T>[] {
  return items.flatMap((item, index) => {
    const row = toRow(item);
    if (item.group === undefined || item.group === items[index - 1]?.group) return [row];
    return [{ label: item.group, kind: QuickPickItemKind.Separator }, row];
  });
}
