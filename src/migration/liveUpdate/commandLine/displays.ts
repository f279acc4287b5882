import { makeOption, withValue, type CommandOption } from '../../../vm/commandLine/commandLine';
import {
  escapeCommas,
  isOn,
  parseValue,
  readValue,
  writeValue,
  type OptionValue,
} from '../../../vm/commandLine/optionValue';
import { shown, type Draft, type Verdict } from './draft';
import { tells, warns } from './findings';

/** `-vnc`, `-spice` and `-display`. */
export function display(option: CommandOption, draft: Draft): Verdict | undefined {
  const value = readValue(option);
  if (value === undefined) return undefined;
  if (option.name === 'vnc') return vnc(option, value, draft);
  if (option.name === 'spice') return spice(option, value, draft);
  const type = value.get('type') ?? '';
  if (type === 'vnc' || type.startsWith('vnc=')) {
    const inner = (option.value ?? '').replace(/^vnc[=,]?/, '');
    const verdict = vnc(makeOption('vnc', inner), parseValue(inner, 'vnc') ?? value, draft);
    if (verdict === undefined) return undefined;
    return {
      after: verdict.after.map(({ value: text = '' }) => withValue(option, `vnc=${text}`)),
      why: verdict.why,
    };
  }
  switch (type) {
    case 'curses':
      warns(
        draft,
        option,
        'live-update-terminal',
        `The terminal of "${shown(option)}" ends with the old QEMU.`,
        'The new one is no child of that terminal, and shows nothing.',
        'Give the guest a VNC display if it is to be seen afterwards.',
      );
      return { after: [withValue(option, 'none')], why: 'the terminal belongs to the old QEMU' };
    case 'gtk':
    case 'sdl':
    case 'cocoa':
    case 'dbus':
    case 'spice-app':
    case 'egl-headless':
      tells(
        draft,
        option,
        'live-update-window',
        `"${shown(option)}" is there twice while both QEMUs run.`,
        'The new one opens its own, which needs the same session of the desktop.',
        'Leave it out of the command line in the plan if the new QEMU cannot reach that session.',
      );
      return undefined;
    default:
      return undefined;
  }
}

/** Listens nowhere at first; QEMU can be told the old address later (`display-update`, from 7.1 on). */
function vnc(option: CommandOption, value: OptionValue, draft: Draft): Verdict | undefined {
  const address = value.get('vnc') ?? '';
  if (address === '' || address === 'none') return undefined;
  if (isOn(value.get('reverse'))) {
    warns(
      draft,
      option,
      'live-update-vnc',
      `"${shown(option)}" connects to a viewer that waits for it.`,
      'A viewer takes one connection, so the new QEMU does not connect.',
      'Connect it later with the monitor command "change vnc".',
    );
    return {
      after: [writeValue(option, value.without('reverse').with('vnc', 'none'))],
      why: 'the viewer serves one QEMU',
    };
  }
  const id = value.get('id');
  if (id !== undefined && id !== 'default') {
    warns(
      draft,
      option,
      'live-update-vnc',
      `The address of the second display "${id}" is lost.`,
      'QEMU can change the address of its default display only.',
      'Restart the guest when this display is needed.',
    );
  }
  if (isOn(value.get('password'))) {
    warns(
      draft,
      option,
      'live-update-vnc-password',
      'The VNC password has to be set again.',
      'It was given to the running QEMU and cannot be read; without one nobody can log in.',
      'Send "set_password" to the new QEMU afterwards.',
    );
  }
  if (value.has('websocket')) {
    warns(
      draft,
      option,
      'live-update-vnc-websocket',
      'VNC over a websocket is lost.',
      'Its port is in use while both run, and QEMU cannot open it later.',
      'Use plain VNC, or restart the guest when the websocket is needed.',
    );
  }
  const to = addressOf(address);
  const rest = value.without('websocket', 'to', 'ipv4', 'ipv6').with('vnc', 'none');
  if (to === undefined) {
    warns(
      draft,
      option,
      'live-update-vnc',
      `The address "${address}" of the VNC display is not understood.`,
      'The new QEMU listens nowhere.',
      'Send "display-update" to the new QEMU afterwards.',
    );
  } else if (id === undefined || id === 'default') {
    const flags = Object.fromEntries(
      ['ipv4', 'ipv6'].flatMap((key) => (value.has(key) ? [[key, isOn(value.get(key))]] : [])),
    ) as Readonly<Record<string, boolean>>;
    draft.late.push({
      what: `VNC at ${address}`,
      command: 'display-update',
      args: { type: 'vnc', addresses: [to.type === 'inet' ? { ...to, ...flags } : to] },
    });
    if (value.has('to')) {
      tells(
        draft,
        option,
        'live-update-vnc',
        'The VNC display listens at the first port of its range.',
        'The running QEMU may have taken a later one.',
        'Look at "query-vnc" if a viewer does not find it.',
      );
    }
  }
  return {
    after: [writeValue(option, rest)],
    why: 'the address is in use until the old QEMU is gone',
  };
}

