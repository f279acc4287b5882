import { type Disposable, workspace } from 'vscode';
import type { Transport } from '../migration/run/types';
import { SettingId } from './ids';

interface SettingValues {
  [SettingId.sockets]: readonly string[];
  [SettingId.transport]: Transport;
  [SettingId.discoveryEnabled]: boolean;
  [SettingId.helperPath]: string;
  [SettingId.profilesFile]: string;
}

/** The settings, read at the moment of use; a value of the wrong type counts as not set. */
const readers: { readonly [K in SettingId]: (value: unknown) => SettingValues[K] } = {
  [SettingId.sockets]: (value) =>
    Array.isArray(value)
      ? value.filter((item): item is string => typeof item === 'string' && item.trim() !== '')
      : [],
  [SettingId.transport]: (value) => (value === 'unix' ? 'unix' : 'fd'),
  [SettingId.discoveryEnabled]: (value) => value !== false,
  [SettingId.helperPath]: (value) => (typeof value === 'string' ? value.trim() : ''),
  [SettingId.profilesFile]: (value) =>
    typeof value === 'string' && value.trim() !== '' ? value.trim() : '.vscode/qemu-migration.json',
};

export function readSetting<K extends SettingId>(id: K): SettingValues[K] {
  return readers[id](workspace.getConfiguration().get(id));
}

/** Calls back with the value now and after each change, trust being granted among them. */
export function followSetting<K extends SettingId>(
  id: K,
  use: (value: SettingValues[K]) => void,
): Disposable {
  const tell = (): void => use(readSetting(id));
  tell();
  return workspace.onDidChangeConfiguration((event) => {
    if (event.affectsConfiguration(id)) tell();
  });
}
