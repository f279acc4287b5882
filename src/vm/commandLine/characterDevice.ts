import { isOff, isOn, makeValue, parseValue, type OptionValue } from './optionValue';
import { withValue, type CommandOption } from './commandLine';

/** Options whose value is a character device in the short spelling, such as `unix:/run/a,server=on`. */
const shortOptions = new Set([
  'serial',
  'parallel',
  'monitor',
  'qmp',
  'qmp-pretty',
  'debugcon',
  'gdb',
  'qtest',
]);

/** Where a character device listens or connects to. */
export type CharacterEnd =
  | { readonly kind: 'unix'; readonly path: string; readonly abstract: boolean }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: string }
  /** A socket inherited from whoever started QEMU. */
  | { readonly kind: 'fd'; readonly fd: string };

/** A character device as an option gives it: `-chardev`, or the short spelling of `-serial` and its like. */
export interface CharacterDevice {
  readonly option: CommandOption;
  /** Of `-chardev`. */
  readonly id: string | undefined;
  /** `socket`, `file`, `stdio`, `pty`, `pipe`, `udp`, `null`, `none`, `chardev` (names another one), ... */
  readonly backend: string;
  /** Of a socket. */
  readonly end: CharacterEnd | undefined;
  readonly isServer: boolean;
  /** A server that holds QEMU up until somebody connects. */
  readonly waits: boolean;
  /** Shared with the monitor (`mon:`, `mux=on`). */
  readonly mux: boolean;
  /** `telnet`, `websocket` or `tn3270`. */
  readonly protocol: string | undefined;
  /** Of a file, pipe or device; the id of another character device. */
  readonly path: string | undefined;
  /** The keys; in the short spelling without what stands before the first comma of a TCP address. */
  readonly keys: OptionValue;
}

/** `undefined` where the option gives no character device, or it cannot be understood. */
export function readCharacterDevice(option: CommandOption): CharacterDevice | undefined {
  if (option.name === 'chardev') return readLong(option);
  return shortOptions.has(option.name) ? readShort(option) : undefined;
}

function readLong(option: CommandOption): CharacterDevice | undefined {
  const keys = parseValue(option.value ?? '', 'backend');
  if (keys === undefined) return undefined;
  const written = keys.get('backend') ?? keys.get('backend.type');
  if (written === undefined) return undefined;
  const backend = { tty: 'serial', parport: 'parallel' }[written] ?? written;
  const data = keys.has('backend.type') ? 'backend.data.' : '';
  const get = (key: string): string | undefined => keys.get(`${data}${key}`);
  const isSocket = backend === 'socket';
  return {
    option,
    id: keys.get('id'),
    backend,
    end: isSocket ? socketEnd(get) : undefined,
    // QAPI's own default is on.
    isServer: isSocket && (data === '' ? isOn(get('server')) : !isOff(get('server'))),
    waits: isSocket && isOn(get('server')) && !isOff(get('wait')),
    mux: isOn(keys.get('mux')),
    protocol: protocols.find((key) => isOn(get(key))),
    path: isSocket ? undefined : (get('path') ?? get('out')),
    keys,
  };
}

const protocols = ['telnet', 'websocket', 'tn3270'];

function socketEnd(get: (key: string) => string | undefined): CharacterEnd | undefined {
  const path = get('path') ?? get('addr.data.path');
  if (path !== undefined) return { kind: 'unix', path, abstract: isOn(get('abstract')) };
  const fd = get('fd') ?? get('addr.data.str');
  if (fd !== undefined) return { kind: 'fd', fd };
  const port = get('port') ?? get('addr.data.port');
  return port === undefined
    ? undefined
    : { kind: 'tcp', host: get('host') ?? get('addr.data.host') ?? '', port };
}

const plain = new Set([
  'null',
  'pty',
  'stdio',
  'vc',
  'msmouse',
  'braille',
  'wctablet',
  'testdev',
  'none',
]);