type SocketAddress =
  | { readonly type: 'inet'; readonly host: string; readonly port: string }
  | { readonly type: 'unix'; readonly path: string };

function addressOf(text: string): SocketAddress | undefined {
  if (text.startsWith('unix:')) return { type: 'unix', path: text.slice('unix:'.length) };
  const [, host, number] = /^(?:\[([^\]]*)\]|[^:]*):(\d+)$/.exec(text) ?? [];
  if (number === undefined) return undefined;
  const plain = host ?? text.slice(0, text.lastIndexOf(':'));
  return { type: 'inet', host: plain, port: String(5900 + Number(number)) };
}

/** SPICE cannot be told another address later. */
function spice(option: CommandOption, value: OptionValue, draft: Draft): Verdict | undefined {
  if (isOn(value.get('unix'))) {
    const path = value.get('addr');
    if (path === undefined) return undefined;
    const own = draft.moved(path, 'SPICE socket');
    return {
      after: [writeValue(option, value.with('addr', own))],
      why: 'a path of its own until the old QEMU is gone',
    };
  }
  const ports = ['port', 'tls-port'].filter((key) => value.has(key) && value.get(key) !== '0');
  if (ports.length === 0) return undefined;
  const own = draft.own('spice');
  const where = ports.map((key) => `${value.get('addr') ?? ''}:${value.get(key)}`).join(' and ');
  warns(
    draft,
    option,
    'live-update-spice',
    `SPICE at ${where} is lost: the new QEMU offers it at ${own}.`,
    'The port is in use while both run, and QEMU cannot change it later. Viewers lose their connection.',
    'Connect a viewer to the socket, or restart the guest when the port is needed.',
  );
  const tls = [
    'x509-dir',
    'x509-key-file',
    'x509-key-password',
    'x509-cert-file',
    'x509-cacert-file',
    'x509-dh-key-file',
  ];
  const rest = value.without(
    'port',
    'tls-port',
    'tls-channel',
    'tls-ciphers',
    'ipv4',
    'ipv6',
    'plaintext-channel',
    ...tls,
  );
  const local = rest.with('unix', 'on').with('addr', own);
  return {
    after: [withValue(option, local.print())],
    why: 'the port is in use until the old QEMU is gone',
  };
}

/** `-nographic`: the same machine, without the terminal. */
export function noGraphic(option: CommandOption, draft: Draft): Verdict | undefined {
  const names = new Set(draft.options.map(({ name }) => name));
  if (names.has('nodefaults')) return undefined;
  const added: CommandOption[] = [];
  const hasOwnSerial =
    names.has('serial') ||
    draft.options.some(({ name, value = '' }) => name === 'device' && /^isa-serial\b/.test(value));
  if (!hasOwnSerial) {
    const own = draft.own('serial0');
    added.push(makeOption('serial', `unix:${escapeCommas(own)},server=on,wait=off`));
    warns(
      draft,
      option,
      'live-update-terminal',
      'The console on the terminal ends with the old QEMU.',
      `The new one is no child of that terminal, and offers the serial console at ${own}.`,
      `Connect with "socat -,raw,echo=0 UNIX-CONNECT:${own}".`,
    );
  }
  if (!names.has('monitor')) added.push(makeOption('monitor', 'none'));
  if (added.length === 0) return undefined;
  return { after: [option, ...added], why: 'the terminal belongs to the old QEMU' };
}
