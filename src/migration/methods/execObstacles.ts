import { readOptions } from '../../vm/qemuOptions';
import type { Obstacle, ObstacleId } from '../run/checks/obstacle';
import {
  descriptorsIn,
  isOn,
  isSameCommand,
  keptOptions,
  valueOf,
  valuesOf,
  type CommandOption,
} from './commandLine';
import type { ExecFacts } from './execFacts';

/**
 * What forbids replacing a QEMU in its process. QEMU itself checks next to nothing: it goes away
 * first, and a new one that does not come up takes the guest with it. Pure.
 */
export function execObstacles(facts: ExecFacts): readonly Obstacle[] {
  const options = keptOptions(facts.wanted);
  return [
    ...surroundings(facts),
    ...programObstacles(facts),
    ...options.flatMap((option) => optionObstacles(option, facts)),
    ...descriptorObstacles(options, facts),
    ...facts.missing.map((file) =>
      obstacle(
        'exec-file',
        `The options name ${file}, which is not there any more; the new QEMU would end at once.`,
        'Put the file back.',
        file,
      ),
    ),
    ...liveObstacles(options, facts),
  ];
}

function obstacle(id: ObstacleId, reason: string, nextStep: string, subject?: string): Obstacle {
  return { id, side: 'source', reason, nextStep, ...(subject !== undefined && { subject }) };
}

const anotherMethod = 'Choose another method, such as cpr-transfer.';
const unproven = (reason: string, subject?: string): Obstacle =>
  obstacle(
    'exec-unproven',
    reason,
    'Choose another method, or force the run with a reason if you know that it works.',
    subject,
  );

function surroundings({ label, root, uid, descriptors }: ExecFacts): readonly Obstacle[] {
  const ours = process.getuid?.() ?? -1;
  if (ours !== 0 && uid !== ours) {
    return [
      obstacle(
        'exec-process',
        `${label} runs as another user: its command line cannot be checked.`,
        'Run this as that user, or as root.',
      ),
    ];
  }
  if (root !== '/') {
    return [
      obstacle('exec-process', `${label} runs in a root directory of its own.`, anotherMethod),
    ];
  }
  if (descriptors === undefined) {
    return [
      obstacle('exec-process', `The open files of ${label} may not be looked at.`, anotherMethod),
    ];
  }
  return [];
}

function programObstacles(facts: ExecFacts): readonly Obstacle[] {
  const { label, program, running, wanted, rehearsal } = facts;
  if (program.problem !== undefined) {
    return [
      obstacle('exec-program', program.problem, 'Name the absolute path of a QEMU.', program.path),
    ];
  }
  const found: Obstacle[] = [];
  if (rehearsal?.kind === 'failed') {
    found.push(
      obstacle(
        'exec-program',
        `${program.path} does not come up with these options: ${rehearsal.text.replace(/\.$/, '')}.`,
        'Take the options that it has, or another program.',
        program.path,
      ),
    );
  }
  if (rehearsal?.kind === 'impossible') {
    found.push(
      unproven(
        `Whether ${program.path} takes the options cannot be tried without touching what the guest uses: ${rehearsal.why}.`,
      ),
    );
  }
  if (!isSameCommand(running, wanted)) {
    found.push(
      unproven(
        `The options are not those that ${label} runs with; where the machine becomes another one, the guest is lost.`,
      ),
    );
  }
  return found;
}

/** They change what the process may do, or are not in the command line that we see. */
const losing: Readonly<Record<string, string>> = {
  runas: 'the new QEMU has not the rights to change its user again',
  chroot: 'the new QEMU would look for everything in another root directory',
  readconfig: 'what the file says cannot be checked',
  'add-fd': 'its descriptor is not open any more',
  preconfig: 'the new QEMU would wait for a person before it looks for its guest',
  snapshot: 'the new QEMU would begin with the disks as they were at the start',
};

