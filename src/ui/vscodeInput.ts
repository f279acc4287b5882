import {
  type InputBox,
  type InputBoxValidationMessage,
  InputBoxValidationSeverity,
  type QuickInputButton,
  QuickInputButtons,
  ThemeIcon,
  window,
} from 'vscode';
import type { Disposable } from '../qmp/emitter';
import type { FieldNote, InputRequest } from './prompts';

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

  constructor(request: InputRequest, end: (result: boolean | Error) => void) {
    this.request = request;
    this.end = end;
    const box = window.createInputBox();
    this.box = box;
    box.title = request.title;
    box.prompt = request.prompt;
    box.value = request.value;
    box.valueSelection = [0, request.value.length];
    box.ignoreFocusOut = request.stays ?? request.step !== undefined;
    if (request.step !== undefined) {
      box.step = request.step.number;
      box.totalSteps = request.step.total;
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
    this.box.show();
  }

  private leaveBackwards(): void {
    this.request.goBack?.();
    this.end(false);
    this.box.hide();
  }

  private validate(): void {
    // Without words for the text one began with: nothing is wrong until something is typed.
    const begun = this.box.value === this.request.value;
    this.say(begun ? undefined : this.request.validate(this.box.value));
    this.updateButtons();
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
    const note = this.request.validate(text);
    if (typeof note === 'string' || note?.level === 'problem') this.say(note);
    else this.carryOut(() => this.request.submit(text));
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
      (error: unknown) => {
        this.end(error instanceof Error ? error : new Error(String(error)));
        this.box.hide();
      },
    );
  }
}

function messageOf(note: string | FieldNote): string | InputBoxValidationMessage {
  if (typeof note === 'string') return note;
  return { message: note.text, severity: severities[note.level] };
}
