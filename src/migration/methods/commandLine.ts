import {
  printCommandLine,
  readCommandLine,
  type CommandOption,
} from '../../vm/commandLine/commandLine';
import { deepEntries, isOn, parseValue } from '../../vm/commandLine/optionValue';
import { readOptions } from '../../vm/qemuOptions';

export { isOn, readCommandLine, type CommandOption };

/**
 * What is meant for the first start only. `-S` would leave a running guest standing, `-loadvm` would
 * overwrite the guest's memory, and `-daemonize` would load the guest into another process.
 */
const onlyForStart = new Set(['incoming', 'S', 'daemonize', 'loadvm']);

/** The options that another program gets in the same process, apart from `-incoming`. */
export function keptOptions(args: readonly string[]): readonly CommandOption[] {
  return readCommandLine(args).filter(({ name }) => !onlyForStart.has(name));
}

export interface NewCommand {
  /** Absolute path of the program. */
  readonly program: string;
  /** The options of the running QEMU, or those wished for. */
  readonly args: readonly string[];
  /** What `-incoming` gets. */
  readonly incoming: string;
  /** For another program: the versioned machine, since `q35` may mean a later one there. */
  readonly machineType?: string | undefined;
}

/**
 * The value of `cpr-exec-command`. Arguments are kept word by word and in their order, on which PCI
 * addresses depend.
 */
export function newCommand(command: NewCommand): readonly string[] {
  const { program, args, incoming, machineType } = command;
  const kept = keptOptions(args);
  // QEMU puts all of them together, the last type counts.
  const machine =
    machineType === undefined || machineTypeIn(kept) === machineType
      ? []
      : ['-machine', `type=${machineType}`];
  return [program, ...printCommandLine(kept), ...machine, '-incoming', incoming];
}

function machineTypeIn(options: readonly CommandOption[]): string | undefined {
  let type: string | undefined;
  for (const { name, value = '' } of options) {
    if (name !== 'machine' && name !== 'M') continue;
    const { first, options: given } = readOptions(value);
    type = given.get('type') ?? first ?? type;
  }
  return type;
}

/** Whether both give the same machine; what is meant for the first start only does not count. */
export function isSameCommand(a: readonly string[], b: readonly string[]): boolean {
  const [first, second] = [a, b].map((args) => printCommandLine(keptOptions(args)));
  return (
    first?.length === second?.length && first?.every((word, at) => word === second?.[at]) === true
  );
}

/** Key and value of everything in an option, however deep; the leading word has an empty key. */
export function valuesOf({ value = '' }: CommandOption): readonly (readonly [string, string])[] {
  const entries = parseValue(value, leading)?.entries ?? [[leading, value]];
  return entries.flatMap(([key, text]) => {
    const name = key === leading ? '' : key.replaceAll(/\.\d+(?=\.|$)/g, '');
    const inner = text.startsWith('json:')
      ? deepEntries(name, text.slice('json:'.length))
      : undefined;
    return inner ?? [[name, text] as const];
  });
}

/** Stands for the key of a leading word; no option has such a key. */
const leading = '#';

/** The value of a key at the top of an option. */
export function valueOf(option: CommandOption, key: string): string | undefined {
  return valuesOf(option).find(([name]) => name === key)?.[1];
}

/** Options whose whole value is the path of a file that has to be there. */
const pathOptions = new Set(
  'kernel initrd bios dtb cdrom hda hdb hdc hdd fda fdb pflash mtdblock sd'.split(' '),
);

/** Files of the host that the options name and QEMU opens for the guest; perhaps relative. */
export function filesIn(options: readonly CommandOption[]): readonly string[] {
  return options.flatMap((option) => {
    const { name, value } = option;
    if (pathOptions.has(name)) return plainPath(value);
    if (!['drive', 'blockdev', 'object', 'smbios', 'acpitable'].includes(name)) return [];
    return valuesOf(option).flatMap(([key, text]) =>
      /(^|\.)(file|filename|mem-path)$/.test(key) ? plainPath(text) : [],
    );
  });
}

function plainPath(text: string | undefined): readonly string[] {
  if (text === undefined || text === '') return [];
  const path = text.startsWith('file:') ? text.slice('file:'.length) : text;
  // Such as nbd:, rbd: and fat:, or the name of another node.
  return path.includes('/') && !/^[a-z][\w+.-]*:/i.test(path) ? [path] : [];
}

/** Descriptors that the options take over from whoever started QEMU. */
export function descriptorsIn(
  options: readonly CommandOption[],
): readonly { readonly option: CommandOption; readonly fd: number }[] {
  return options.flatMap((option) =>
    valuesOf(option).flatMap(([key, text]) =>
      /(^|\.)(fds?|vhostfds?)$/.test(key) && /^\d+(:\d+)*$/.test(text)
        ? text.split(':').map((fd) => ({ option, fd: Number(fd) }))
        : [],
    ),
  );
}
