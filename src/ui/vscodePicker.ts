import {
  l10n,
  type QuickPick,
  QuickInputButtons,
  type QuickPickItem,
  QuickPickItemKind,
  ThemeIcon,
  window,
} from 'vscode';
import type { Disposable } from '../qmp/emitter';
import {
  back,
  type Back,
  type PickManyRequest,
  type PickRequest,
  type PromptItem,
} from './prompts';
import { showStep } from './vscodeInput';

interface Row<T> extends QuickPickItem {
  readonly item?: PromptItem<T>;
}

/**
 * Asks for one of several in VS Code's quick pick.
 *
 * @throws {Error} what came back from `submit`, where the list was left before it could be shown there
 */
export function askToPick<T>(request: PickRequest<T>): Promise<T | Back | undefined> {
  const picker = window.createQuickPick<Row<T>>();
  picker.title = request.title;
  picker.placeholder = request.placeholder;
  picker.matchOnDescription = true;
  picker.matchOnDetail = true;
  picker.ignoreFocusOut = request.step !== undefined;
  if (request.step !== undefined) {
    showStep(picker, request.step);
    if (request.step.back) picker.buttons = [QuickInputButtons.Back];
  }
  return new Promise<T | Back | undefined>((resolve, reject) => {
    const finish = (answer: T | Back | undefined): void => {
      resolve(answer);
      picker.hide();
    };
    const list = new PickerList(picker, request.items);
    let carryingOut = false;
    let hidden = false;
    const carryOut = async (item: PromptItem<T>): Promise<void> => {
      if (request.submit !== undefined) {
        carryingOut = true;
        picker.busy = true;
        picker.enabled = false;
        const refusal = await request.submit(item.value);
        carryingOut = false;
        if (refusal !== undefined && hidden) throw new Error(refusal);
        picker.busy = false;
        picker.enabled = true;
        if (refusal !== undefined) {
          picker.value = '';
          picker.placeholder = refusal;
          list.refuse(item, refusal);
          return;
        }
      }
      finish(item.value);
    };
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
        await carryOut(item);
      }
    };
    const subscriptions: Disposable[] = [
      picker,
      picker.onDidTriggerButton(() => finish(back)),
      picker.onDidTriggerItemButton(({ item }) => item.item?.button?.press()),
      picker.onDidAccept(() => {
        accept().catch((error: unknown) => {
          reject(error instanceof Error ? error : new Error(String(error)));
          picker.hide();
        });
      }),
      picker.onDidChangeValue(() => void list.update()),
      picker.onDidHide(() => {
        hidden = true;
        list.close();
        // What is being carried out still has to tell its end.
        if (!carryingOut) resolve(undefined);
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

/** Asks which of several in VS Code's quick pick; those with a refusal stay unticked. */
export function askToPickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined> {
  const picker = window.createQuickPick<Row<T>>();
  picker.title = request.title;
  picker.placeholder = request.placeholder;
  picker.canSelectMany = true;
  picker.matchOnDescription = true;
  picker.matchOnDetail = true;
  const rows = toRows(request.items);
  picker.items = rows;
  picker.selectedItems = rows.filter(({ item }) => {
    return item !== undefined && item.refusal === undefined && request.picked.has(item.value);
  });
  return new Promise((resolve) => {
    const subscriptions: Disposable[] = [
      picker,
      picker.onDidChangeSelection((selected) => {
        const refused = selected.find(({ item }) => item?.refusal !== undefined);
        if (refused === undefined) return;
        // VS Code has no row that cannot be ticked.
        picker.placeholder = refused.item?.refusal ?? '';
        picker.selectedItems = selected.filter(({ item }) => item?.refusal === undefined);
      }),
      picker.onDidAccept(() => {
        resolve(new Set(picker.selectedItems.flatMap(({ item }) => (item ? [item.value] : []))));
        picker.hide();
      }),
      picker.onDidHide(() => {
        resolve(undefined);
        for (const subscription of subscriptions) subscription.dispose();
      }),
    ];
    picker.show();
  });
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

  /** Says at an item why it was not taken. It may be tried again. */
  refuse(refused: PromptItem<T>, why: string): void {
    const rows = this.picker.items.map((row): Row<T> => {
      return row.item === refused ? { ...row, detail: `$(error) ${why}` } : row;
    });
    this.picker.items = rows;
    this.picker.activeItems = rows.filter(({ item }) => item === refused);
  }

  close(): void {
    this.question += 1;
  }
}

function toRow<T>(item: PromptItem<T>): Row<T> {
  const { label, icon, description, detail, always, button } = item;
  return {
    label: icon === undefined ? label : `$(${icon}) ${label}`,
    item,
    ...(description !== undefined && { description }),
    ...(detail !== undefined && { detail }),
    ...(item.warning !== undefined && { detail: l10n.t('$(warning) {0}', item.warning) }),
    ...(item.refusal !== undefined && {
      detail: l10n.t('$(circle-slash) {0}', item.refusal),
    }),
    ...(always !== undefined && { alwaysShow: always }),
    ...(button !== undefined && {
      buttons: [{ iconPath: new ThemeIcon(button.icon), tooltip: button.tooltip }],
    }),
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
