import {
  type InputBox,
  type InputBoxValidationMessage,
  InputBoxValidationSeverity,
  type QuickInputButton,
  type QuickInput,
  QuickInputButtons,
  ThemeIcon,
  window,
} from 'vscode';
import type { Disposable } from '../qmp/emitter';
import type { FieldNote, InputRequest, Judgement, Step } from './prompts';

const severities: Readonly<Record<FieldNote['level'], InputBoxValidationSeverity>> = {
  problem: InputBoxValidationSeverity.Error,
  warning: InputBoxValidationSeverity.Warning,
  information: InputBoxValidationSeverity.Info,
};

/**
 * Asks for a text in VS Code's input box. Whether it was carried out.
 *
 * @throws {Error} what came back from `submit`, where the box was left before it could be shown there
 */
export function askText(request: InputRequest): Promise<boolean> {
  return new Promise<boolean>((resolve, reject) => {
    const field = new Field(request, (end) => {
      if (end instanceof Error) reject(end);
      else resolve(end);
    });
    field.show();
  });
}

interface Button extends QuickInputButton {
  readonly press: () => void;
}

/** One open input box. */
class Field {
  private readonly request: InputRequest;
  private readonly box: InputBox;
  private readonly end: (result: boolean | Error) => void;
  private readonly subscriptions: readonly Disposable[];
  private buttons: readonly Button[] = [];
  private readonly backButtons: readonly QuickInputButton[] = [];
  private carryingOut = false;
  private hidden = false;
  /** How often the text was judged: what comes back late may be overtaken. */
  private judged = 0;

  constructor(request: InputRequest, end: (result: boolean | Error) => void) {
    this.request = request;
    this.end = end;
    const box = window.createInputBox();
    this.box = box;
    box.title = request.title;
    box.prompt = request.prompt;
    box.value = request.value;
    box.valueSelection = request.selection ?? [0, request.value.length];
    box.ignoreFocusOut = request.stays ?? request.step !== undefined;
    if (request.step !== undefined) {
      showStep(box, request.step);
      if (request.step.back) this.backButtons = [QuickInputButtons.Back];
    }
    if (request.placeholder !== undefined) box.placeholder = request.placeholder;
    this.subscriptions = [
      box,
      box.onDidChangeValue((text) => {
        request.onType?.(text);
        this.validate();
      }),
      box.onDidTriggerButton((pressed) => {
        if (this.backButtons.includes(pressed)) this.leaveBackwards();
        else this.buttons.find((button) => button === pressed)?.press();
      }),
      box.onDidAccept(() => this.accept()),
      box.onDidHide(() => {
        this.hidden = true;
        // What is being carried out still has to tell its end.
        if (!this.carryingOut) this.end(false);
        for (const subscription of this.subscriptions) subscription.dispose();
      }),
    ];
  }

  show(): void {
    this.box.buttons = this.backButtons;
    this.updateButtons();
    if (this.request.judgesAtOnce === true) this.validate();
    this.box.show();
  }

  private leaveBackwards(): void {
    this.request.goBack?.();
    this.end(false);
    this.box.hide();
  }

  private validate(): void {
    // Without words for the text one began with: nothing is wrong until something is typed.
    const { request } = this;
    const begun = this.box.value === request.value && request.judgesAtOnce !== true;
    this.judge(begun ? () => undefined : request.validate).catch((error: unknown) => {
      this.leave(error);
    });
    this.updateButtons();
  }

  /** Says what there is to say of the text as it is now, unless it changes meanwhile. */
  private async judge(validate: InputRequest['validate']): Promise<Judgement> {
    const text = this.box.value;
    const number = ++this.judged;
    const judgement = validate(text);
    const words = judgement instanceof Promise ? await judgement : judgement;
    if (number === this.judged && !this.hidden) this.say(words);
    return words;
  }

  private say(note: string | FieldNote | undefined): void {
    this.box.validationMessage = note === undefined ? '' : messageOf(note);
  }

  private updateButtons(): void {
    const { suggestions = [], actions } = this.request;
    const fills = suggestions.map(({ icon, tooltip, text }): Button => {
      const press = (): void => {
        this.box.value = text;
        this.validate();
      };
      return { iconPath: new ThemeIcon(icon), tooltip, press };
    });
    const submits = (actions?.(this.box.value) ?? []).map(({ icon, tooltip, submit }): Button => {
      return { iconPath: new ThemeIcon(icon), tooltip, press: () => this.carryOut(submit) };
    });
    const wanted = [...submits, ...fills];
    // Set only when they change: each time the box draws them anew, and takes the focus from one.
    const names = (buttons: readonly Button[]): string =>
      buttons.map(({ tooltip }) => tooltip).join('\n');
    const same = names(wanted) === names(this.buttons);
    this.buttons = same
      ? this.buttons.map((button, index) => Object.assign(button, wanted[index]))
      : wanted;
    if (!same) this.box.buttons = [...this.backButtons, ...this.buttons];
  }

  private accept(): void {
    const text = this.box.value;
    this.judge(this.request.validate).then(
      (note) => {
        if (this.hidden || this.carryingOut || this.box.value !== text) return;
        if (typeof note === 'string' || note?.level === 'problem') return;
        this.carryOut(() => this.request.submit(text));
      },
      (error: unknown) => this.leave(error),
    );
  }

  private carryOut(submit: () => Promise<string | undefined>): void {
    this.carryingOut = true;
    this.box.busy = true;
    this.box.enabled = false;
    submit().then(
      (refusal) => {
        this.carryingOut = false;
        if (refusal !== undefined && this.hidden) {
          this.end(new Error(refusal));
          return;
        }
        this.box.busy = false;
        this.box.enabled = true;
        if (refusal !== undefined) {
          this.say(refusal);
          return;
        }
        this.end(true);
        this.box.hide();
      },
      (error: unknown) => this.leave(error),
    );
  }

  private leave(error: unknown): void {
    this.end(error instanceof Error ? error : new Error(String(error)));
    this.box.hide();
  }
}

function messageOf(note: string | FieldNote): string | InputBoxValidationMessage {
  if (typeof note === 'string') return note;
  return { message: note.text, severity: severities[note.level] };
}

/** "2/5" in the title; of a single question there is nothing to count. */
export function showStep(input: QuickInput, { number, total }: Step): void {
  if (total === 1) return;
  input.step = number;
  input.totalSteps = total;
}
