import { makeOption, withValue, type CommandOption } from '../../../vm/commandLine/commandLine';
import {
  listeningAt,
  readCharacterDevice,
  type CharacterDevice,
} from '../../../vm/commandLine/characterDevice';
import { driverOf } from '../../../vm/commandLine/ids';
import { isOn, makeValue, readValue, writeValue } from '../../../vm/commandLine/optionValue';
import { shown, type Draft, type Verdict } from './draft';
import { blocks, tells, warns } from './findings';

/**
 * `-chardev`, `-serial`, `-monitor`, `-qmp` and their like: what listens gets a place of its own, what
 * writes a file goes on with it, and what talks to somebody who serves one client is told of.
 *
 * @returns `undefined` where the option is kept
 */
export function characterDevice(option: CommandOption, draft: Draft): Verdict | undefined {
  const device = readCharacterDevice(option);
  if (device === undefined) {
    warns(
      draft,
      option,
      'live-update-chardev',
      `The character device "${shown(option)}" is not understood.`,
      'The new QEMU gets it as it stands, and may take something away from the old one.',
      'Look at it in the plan, and edit the command line if it listens or writes anywhere.',
    );
    return undefined;
  }
  const verdict = endOf(device, draft);
  const logged = withLogAppended(verdict?.after ?? [option]);
  if (logged === undefined) return verdict;
  return { after: logged, why: verdict?.why ?? 'the log goes on where it ends' };
}

function endOf(device: CharacterDevice, draft: Draft): Verdict | undefined {
  const { option, backend } = device;
  switch (backend) {
    case 'socket':
      return device.isServer ? server(device, draft) : client(device, draft);
    case 'file':
      return file(device, draft);
    case 'stdio':
      return terminal(device, draft);
    case 'pipe':
      warns(
        draft,
        option,
        'live-update-pipe',
        `"${shown(option)}" is a pipe.`,
        'Two QEMUs that read one pipe take the input away from each other, so the new QEMU listens at a UNIX socket instead.',
        'Let what talks through the pipe use the socket that the plan shows.',
      );
      return ownSocket(device, draft, 'a pipe serves one QEMU');
    case 'pty':
      tells(
        draft,
        option,
        'live-update-pty',
        `"${shown(option)}" gets another pseudo-terminal.`,
        'The kernel gives each QEMU one of its own; what has the old one open sees its end.',
        'Ask the new QEMU with "query-chardev" for its name.',
      );
      return undefined;
    case 'udp':
      warns(
        draft,
        option,
        'live-update-udp',
        `"${shown(option)}" may use a local UDP port.`,
        'Where a local port is given, the new QEMU finds it in use and ends before the guest is touched.',
        'Leave the local port out of the command line in the plan.',
      );
      return undefined;
    case 'serial':
    case 'parallel':
      warns(
        draft,
        option,
        'live-update-tty',
        `Both QEMUs have ${device.path ?? 'a port of the host'} open.`,
        'What arrives there may be read by either of them until the old one is gone.',
        'Let nothing be sent there while the update runs.',
      );
      return undefined;
    default:
      // null, ringbuf, vc, spicevmc, a chardev that is named: nothing that exists once.
      return undefined;
  }
}

/** For people: what the socket is. */
function purpose({ option, id }: CharacterDevice): string {
  switch (option.name) {
    case 'qmp':
    case 'qmp-pretty':
      return 'QMP socket';
    case 'monitor':
      return 'monitor';
    case 'serial':
      return 'serial console';
    case 'chardev':
      return `character device ${id ?? ''}`.trim();
    default:
      return option.name;
  }
}

/** Whether a monitor speaks QMP there: `-mon`, or from 11.1 on `-object monitor-qmp`. */
function isControl(id: string | undefined, draft: Draft): boolean {
  return draft.options.some((option) => {
    const value = readValue(option);
    if (value?.get('chardev') !== id) return false;
    if (option.name === 'mon') return value?.get('mode') === 'control';
    return option.name === 'object' && driverOf(option, value) === 'monitor-qmp';
  });
}

function speaksQmp({ option, id }: CharacterDevice, draft: Draft): boolean {
  if (option.name === 'chardev') return id !== undefined && isControl(id, draft);
  return option.name === 'qmp' || option.name === 'qmp-pretty';
}

