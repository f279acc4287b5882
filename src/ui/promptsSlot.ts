import type { CancellationToken } from 'vscode';
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

/** Prompts that can be exchanged while everybody holds them. */
export class PromptsSlot implements Prompts {
  current: Prompts;

  constructor(prompts: Prompts) {
    this.current = prompts;
  }

  message(severity: Severity, text: string, buttons?: readonly string[]) {
    return this.current.message(severity, text, buttons);
  }

  status(text: string): void {
    this.current.status(text);
  }

  confirm(confirmation: Confirmation): Promise<boolean> {
    return this.current.confirm(confirmation);
  }

  pick<T>(request: PickRequest<T>): Promise<T | Back | undefined> {
    return this.current.pick(request);
  }

  pickMany<T>(request: PickManyRequest<T>): Promise<ReadonlySet<T> | undefined> {
    return this.current.pickMany(request);
  }

  input(request: InputRequest): Promise<boolean> {
    return this.current.input(request);
  }

  choosePlace(request: PlaceRequest): Promise<string | undefined> {
    return this.current.choosePlace(request);
  }

  progress<T>(
    request: ProgressRequest,
    task: (report: Report, token: CancellationToken) => Promise<T>,
  ): Promise<T> {
    return this.current.progress(request, task);
  }
}
