import type { CommandOption } from '../../../vm/commandLine/commandLine';
import {
  isOff,
  isOn,
  readValue,
  writeValue,
  type OptionValue,
} from '../../../vm/commandLine/optionValue';
import type { RewriteFacts } from '../commandLineTypes';
import { shown, type Draft, type Verdict } from './draft';
import { blocks, tells, warns } from './findings';

/** A network of the host that an option opens. */
export interface Network {
  readonly option: CommandOption;
  readonly value: OptionValue;
  readonly type: string;
  /** `undefined`: QEMU makes one up (`#net123`), another one in each process. */
  readonly id: string | undefined;
}

/** `-netdev`, `-nic` and `-net` that are no NIC alone. */
export function readNetwork(option: CommandOption): Network | undefined {
  if (!['netdev', 'nic', 'net'].includes(option.name)) return undefined;
  const value = readValue(option);
  const type = value?.get('type');
  if (value === undefined || type === undefined) return undefined;
  if (option.name === 'net' && (type === 'nic' || type === 'none')) return undefined;
  return {
    option,
    value,
    type,
    id: value.get('id'),
  };
}

/** @returns `undefined` where the option is kept */
export function network(option: CommandOption, draft: Draft): Verdict | undefined {
  const found = readNetwork(option);
  if (found === undefined) {
    if (readValue(option)?.get('type') === undefined) unknown(option, draft);
    return undefined;
  }
  switch (found.type) {
    case 'tap':
    case 'bridge':
      return tap(found, draft);
    case 'user':
      return user(found, draft);
    case 'hubport':
    case 'none':
      return undefined;
    case 'socket':
    case 'stream':
      return socket(found, draft);
    case 'dgram':
      warns(
        draft,
        option,
        'live-update-network',
        `Both QEMUs take part in "${shown(option)}".`,
        'Where it uses a local port or path, the new one finds it in use and ends before the guest is touched.',
        'Make sure that two may take part in it.',
      );
      return undefined;
    case 'vhost-user':
    case 'vhost-vdpa':
    case 'af-xdp':
    case 'netmap':
    case 'l2tpv3':
    case 'vde':
    case 'passt':
      blocks(
        draft,
        option,
        'live-update-exclusive',
        `"${shown(option)}" can serve one QEMU at a time.`,
        'The new QEMU would take it away from the guest, or not come up.',
      );
      return undefined;
    default:
      unknown(option, draft);
      return undefined;
  }
}

function unknown(option: CommandOption, draft: Draft): void {
  blocks(
    draft,
    option,
    'live-update-network',
    `The network "${shown(option)}" is not understood.`,
    'It may be something that one QEMU at a time can have.',
  );
}

/** What QEMU refuses beside descriptors, and what only says how to open the TAP. */
const opening = [
  ...['ifname', 'script', 'downscript', 'br', 'helper', 'queues', 'vnet_hdr'],
  ...['fd', 'fds', 'vhostfd', 'vhostfds'],
];

function tap(net: Network, draft: Draft): Verdict | undefined {
  const { option, value } = net;
  if (draft.wishes.taps === 'keep') return undefined;
  if (draft.wishes.taps === 'leave-out') return leftOut(net, draft);
  if (draft.wishes.taps === 'anew') return anew(net, draft);
  const queues = queuesOf(net, draft);
  if (queues === undefined) {
    blocks(
      draft,
      option,
      'live-update-tap-unknown',
      `Which descriptors of the source belong to "${shown(option)}" is not known.`,
      'Without them the new QEMU cannot have the same TAP.',
    );
    return undefined;
  }
  const fds = queues.fds.map((sourceFd) => {
    const targetFd = draft.nextFd();
    draft.adopt.push({ sourceFd, targetFd, tap: queues.ifname, netdev: net.id });
    return String(targetFd);
  });
  const { hadVhost, rest } = withoutVhostFds(value.without(...opening), value);
  if (hadVhost && !isOn(value.get('vhost'))) {
    tells(
      draft,
      option,
      'live-update-vhost',
      'The new QEMU opens /dev/vhost-net itself.',
      'The descriptors that the old one was given belong to its memory.',
      'Make sure that its user may open /dev/vhost-net.',
    );
  }
  const typed = net.type === 'tap' ? rest : rest.with('type', 'tap');
  const given =
    fds.length === 1 ? typed.with('fd', fds[0] ?? '') : typed.with('fds', fds.join(':'));
  return { after: [writeValue(option, given)], why: 'the very same TAP, by its descriptors' };
}