function server(device: CharacterDevice, draft: Draft): Verdict | undefined {
  const { option, end } = device;
  const { wishes } = draft;
  if (isExclusive(device, draft)) return undefined;
  const isQmp = speaksQmp(device, draft);
  if (end?.kind === 'unix' && !end.abstract) {
    if (
      isQmp &&
      !draft.hasQmpSocket &&
      draft.knownAs(end.path) === draft.resolve(wishes.oldQmpSocket)
    ) {
      return takeQmpSocket(device, draft);
    }
    const own = draft.moved(end.path, isQmp ? 'QMP socket' : purpose(device));
    return { after: [listeningAt(device, own)], why: whySocket(device) };
  }
  if (end?.kind === 'fd' && isQmp && !draft.hasQmpSocket && isOnlyWay(device, draft)) {
    return takeQmpSocket(device, draft);
  }
  if (end?.kind === 'tcp') return tcpServer(device, end, draft);
  const what = end?.kind === 'fd' ? 'an inherited socket' : 'a socket without a path';
  warns(
    draft,
    option,
    'live-update-socket-path',
    `"${shown(option)}" listens at ${what}.`,
    'It belongs to the old QEMU and cannot be moved, so the new one listens at a path of its own.',
    'Let what connects to it use the path that the plan shows.',
  );
  return ownSocket(device, draft, `${what} serves one QEMU`);
}

/** Whether this is the one QMP server at an inherited socket, and none has the path that is known. */
function isOnlyWay(device: CharacterDevice, draft: Draft): boolean {
  const servers = draft.options.flatMap((option) => {
    const other = readCharacterDevice(option);
    return other?.isServer === true && speaksQmp(other, draft) ? [other] : [];
  });
  const known = draft.resolve(draft.wishes.oldQmpSocket);
  const atPath = servers.some(
    ({ end }) => end?.kind === 'unix' && draft.knownAs(end.path) === known,
  );
  const inherited = servers.filter(({ end }) => end?.kind === 'fd');
  return !atPath && inherited.length === 1 && inherited[0]?.option === device.option;
}

function takeQmpSocket(device: CharacterDevice, draft: Draft): Verdict {
  const { qmpSocket, oldQmpSocket } = draft.wishes;
  draft.hasQmpSocket = true;
  draft.moves.push({ what: 'QMP socket', from: qmpSocket, to: draft.resolve(oldQmpSocket) });
  return { after: [listeningAt(device, qmpSocket)], why: whySocket(device) };
}

function whySocket({ waits }: CharacterDevice): string {
  const why = 'a path of its own until the old QEMU is gone';
  return waits ? `${why}; nobody is waited for` : why;
}

function ownSocket(device: CharacterDevice, draft: Draft, why: string): Verdict {
  const { option, id } = device;
  const own = draft.own(id ?? `${option.name}-${draft.options.indexOf(option)}`);
  return { after: [listeningAt(device, own)], why };
}

/** A UNIX socket meanwhile; where the user of the device can change it, the old address comes back. */
function tcpServer(
  device: CharacterDevice,
  end: { readonly host: string; readonly port: string },
  draft: Draft,
): Verdict | undefined {
  const { option, id, mux } = device;
  const address = `${end.host}:${end.port}`;
  if (option.name === 'gdb') {
    // The stub begins to listen when it is told so.
    return {
      after: lateGdb(option.value ?? '', draft),
      why: 'the port is in use until the old QEMU is gone',
    };
  }
  const label = option.name === 'chardev' ? id : implicitLabel(option, draft);
  const canChange = !mux && label !== undefined && isSerialPort(device, draft);
  const own = ownSocket(device, draft, 'the port is in use until the old QEMU is gone');
  if (canChange) {
    const { protocol, keys } = device;
    const inet = { host: end.host === '' ? '0.0.0.0' : end.host, port: end.port };
    draft.late.push({
      what: `${purpose(device)} at ${address}`,
      command: 'chardev-change',
      args: {
        id: label,
        backend: {
          type: 'socket',
          data: {
            addr: { type: 'inet', data: inet },
            server: true,
            wait: false,
            ...(protocol !== undefined && { [protocol]: true }),
            ...(keys.has('nodelay') && { nodelay: isOn(keys.get('nodelay')) }),
            ...(keys.has('tls-creds') && { 'tls-creds': keys.get('tls-creds') }),
          },
        },
      },
    });
    return own;
  }
  warns(
    draft,
    option,
    'live-update-tcp',
    `${address} is lost: "${shown(option)}" listens at a UNIX socket in the new QEMU.`,
    'The port is in use while both run, and QEMU cannot change this character device later.',
    'Let what connects to it use the socket that the plan shows, until the guest is started anew.',
  );
  return own;
}

/** Leaves the stub out, and has it listen again when the old QEMU is gone. */
export function lateGdb(device: string, draft: Draft): readonly CommandOption[] {
  draft.late.push({
    what: `gdb stub at ${device}`,
    command: 'human-monitor-command',
    args: { 'command-line': `gdbserver ${device}` },
  });
  return [];
}

