import { makeOption, type CommandOption } from './commandLine';
import { impliedKey } from './optionTable';
import { makeValue } from './optionValue';

/** Groups of a `-readconfig` file whose option has another name. */
const optionOfGroup: Readonly<Record<string, string>> = {
  'smp-opts': 'smp',
  memory: 'm',
  'boot-opts': 'boot',
  acpi: 'acpitable',
};

/** Groups that we know to be the options of that name. */
const sameName = new Set(
  (
    'accel add-fd audiodev blockdev boot chardev cpu device display drive fsdev fw_cfg global icount iscsi ' +
    'machine mon msg name net netdev nic numa object option-rom overcommit plugin rtc run-with sandbox ' +
    'semihosting-config smbios spice tpmdev trace virtfs vnc action'
  ).split(' '),
);

/** A `-readconfig` file as the options that say the same. */
export interface ConfigFile {
  readonly options: readonly CommandOption[];
  /** Lines or groups that are not understood; then the options are not all of it. */
  readonly unknown: readonly string[];
}

/**
 * Reads a file for `-readconfig`: groups `[device "id"]` with lines `key = "value"`. There is no way to
 * write a double quote in a value, and a comma is a comma.
 */
export function readConfigFile(text: string): ConfigFile {
  const options: CommandOption[] = [];
  const unknown: string[] = [];
  let group: { readonly name: string; readonly entries: [string, string][] } | undefined;
  const close = (): void => {
    if (group !== undefined) options.push(optionOf(group.name, group.entries));
  };
  for (const written of text.split('\n')) {
    const line = written.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [, name, id] = /^\[([\w-]+)(?:\s+"([^"]*)")?\]$/.exec(line) ?? [];
    const [, key, value] = /^([\w.:-]+)\s*=\s*"([^"]*)"$/.exec(line) ?? [];
    if (name !== undefined) {
      close();
      group = { name: optionOfGroup[name] ?? name, entries: id === undefined ? [] : [['id', id]] };
      if (!sameName.has(name) && optionOfGroup[name] === undefined) unknown.push(line);
    } else if (key !== undefined && value !== undefined && group !== undefined) {
      group.entries.push([key, value]);
    } else {
      unknown.push(line);
    }
  }
  close();
  return { options, unknown };
}

function optionOf(name: string, entries: readonly (readonly [string, string])[]): CommandOption {
  const implied = impliedKey(name);
  const first = entries.find(([key]) => key === implied && implied !== '');
  const ordered =
    first === undefined ? entries : [first, ...entries.filter((entry) => entry !== first)];
  return makeOption(name, makeValue(ordered, implied));
}