function optionObstacles(option: CommandOption, facts: ExecFacts): readonly Obstacle[] {
  const { name, words, value = '' } = option;
  const text = words.join(' ');
  const lost = (why: string): Obstacle =>
    obstacle('exec-option', `With "${text}" the guest would be lost: ${why}.`, anotherMethod, text);
  const why = Object.hasOwn(losing, name) ? losing[name] : undefined;
  if (why !== undefined) return [lost(why)];
  if (value.includes('/dev/fdset/')) return [lost('descriptor sets end with the old QEMU')];
  switch (name) {
    case 'run-with':
      return ['chroot', 'user'].some((key) => valueOf(option, key) !== undefined)
        ? [lost('the new QEMU has not the rights to do it again')]
        : [];
    case 'drive':
    case 'blockdev':
      return isOn(valueOf(option, 'snapshot'))
        ? [lost('the new QEMU would begin with the disk as it was at the start')]
        : [];
    case 'sandbox':
      return valueOf(option, 'spawn') === 'deny'
        ? [
            unproven(
              `With "${text}" the kernel refuses to start another program; the guest runs on.`,
            ),
          ]
        : [];
    case 'netdev':
    case 'nic':
    case 'net':
      return networkObstacles(option, facts);
    case 'device':
      return deviceObstacles(option);
    case 'chardev':
    case 'qmp':
    case 'qmp-pretty':
    case 'monitor':
    case 'serial':
    case 'parallel':
    case 'gdb':
      return characterObstacles(option, facts);
    default:
      return [];
  }
}

const measuredNetworks = new Set(['user', 'hubport', 'none', 'nic']);

function networkObstacles(option: CommandOption, { descriptors }: ExecFacts): readonly Obstacle[] {
  const { value = '', words } = option;
  const text = words.join(' ');
  const type = valueOf(option, 'type') ?? readOptions(value).first ?? '';
  if (type === 'tap' || type === 'bridge') {
    const given = descriptorsIn([option]);
    if (given.length === 0) {
      return [
        obstacle(
          'exec-tap',
          `With "${text}" the guest would be lost: the old TAP stays open, so that the new QEMU finds it busy and ends.`,
          'Start QEMU with an open descriptor of the TAP ("fd="), or choose another method.',
          text,
        ),
      ];
    }
    const other = given.filter(
      ({ fd }) => descriptors?.some((open) => open.fd === fd && open.tap !== undefined) === false,
    );
    if (other.length > 0) {
      return [lostDescriptor(option, other[0]?.fd ?? -1, 'it is no TAP any more')];
    }
    return isOn(valueOf(option, 'vhost'))
      ? [unproven(`vhost has not been tried with this method: "${text}".`, text)]
      : [];
  }
  const connects =
    valueOf(option, 'connect') !== undefined ||
    (type === 'stream' && !isOn(valueOf(option, 'server')));
  if (type === 'dgram' || (['socket', 'stream'].includes(type) && !connects)) return [];
  return measuredNetworks.has(type)
    ? []
    : [unproven(`This network has not been tried with this method: "${text}".`, text)];
}

function deviceObstacles({ value = '', words }: CommandOption): readonly Obstacle[] {
  const { first, options } = readOptions(value);
  const driver = options.get('driver') ?? first ?? '';
  const text = words.join(' ');
  return /^(vfio-|vhost-|usb-host|ivshmem)/.test(driver)
    ? [unproven(`This device has not been tried with this method: "${text}".`, text)]
    : [];
}

