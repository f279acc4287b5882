import { CancellationTokenSource } from 'vscode';
import type { CancellationToken } from 'vscode';
import type {
  Back,
  Confirmation,
  FieldNote,
  InputRequest,
  PickManyRequest,
  PickRequest,
  PlaceRequest,
  ProgressRequest,
  PromptItem,
  Prompts,
  Report,
  Severity,
} from '../../../src/ui/prompts';

export interface ShownMessage {
  readonly severity: Severity;
  readonly text: string;
  readonly buttons: readonly string[];
}

type Answer =
  | { readonly kind: 'pick'; readonly choices: readonly (string | Back | undefined)[] }
  | { readonly kind: 'pickMany'; readonly labels: readonly string[] | 'as offered' | undefined }
  | {
      readonly kind: 'input';
      readonly texts: readonly (string | ButtonPress)[];
      /** Typed, but not submitted. */
      readonly onlyTyped: readonly string[];
    }
  | { readonly kind: 'confirm'; readonly yes: boolean }
  | { readonly kind: 'place'; readonly path: string | undefined };

/** Types a text and presses a button above the field, by a part of its tooltip. */
export interface ButtonPress {
  readonly text: string;
  readonly press: string;
}

/** Answers in the order given; what nobody foresaw is an error. */
export class ScriptedPrompts implements Prompts {
  readonly messages: ShownMessage[] = [];
  /** Titles of the questions asked. */
  readonly asked: string[] = [];
  /** Every list of items that was offered. */
  readonly offered: (readonly PromptItem<unknown>[])[] = [];
  /** What stood at the field, or the item, after each answer that was not taken. */
  readonly problems: string[] = [];
  /** What stood at the field about texts that could be submitted. */
  readonly notes: FieldNote[] = [];
  /** What was ticked when a list to tick in opened. */
  readonly ticked: unknown[][] = [];
  readonly statuses: string[] = [];
  readonly confirmations: Confirmation[] = [];
  readonly inputs: InputRequest[] = [];
  readonly places: PlaceRequest[] = [];
  readonly picks: PickRequest<unknown>[] = [];
  readonly progressTitles: string[] = [];
  readonly reports: string[] = [];
  /** The cancel buttons of the progress that is shown. */
  readonly cancellations: CancellationTokenSource[] = [];
  private readonly answers: Answer[] = [];
  private readonly presses: string[] = [];

  /** Chooses the item whose label contains this text, then the next while one is not taken. */
  willPick(...choices: [string | Back | undefined, ...(string | Back | undefined)[]]): this {
    this.answers.push({ kind: 'pick', choices });
    return this;
  }

  willPickMany(...labels: string[]): this {
    this.answers.push({ kind: 'pickMany', labels });
    return this;
  }

  willPickWhatIsTicked(): this {
    this.answers.push({ kind: 'pickMany', labels: 'as offered' });
    return this;
  }

  willLeaveTicking(): this {
    this.answers.push({ kind: 'pickMany', labels: undefined });
    return this;
  }

  /**
   * Types these texts and submits each, one after the other until one is taken; then leaves. With
   * none it leaves at once.
   */
  willType(...texts: (string | ButtonPress)[]): this {
    this.answers.push({ kind: 'input', texts, onlyTyped: [] });
    return this;
  }

  /** Types these texts, submits none, and leaves by Escape. */
  willTypeAndLeave(...onlyTyped: string[]): this {
    this.answers.push({ kind: 'input', texts: [], onlyTyped });
    return this;
  }

  /** Presses this button of the next message that has it. */
  willPress(button: string): this {
    this.presses.push(button);
    return this;
  }

  /** Chooses this file or folder; `undefined`: leaves the dialog. */
  willChoosePlace(path: string | undefined): this {
    this.answers.push({ kind: 'place', path });
    return this;
  }

  willConfirm(yes: boolean): this {
    this.answers.push({ kind: 'confirm', yes });
    return this;
  }

  /** The only message so far. */
  get onlyMessage(): ShownMessage {
    const [message, ...others] = this.messages;
    if (message === undefined || others.length > 0) {
      throw new Error(`Not one message: ${JSON.stringify(this.messages)}`);
    }
    return message;
  }