function withoutVhostFds(
  rest: OptionValue,
  before: OptionValue,
): { hadVhost: boolean; rest: OptionValue } {
  const hadVhost = before.has('vhostfd') || before.has('vhostfds');
  return {
    hadVhost,
    rest: hadVhost && !isOff(before.get('vhost')) ? rest.with('vhost', 'on') : rest,
  };
}

/** The source's descriptors of a TAP: as they were found, or as the option says. */
function queuesOf(
  { id, value }: Network,
  { facts, options }: Draft,
): { readonly ifname: string | undefined; readonly fds: readonly number[] } | undefined {
  const known = id === undefined ? undefined : facts.taps.get(id);
  if (known !== undefined && known.fds.length > 0) return known;
  const ifname = value.get('ifname');
  const byName = [...facts.taps.values()].find((one) => one.ifname === ifname);
  if (byName !== undefined && byName.fds.length > 0) return byName;
  const nameless = id === undefined ? onlyNameless(facts.taps, options) : undefined;
  if (nameless !== undefined) return nameless;
  const given = value.get('fds') ?? value.get('fd');
  if (given === undefined || !/^\d+(:\d+)*$/.test(given)) return undefined;
  const fds = given.split(':').map(Number);
  const taps = fds.map((fd) => facts.descriptors.get(fd)?.tap);
  const [first] = taps;
  return first === undefined || taps.some((tapName) => tapName !== first)
    ? undefined
    : { ifname: first, fds };
}

/** The TAP whose id QEMU made up, where there is one such TAP and one option that it can be of. */
function onlyNameless(
  taps: RewriteFacts['taps'],
  options: readonly CommandOption[],
): { readonly ifname: string; readonly fds: readonly number[] } | undefined {
  const made = [...taps].filter(([id, { fds }]) => id.startsWith('#') && fds.length > 0);
  const takers = options.filter((option) => {
    const found = readNetwork(option);
    return found?.id === undefined && ['tap', 'bridge'].includes(found?.type ?? '');
  });
  return made.length === 1 && takers.length === 1 ? made[0]?.[1] : undefined;
}

function leftOut({ option, id }: Network, draft: Draft): Verdict | undefined {
  if (option.name !== 'netdev' || id === undefined) {
    blocks(
      draft,
      option,
      'live-update-nic',
      `"${shown(option)}" makes its NIC with the machine.`,
      'Such a NIC cannot be left out and added later at the same place.',
      'Choose another method, such as TAP adoption.',
    );
    return undefined;
  }
  const nics = draft.options.filter((other) => isNicOf(other, id));
  const ids = nics.map((nic) => readValue(nic)?.get('id'));
  for (const device of ids.length === 0 ? [undefined] : ids)
    draft.leftOut.push({ netdev: id, device });
  return { after: [], why: 'added over QMP, with the TAP' };
}

/** Whether the option is a NIC of that network. */
export function isNicOf(option: CommandOption, netdev: string): boolean {
  return option.name === 'device' && readValue(option)?.get('netdev') === netdev;
}