/** `serial0`, `serial1`, ... as QEMU counts them. */
function implicitLabel(option: CommandOption, draft: Draft): string | undefined {
  if (option.name !== 'serial') return undefined;
  const before = draft.options.slice(0, draft.options.indexOf(option));
  return `serial${before.filter(({ name }) => name === 'serial').length}`;
}

/** Serial ports of the machine can change their character device while they run; few others can. */
function isSerialPort({ option, id }: CharacterDevice, draft: Draft): boolean {
  if (option.name === 'serial') return true;
  if (option.name !== 'chardev' || id === undefined) return false;
  const users = usersOf(option, id, draft);
  return (
    users.length > 0 &&
    users.every(
      (user) => user.name === 'serial' || ['isa-serial', 'pci-serial'].includes(driverOf(user)),
    )
  );
}

/** Whether the other end is a process that serves one QEMU; says so. */
function isExclusive({ option, id }: CharacterDevice, draft: Draft): boolean {
  const exclusive = usersOf(option, id, draft).find((other) => {
    const driver = driverOf(other);
    return other.name === 'tpmdev' || /^(vhost-user|ivshmem)/.test(driver);
  });
  if (exclusive === undefined) return false;
  blocks(
    draft,
    option,
    'live-update-exclusive',
    `"${shown(exclusive)}" lives in another process, which serves one QEMU.`,
    'The new QEMU would take it away from the guest, or wait for it for ever.',
  );
  return true;
}

/** The options that name the character device. */
function usersOf(
  option: CommandOption,
  id: string | undefined,
  draft: Draft,
): readonly CommandOption[] {
  if (id === undefined) return [];
  return draft.options.filter(
    (other) =>
      other !== option &&
      (other.value === `chardev:${id}` ||
        readValue(other)?.entries.some(([key, text]) => key === 'chardev' && text === id)),
  );
}

function client(device: CharacterDevice, draft: Draft): Verdict | undefined {
  const { option, end } = device;
  if (isExclusive(device, draft)) return undefined;
  if (end?.kind === 'fd') {
    blocks(
      draft,
      option,
      'live-update-descriptor',
      `"${shown(option)}" is a connection that was handed to the old QEMU.`,
      'Two QEMUs at one connection would read each the half of it.',
    );
    return undefined;
  }
  warns(
    draft,
    option,
    'live-update-client',
    `Both QEMUs connect to the other end of "${shown(option)}".`,
    'A server that takes one client may refuse the second or drop the first, and the new QEMU ends where nobody answers.',
    'Make sure that the server takes two clients at a time.',
  );
  return undefined;
}

function file({ option, path, keys }: CharacterDevice, draft: Draft): Verdict | undefined {
  const why = 'the log goes on where it ends';
  if (option.name === 'chardev') {
    const key = keys.has('backend.type') ? 'backend.data.append' : 'append';
    if (isOn(keys.get(key)) || keys.has('input-path') || keys.has('in')) return undefined;
    return { after: [writeValue(option, keys.with(key, 'on'))], why };
  }
  if (path === undefined) return undefined;
  const id = implicitLabel(option, draft) ?? `${option.name}-${draft.options.indexOf(option)}`;
  const entries = [
    ['backend', 'file'],
    ['id', id],
    ['path', path],
    ['append', 'on'],
  ] as const;
  return {
    after: [
      makeOption('chardev', makeValue(entries, 'backend')),
      withValue(option, `chardev:${id}`),
    ],
    why: `${why}; the short spelling cannot say so`,
  };
}

function terminal(device: CharacterDevice, draft: Draft): Verdict {
  const { option } = device;
  const verdict = ownSocket(device, draft, 'the terminal belongs to the old QEMU');
  warns(
    draft,
    option,
    'live-update-terminal',
    `The terminal of "${shown(option)}" ends with the old QEMU.`,
    'The new one is no child of that terminal, and listens at a UNIX socket instead.',
    'Connect to the socket that the plan shows, for example with socat.',
  );
  return verdict;
}

/** Log files of character devices are emptied by whoever opens them, unless told otherwise. */
function withLogAppended(options: readonly CommandOption[]): readonly CommandOption[] | undefined {
  const after = options.map(appended);
  return after.some((option, at) => option !== options[at]) ? after : undefined;
}

function appended(option: CommandOption): CommandOption {
  const device = option.name === 'chardev' ? readValue(option) : undefined;
  const key = ['logfile', 'backend.data.logfile'].find((name) => device?.has(name));
  if (device === undefined || key === undefined) return option;
  const append = key.replace(/logfile$/, 'logappend');
  return isOn(device.get(append)) ? option : writeValue(option, device.with(append, 'on'));
}