  message(
    severity: Severity,
    text: string,
    buttons: readonly string[] = [],
  ): Promise<string | undefined> {
    this.messages.push({ severity, text, buttons });
    const [press] = this.presses;
    if (press === undefined || !buttons.includes(press)) return Promise.resolve(undefined);
    this.presses.shift();
    return Promise.resolve(press);
  }

  status(text: string): void {
    this.statuses.push(text);
  }

  confirm(confirmation: Confirmation): Promise<boolean> {
    this.confirmations.push(confirmation);
    this.asked.push(confirmation.message);
    return Promise.resolve(this.next('confirm', confirmation.message).yes);
  }

  async pick<T>(request: PickRequest<T>): Promise<T | Back | undefined> {
    this.asked.push(request.title);
    this.picks.push(request as PickRequest<unknown>);
    for (const choose of this.next('pick', request.title).choices) {
      const typed = typeof choose === 'string' && choose.startsWith('/') ? choose : '';
      const items =
        typeof request.items === 'function' ? await request.items(typed) : request.items;
      this.offered.push(items);
      if (typeof choose !== 'string') return choose;
      const { value } = itemCalled(choose, items);
      const problem = await request.submit?.(value);
      if (problem === undefined) return value;
      this.problems.push(problem);
    }
    return undefined;
  }

  pickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined> {
    this.asked.push(request.title);
    this.offered.push(request.items);
    this.ticked.push([...request.picked]);
    const { labels } = this.next('pickMany', request.title);
    if (labels === undefined) return Promise.resolve(undefined);
    if (labels === 'as offered') return Promise.resolve(new Set(request.picked));
    return Promise.resolve(new Set(labels.map((label) => itemCalled(label, request.items).value)));
  }

  async input(request: InputRequest): Promise<boolean> {
    this.asked.push(request.title);
    this.inputs.push(request);
    const { texts, onlyTyped } = this.next('input', request.title);
    for (const text of onlyTyped) request.onType?.(text);
    for (const answer of texts) {
      const problem = await this.submit(request, answer);
      if (problem === undefined) return true;
      this.problems.push(problem);
    }
    return false;
  }

  choosePlace(request: PlaceRequest): Promise<string | undefined> {
    this.asked.push(request.title);
    this.places.push(request);
    return Promise.resolve(this.next('place', request.title).path);
  }

  private async submit(
    request: InputRequest,
    answer: string | ButtonPress,
  ): Promise<string | undefined> {
    const text = typeof answer === 'string' ? answer : answer.text;
    request.onType?.(text);
    if (typeof answer !== 'string') {
      const actions = request.actions?.(text) ?? [];
      const action = actions.find(({ tooltip }) => tooltip.includes(answer.press));
      if (action !== undefined) return action.submit();
      throw new Error(
        `No "${answer.press}" among ${actions.map(({ tooltip }) => tooltip).join(', ')}`,
      );
    }
    const note = await request.validate(text);
    if (typeof note === 'string') return note;
    if (note?.level === 'problem') return note.text;
    if (note !== undefined) this.notes.push(note);
    return request.submit(text);
  }

  async progress<T>(
    request: ProgressRequest,
    task: (report: Report, token: CancellationToken) => Promise<T>,
  ): Promise<T> {
    this.progressTitles.push(request.title);
    const source = new CancellationTokenSource();
    this.cancellations.push(source);
    try {
      return await task((message) => this.reports.push(message), source.token);
    } finally {
      source.dispose();
    }
  }

  private next<K extends Answer['kind']>(kind: K, question: string): Extract<Answer, { kind: K }> {
    const answer = this.answers.shift();
    if (answer?.kind !== kind) {
      throw new Error(`Nobody foresaw this question (${kind}): ${question}`);
    }
    return answer as Extract<Answer, { kind: K }>;
  }
}

function itemCalled<T>(label: string, items: readonly PromptItem<T>[]): PromptItem<T> {
  const item =
    items.find((other) => other.label === label) ??
    items.find((other) => other.label.includes(label));
  if (item === undefined) {
    throw new Error(`No "${label}" among ${items.map((other) => other.label).join(', ')}`);
  }
  if (item.refusal !== undefined) throw new Error(`${item.label}: ${item.refusal}`);
  return item;
}
