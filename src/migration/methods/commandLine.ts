import { isArray, isObject, parseJson, type JsonValue } from '../../qmp/json';
import { readOptions } from '../../vm/qemuOptions';

/** One option of a QEMU's command line. */
export interface CommandOption {
  /** Without dashes; empty for a bare word, which QEMU takes for the first disk. */
  readonly name: string;
  readonly value: string | undefined;
  /** The arguments exactly as they were given. */
  readonly words: readonly string[];
}

/** Options without a value, of all QEMUs from 7.2 on. All others take the next argument, whatever it is. */
const flags = new Set(
  (
    'h ? help version snapshot S daemonize nodefaults no-user-config no-reboot no-shutdown enable-kvm ' +
    'nographic only-migratable preconfig singlestep one-insn-per-tb no-fd-bootchk win2k-hack no-acpi ' +
    'no-hpet usb portrait alt-grab ctrl-grab curses no-frame no-quit sdl full-screen semihosting ' +
    'old-param enable-fips mem-prealloc enable-sync-profile xen-attach xen-domid-restrict perfmap jitdump'
  ).split(' '),
);

/** Splits the arguments behind the program into options, as QEMU does: `-name` and `--name` are one. */
export function readCommandLine(args: readonly string[]): readonly CommandOption[] {
  const options: CommandOption[] = [];
  for (let at = 0; at < args.length;) {
    const word = args[at] ?? '';
    const name = /^--?(.+)$/s.exec(word)?.[1];
    const next = args[at + 1];
    if (name === undefined) {
      options.push({ name: '', value: word, words: [word] });
      at += 1;
    } else if (flags.has(name) || next === undefined) {
      options.push({ name, value: undefined, words: [word] });
      at += 1;
    } else {
      options.push({ name, value: next, words: [word, next] });
      at += 2;
    }
  }
  return options;
}

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
  return [program, ...kept.flatMap(({ words }) => words), ...machine, '-incoming', incoming];
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
  const [first, second] = [a, b].map((args) => keptOptions(args).flatMap(({ words }) => words));
  return (
    first?.length === second?.length && first?.every((word, at) => word === second?.[at]) === true
  );
}

/** Key and value of everything in an option, however deep; the leading word has an empty key. */
export function valuesOf({ value = '' }: CommandOption): readonly (readonly [string, string])[] {
  const json = value.startsWith('{') ? jsonOf(value) : undefined;
  if (json !== undefined) return deepValues('', json);
  const { first, options } = readOptions(value);
  const all: (readonly [string, string])[] = first === undefined ? [] : [['', first]];
  for (const [key, text] of options) {
    const inner = text.startsWith('json:') ? jsonOf(text.slice('json:'.length)) : undefined;
    if (inner === undefined) all.push([key, text]);
    else all.push(...deepValues(key, inner));
  }
  return all;
}

function jsonOf(text: string): JsonValue | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function deepValues(key: string, value: JsonValue): readonly (readonly [string, string])[] {
  if (isArray(value)) return value.flatMap((entry) => deepValues(key, entry));
  if (isObject(value)) {
    return Object.entries(value).flatMap(([name, member]) =>
      deepValues(key === '' ? name : `${key}.${name}`, member),
    );
  }
  return [[key, value === true ? 'on' : value === false ? 'off' : String(value)]];
}

/** The value of a key at the top of an option. */
export function valueOf(option: CommandOption, key: string): string | undefined {
  return valuesOf(option).find(([name]) => name === key)?.[1];
}

/** `on` in all the ways of writing it. */
export function isOn(text: string | undefined): boolean {
  return text !== undefined && ['on', 'yes', 'true', 'y'].includes(text);
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