function readShort(option: CommandOption): CharacterDevice | undefined {
  const value = option.value ?? '';
  const mux = value.startsWith('mon:');
  const text = mux ? value.slice('mon:'.length) : value;
  const device = (
    more: Partial<CharacterDevice> & { readonly backend: string },
  ): CharacterDevice => ({
    option,
    id: undefined,
    end: undefined,
    isServer: false,
    waits: false,
    mux,
    protocol: undefined,
    path: undefined,
    keys: noKeys,
    ...more,
  });
  if (plain.has(text)) return device({ backend: text });
  if (text.startsWith('/dev/')) return device({ backend: 'serial', path: text });
  const [, scheme, rest] = /^([a-z][\w-]*):(.*)$/s.exec(text) ?? [];
  switch (scheme ?? '') {
    case 'unix': {
      const keys = parseValue(rest ?? '', 'path') ?? noKeys;
      const path = keys.get('path');
      if (path === undefined) return undefined;
      const end = { kind: 'unix', path, abstract: isOn(keys.get('abstract')) } as const;
      const protocol = protocols.find((key) => isOn(keys.get(key)));
      return device({ backend: 'socket', end, keys, protocol, ...servers(option, keys) });
    }
    case 'tcp':
    case 'telnet':
    case 'websocket':
    case 'tn3270': {
      const [, host, port, more] =
        /^(\[[^\]]*\]|[^,:]*):([^,]*)(?:,(.*))?$/s.exec(rest ?? '') ?? [];
      if (host === undefined || port === undefined) return undefined;
      const keys = parseValue(more ?? '', '') ?? noKeys;
      const bare = host.replace(/^\[(.*)\]$/, '$1');
      return device({
        backend: 'socket',
        end: { kind: 'tcp', host: bare, port },
        protocol: scheme === 'tcp' ? undefined : scheme,
        keys,
        ...servers(option, keys),
      });
    }
    case 'file':
    case 'pipe':
      return device({ backend: scheme ?? '', path: rest });
    case 'chardev':
      return device({ backend: 'chardev', path: rest });
    case 'udp':
    case 'vc':
    case 'con':
    case 'fdset':
      return device({ backend: scheme ?? '' });
    default:
      return undefined;
  }
}

const noKeys = parseValue('', '') as OptionValue;

function servers(
  { name }: CommandOption,
  keys: OptionValue,
): { readonly isServer: boolean; readonly waits: boolean } {
  // The gdb stub listens whether told so or not, and never waits.
  if (name === 'gdb') return { isServer: true, waits: false };
  const isServer = isOn(keys.get('server'));
  return { isServer, waits: isServer && !isOff(keys.get('wait')) };
}

/**
 * The same character device as a UNIX socket at `path` that nobody is waited for at. What belongs to
 * another kind of end is dropped; `telnet` and its like stay.
 */
export function listeningAt(device: CharacterDevice, path: string): CommandOption {
  const { option, keys, mux, protocol } = device;
  if (option.name !== 'chardev') {
    const more = [
      ...['server', 'wait', 'path', 'nodelay', 'abstract', 'tight', 'ipv4', 'ipv6', 'to', 'delay'],
      ...protocols,
    ];
    const rest = keys
      .without(...more)
      .with('server', 'on')
      .with('wait', 'off');
    const spoken = protocol === undefined ? rest : rest.with(protocol, 'on');
    const first = makeValue([['path', path]], 'path');
    return withValue(option, `${mux ? 'mon:' : ''}unix:${first},${spoken.print()}`);
  }
  if (keys.has('backend.type')) {
    const data = 'backend.data';
    const address = keys
      .without(`${data}.addr`)
      .with('backend.type', 'socket')
      .with(`${data}.addr.type`, 'unix')
      .with(`${data}.addr.data.path`, path)
      .with(`${data}.server`, 'on')
      .with(`${data}.wait`, 'off');
    return withValue(option, address.print());
  }
  const dropped = [
    'fd',
    'host',
    'port',
    'to',
    'ipv4',
    'ipv6',
    'nodelay',
    'delay',
    'abstract',
    'tight',
  ];
  const others = [
    'signal',
    'cols',
    'rows',
    'width',
    'height',
    'localaddr',
    'localport',
    'append',
    'input-path',
  ];
  const rest = keys.without(...dropped, ...(device.backend === 'socket' ? [] : others));
  const value = rest
    .with('backend', 'socket')
    .with('path', path)
    .with('server', 'on')
    .with('wait', 'off');
  return withValue(option, value.print());
}
