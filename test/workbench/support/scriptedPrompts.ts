import { CancellationTokenSource } from 'vscode';
import type { CancellationToken } from 'vscode';
import type {
  Back,
  Confirmation,
  InputRequest,
  PickManyRequest,
  PickRequest,
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
  | { readonly kind: 'pick'; readonly choose: string | Back | undefined }
  | { readonly kind: 'pickMany'; readonly labels: readonly string[] }
  | { readonly kind: 'input'; readonly texts: readonly string[] }
  | { readonly kind: 'confirm'; readonly yes: boolean };

/** Answers in the order given; what nobody foresaw is an error. */
export class ScriptedPrompts implements Prompts {
  readonly messages: ShownMessage[] = [];
  /** Titles of the questions asked. */
  readonly asked: string[] = [];
  /** Every list of items that was offered. */
  readonly offered: (readonly PromptItem<unknown>[])[] = [];
  /** What stood at the field after each text that was not taken. */
  readonly problems: string[] = [];
  readonly inputs: InputRequest[] = [];
  readonly picks: PickRequest<unknown>[] = [];
  readonly progressTitles: string[] = [];
  readonly reports: string[] = [];
  /** The cancel buttons of the progress that is shown. */
  readonly cancellations: CancellationTokenSource[] = [];
  private readonly answers: Answer[] = [];

  /** Chooses the item whose label contains this text. */
  willPick(choose: string | Back | undefined): this {
    this.answers.push({ kind: 'pick', choose });
    return this;
  }

  willPickMany(...labels: string[]): this {
    this.answers.push({ kind: 'pickMany', labels });
    return this;
  }

  /** Types these texts one after the other until one is taken. */
  willType(...texts: string[]): this {
    this.answers.push({ kind: 'input', texts });
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
    return Promise.resolve(undefined);
  }

  confirm(confirmation: Confirmation): Promise<boolean> {
    this.asked.push(confirmation.message);
    return Promise.resolve(this.next('confirm', confirmation.message).yes);
  }

  async pick<T>(request: PickRequest<T>): Promise<T | Back | undefined> {
    this.asked.push(request.title);
    this.picks.push(request);
    const { choose } = this.next('pick', request.title);
    const typed = typeof choose === 'string' && choose.startsWith('/') ? choose : '';
    const items = typeof request.items === 'function' ? await request.items(typed) : request.items;
    this.offered.push(items);
    if (typeof choose !== 'string') return choose;
    const item =
      items.find(({ label }) => label === choose) ??
      items.find(({ label }) => label.includes(choose));
    if (item === undefined) {
      throw new Error(`No "${choose}" among ${items.map(({ label }) => label).join(', ')}`);
    }
    if (item.refusal !== undefined) throw new Error(`${item.label}: ${item.refusal}`);
    return item.value;
  }

  pickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined> {
    this.asked.push(request.title);
    this.offered.push(request.items);
    const { labels } = this.next('pickMany', request.title);
    const chosen = request.items.filter(({ label }) => labels.includes(label));
    return Promise.resolve(new Set(chosen.map(({ value }) => value)));
  }

  async input(request: InputRequest): Promise<boolean> {
    this.asked.push(request.title);
    this.inputs.push(request);
    for (const text of this.next('input', request.title).texts) {
      const problem = request.validate(text) ?? (await request.submit(text));
      if (problem === undefined) return true;
      this.problems.push(problem);
    }
    return false;
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