function characterObstacles(option: CommandOption, facts: ExecFacts): readonly Obstacle[] {
  const { name, value = '', words } = option;
  const { first = '', options } = readOptions(value);
  const backend = options.get('backend') ?? first;
  const isSocket =
    name === 'chardev' ? backend === 'socket' : /^(unix|tcp|telnet|tn3270|websocket):/.test(first);
  if (!isSocket) return [];
  const text = words.join(' ');
  const isServer = isOn(options.get('server'));
  if (!isServer) {
    // QEMU's gdb stub always listens.
    if (name === 'gdb') return [];
    const again = ['reconnect', 'reconnect-ms'].some((key) => options.has(key));
    return again
      ? []
      : [
          unproven(
            `The new QEMU would have to connect again, and ends where nobody answers: "${text}".`,
            text,
          ),
        ];
  }
  const waits =
    !['off', 'no', 'false', 'n'].includes(options.get('wait') ?? 'on') &&
    !options.has('nowait') &&
    name !== 'gdb';
  const path = first.startsWith('unix:') ? first.slice('unix:'.length) : options.get('path');
  // We are the ones that it waits for.
  const isOurs = path !== undefined && facts.socketPath.endsWith(path.replace(/^\.?\//, '/'));
  return waits && !isOurs
    ? [
        unproven(
          `The guest would stand still until somebody connects, as without "wait=off": "${text}".`,
          text,
        ),
      ]
    : [];
}

function lostDescriptor({ words }: CommandOption, fd: number, why: string): Obstacle {
  const text = words.join(' ');
  return obstacle(
    'exec-descriptor',
    `With "${text}" the guest would be lost: the new QEMU does not find descriptor ${fd}, ${why}.`,
    anotherMethod,
    text,
  );
}

function descriptorObstacles(
  options: readonly CommandOption[],
  { descriptors }: ExecFacts,
): readonly Obstacle[] {
  if (descriptors === undefined) return [];
  const named = descriptorsIn(options);
  const found = named.flatMap(({ option, fd }) => {
    const open = descriptors.find((one) => one.fd === fd);
    if (open === undefined) return [lostDescriptor(option, fd, 'which is not open')];
    return open.closesOnExec
      ? [lostDescriptor(option, fd, 'which is closed with the old program')]
      : [];
  });
  // Whoever opened it, its queue stays taken.
  const taken = descriptors.filter(
    ({ fd, tap, closesOnExec }) =>
      tap !== undefined && !closesOnExec && !named.some((one) => one.fd === fd),
  );
  const byName = options.some(({ name, value = '' }) => name === 'netdev' && value.includes('tap'));
  if (byName || taken.length === 0) return found;
  const taps = [...new Set(taken.map(({ tap }) => tap))].join(', ');
  return [
    ...found,
    obstacle(
      'exec-tap',
      `QEMU has ${taps} open, which is not in its command line: the new one would not have it.`,
      anotherMethod,
      taps,
    ),
  ];
}

/** QEMU makes these itself, for options that have no id. */
const ownChardev = /^(compat_monitor|serial|parallel|virtcon|gdb|debugcon|vc|spicevmc|vdagent)\d*$/;
const ownObject = /^(pc\.ram|ram|mach-virt\.ram|compat_monitor\d+)$/;

function liveObstacles(
  options: readonly CommandOption[],
  { label, live }: ExecFacts,
): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const add = (reason: string, nextStep: string, subject?: string): void => {
    found.push(obstacle('exec-hot-plugged', reason, nextStep, subject));
  };
  const idsOf = (name: string): ReadonlySet<string> =>
    new Set(
      options.flatMap((option) => (option.name === name ? (valueOf(option, 'id') ?? []) : [])),
    );
  const deviceIds = idsOf('device');
  const unknown = Object.entries({
    devices: live.devices,
    objects: live.objects,
    chardevs: live.chardevs,
    images: live.images,
  }).flatMap(([name, part]) => (part === undefined ? [name] : []));
  if (unknown.length > 0) {
    add(`${label} does not tell what it has now: ${unknown.join(', ')}.`, anotherMethod);
  }
  const { devices = [] } = live;
  for (const { id, named } of devices) {
    if (!named || deviceIds.has(id)) continue;
    add(
      `The device ${id} was plugged in since the start; it is not in the command line, and the new QEMU could not load its state.`,
      `Unplug ${id}, or choose another method.`,
      id,
    );
  }
  const nameless = devices.filter(({ named }) => !named).length;
  const givenNameless = options.filter(
    (option) =>
      (option.name === 'device' && valueOf(option, 'id') === undefined) ||
      (option.name === 'drive' && valueOf(option, 'if') !== 'none') ||
      ['usbdevice', 'virtfs', 'watchdog'].includes(option.name),
  ).length;
  if (nameless > givenNameless) {
    add(
      `${nameless - givenNameless} device(s) without an id were plugged in since the start.`,
      'Unplug them, or choose another method.',
    );
  }
  for (const id of live.devices === undefined ? [] : deviceIds) {
    if (devices.some((device) => device.id === id)) continue;
    add(
      `The device ${id} was unplugged since the start, and the new QEMU would have it again.`,
      anotherMethod,
      id,
    );
  }
  const mentioned = new Set(options.flatMap((option) => valuesOf(option).map(([, text]) => text)));
  for (const id of live.objects ?? []) {
    if (mentioned.has(id) || ownObject.test(id)) continue;
    add(
      `The object ${id} was added since the start, and the new QEMU would not have it.`,
      `Remove ${id} ("object-del"), or choose another method.`,
      id,
    );
  }
  const chardevIds = idsOf('chardev');
  for (const id of live.chardevs ?? []) {
    if (chardevIds.has(id) || ownChardev.test(id)) continue;
    add(
      `The character device ${id} was added since the start, and the new QEMU would not have it.`,
      `Remove ${id} ("chardev-remove"), or choose another method.`,
      id,
    );
  }
  for (const { file, named } of live.images ?? []) {
    if (named) continue;
    add(
      `The guest uses ${file}, which is not in the command line (a snapshot, or another medium): the new QEMU would write to another image, and ruin it.`,
      'Commit the snapshot or put the first medium back, or choose another method.',
      file,
    );
  }
  for (const job of live.blockJobs ?? []) {
    found.push(
      obstacle(
        'block-job',
        `A block job runs (${job}), and would end with the old QEMU.`,
        'Wait for it, or cancel it.',
        job,
      ),
    );
  }
  return found;
}