function anew({ option, value, type }: Network, draft: Draft): Verdict | undefined {
  const scripted = type === 'bridge' || value.has('br') || value.has('helper') || runsScript(value);
  if (!scripted) {
    warns(
      draft,
      option,
      'live-update-new-tap',
      'The new TAP is in no bridge.',
      'The kernel makes a fresh one for the new QEMU, and no script puts it anywhere, so the guest loses its network.',
      'Put it into its bridge before the update goes on, or choose TAP adoption.',
    );
  } else {
    tells(
      draft,
      option,
      'live-update-new-tap',
      'The guest gets a new TAP.',
      'Its helper or script puts it where the old one is; switches learn of it from the packets that QEMU announces the guest with.',
    );
  }
  if (type === 'bridge') return undefined;
  if (!value.has('fd') && !value.has('fds')) {
    return value.has('ifname')
      ? {
          after: [writeValue(option, value.without('ifname'))],
          why: 'the name is in use until the old QEMU is gone',
        }
      : undefined;
  }
  const { rest } = withoutVhostFds(value.without('fd', 'fds', 'vhostfd', 'vhostfds'), value);
  const queues = (value.get('fds') ?? '').split(':').length;
  const many = queues > 1 ? rest.with('queues', String(queues)) : rest;
  const made = many.with('script', 'no').with('downscript', 'no');
  return { after: [writeValue(option, made)], why: 'the descriptors belong to the old QEMU' };
}

/** The scripts that QEMU runs unless told otherwise. */
function runsScript(value: OptionValue): boolean {
  if (value.has('fd') || value.has('fds')) return false;
  const script = value.get('script');
  return script !== 'no' && script !== '';
}

/** Forwarded ports exist once: they are opened when the old QEMU is gone. */
function user({ option, value, id }: Network, draft: Draft): Verdict | undefined {
  if (value.has('guestfwd') || value.has('smb')) {
    tells(
      draft,
      option,
      'live-update-user-network',
      `Connections of "${shown(option)}" end with the old QEMU.`,
      'They live in its process; the guest can open new ones.',
    );
  }
  const forwards = value.isJson
    ? value.entries.flatMap(([key, text]) => (/^hostfwd\.\d+\.str$/.test(key) ? [text] : []))
    : value.all('hostfwd');
  if (forwards.length === 0) return undefined;
  // Without an id QEMU takes the only network of that kind.
  const users = draft.options.filter((other) => readNetwork(other)?.type === 'user');
  const isOnly = id === undefined && users.length === 1;
  const named = id ?? (isOnly ? undefined : `net-${draft.options.indexOf(option)}`);
  for (const forward of forwards) {
    draft.late.push({
      what: `forwarded port ${forward}`,
      command: 'human-monitor-command',
      args: { 'command-line': `hostfwd_add ${named === undefined ? '' : `${named} `}${forward}` },
    });
  }
  const rest = value.without('hostfwd');
  const after = id === undefined && named !== undefined ? rest.with('id', named) : rest;
  return {
    after: [writeValue(option, after)],
    why: 'the ports are in use until the old QEMU is gone',
  };
}

function socket({ option, value, type }: Network, draft: Draft): Verdict | undefined {
  const listens = type === 'socket' ? value.has('listen') : isOn(value.get('server'));
  const unixPath = value.get('addr.type') === 'unix' ? value.get('addr.path') : undefined;
  if (listens && unixPath !== undefined) {
    warns(
      draft,
      option,
      'live-update-network',
      `What is connected to "${shown(option)}" loses its connection.`,
      "The connection is the old QEMU's; the new one listens anew.",
      'Make sure that the other side connects again.',
    );
    const own = draft.moved(unixPath, 'network socket');
    return {
      after: [writeValue(option, value.with('addr.path', own))],
      why: 'a path of its own until the old QEMU is gone',
    };
  }
  if (listens || value.has('fd') || value.get('addr.type') === 'fd') {
    blocks(
      draft,
      option,
      'live-update-exclusive',
      `"${shown(option)}" can serve one QEMU at a time.`,
      'Its port or descriptor is in use, and QEMU cannot take it later.',
    );
    return undefined;
  }
  warns(
    draft,
    option,
    'live-update-network',
    `Both QEMUs connect to "${shown(option)}".`,
    'A server that takes one client may refuse the second or drop the first.',
    'Make sure that the other side takes two clients at a time.',
  );
  return undefined;
}
