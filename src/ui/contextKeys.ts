import { commands } from 'vscode';
import type { ContextValues } from './ids';

/** Sets context keys, each only when its value changes. */
export class ContextKeys {
  private readonly values = new Map<keyof ContextValues, unknown>();

  set<K extends keyof ContextValues>(key: K, value: ContextValues[K]): void {
    if (this.values.get(key) === value) return;
    this.values.set(key, value);
    void commands.executeCommand('setContext', key, value);
  }
}
