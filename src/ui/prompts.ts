import type { CancellationToken } from 'vscode';

/** What `pick` resolves with when the user went back a step. */
export const back: unique symbol = Symbol.for('qemuMigration.back');
export type Back = typeof back;

export interface PromptItem<T> {
  readonly label: string;
  readonly value: T;
  /** A codicon's name. */
  readonly icon?: string;
  readonly description?: string;
  readonly detail?: string;
  /** Items of one group follow each other below a line with its name. */
  readonly group?: string;
  /** Shown whatever is typed. */
  readonly always?: boolean;
  /** Choosing it fills this text in and goes on asking. */
  readonly fill?: string;
  /** It cannot be chosen now, and why. */
  readonly refusal?: string;
  /** It can be chosen, but something has to be known first. */
  readonly warning?: string;
  /** A button on the row; the list stays open. */
  readonly button?: ItemButton;
}

export interface ItemButton {
  /** A codicon's name. */
  readonly icon: string;
  readonly tooltip: string;
  /** Never throws. */
  readonly press: () => void;
}

export interface Step {
  readonly number: number;
  readonly total: number;
  /** Whether there is a step to go back to. */
  readonly back: boolean;
}

export interface PickRequest<T> {
  readonly title: string;
  readonly placeholder: string;
  /** A function is asked at once and after each change of what is typed. */
  readonly items: readonly PromptItem<T>[] | ((typed: string) => Promise<readonly PromptItem<T>[]>);
  /** What Enter means where no item fits what is typed. */
  readonly acceptTyped?: (typed: string) => T | undefined;
  readonly step?: Step;
  /** The item that is ready to be chosen; else the first. */
  readonly active?: T | undefined;
  /** Carries the choice out. A text that comes back is shown at the item; the list stays open. */
  readonly submit?: (value: T) => Promise<string | undefined>;
}

export interface PickManyRequest<T> {
  readonly title: string;
  readonly placeholder: string;
  readonly items: readonly PromptItem<T>[];
  readonly picked: ReadonlySet<T>;
}

/** A button above the field that fills a text in. */
export interface Suggestion {
  readonly icon: string;
  readonly tooltip: string;
  readonly text: string;
}

/** A button above the field that submits the text in a way of its own. */
export interface FieldAction {
  readonly icon: string;
  readonly tooltip: string;
  /** As `InputRequest.submit`. */
  readonly submit: () => Promise<string | undefined>;
}

/** What stands at the field about the text in it; only a problem keeps it from being submitted. */
export interface FieldNote {
  readonly level: 'problem' | 'warning' | 'information';
  readonly text: string;
}

/** What there is to say about a text. */
export type Judgement = string | FieldNote | undefined;

export interface InputRequest {
  readonly title: string;
  readonly prompt: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly suggestions?: readonly Suggestion[];
  /** What can be done with the text as it is now, beside submitting it. */
  readonly actions?: (text: string) => readonly FieldAction[];
  /**
   * What is wrong with the text, or worth knowing, while it is typed; a bare text is a problem. What takes
   * a while is shown when it comes, unless more was typed meanwhile.
   */
  readonly validate: (text: string) => Judgement | Promise<Judgement>;
  /** The text that it begins with is judged too; else there are no words until something is typed. */
  readonly judgesAtOnce?: boolean;
  /** What of the text is selected, from where to where; all of it unless told. */
  readonly selection?: readonly [number, number];
  /** Hears of each text as it is typed, the one it begins with left out. */
  readonly onType?: (text: string) => void;
  /** Carries it out. A text that comes back is shown at the field, which stays open. */
  readonly submit: (text: string) => Promise<string | undefined>;
  /** Stays when something else is clicked; only Escape leaves. */
  readonly stays?: boolean;
  readonly step?: Step;
  /** The user went back a step; nothing is carried out then. */
  readonly goBack?: () => void;
}

export interface Confirmation {
  readonly message: string;
  readonly detail: string;
  /** The verb on the button. */
  readonly action: string;
  /** On the button that leaves things as they are. */
  readonly keep: string;
}

/** A file, or a folder, to choose in VS Code's own dialog. */
export interface PlaceRequest {
  readonly title: string;
  /** The verb on the button. */
  readonly action: string;
  readonly kind: 'file' | 'folder';
  /** Where the dialog begins: an absolute path. */
  readonly folder: string;
}

export type Severity = 'information' | 'warning' | 'error';

export interface ProgressRequest {
  readonly title: string;
  readonly where: 'view' | 'notification';
  readonly cancellable?: boolean;
}

export type Report = (message: string, incrementPercent?: number) => void;

/** Everything with which the extension speaks to the user outside its views; tests give their own. */
export interface Prompts {
  /** Resolves with the button, or `undefined` when the message was closed. */
  message(
    severity: Severity,
    text: string,
    buttons?: readonly string[],
  ): Promise<string | undefined>;
  /** A line that goes away by itself and asks for nothing. */
  status(text: string): void;
  confirm(confirmation: Confirmation): Promise<boolean>;
  pick<T>(request: PickRequest<T>): Promise<T | Back | undefined>;
  pickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined>;
  /** Whether it was carried out. */
  input(request: InputRequest): Promise<boolean>;
  /** An absolute path on the machine where the extension runs, of what is there already. */
  choosePlace(request: PlaceRequest): Promise<string | undefined>;
  progress<T>(
    request: ProgressRequest,
    task: (report: Report, token: CancellationToken) => Promise<T>,
  ): Promise<T>;
}
