import { makeOption, type CommandOption } from '../../../vm/commandLine/commandLine';
import { driverOf, givenId, isImpliedId, mentioned } from '../../../vm/commandLine/ids';
import { makeValue, readValue } from '../../../vm/commandLine/optionValue';
import type { LiveDevice, LiveParts } from '../commandLineTypes';
import { shown, type Draft } from './draft';
import { otherWay } from './findings';
import { readNetwork } from './networks';

/** Whether what the option made is not there any more. */
export function isUnplugged(option: CommandOption, live: LiveParts): boolean {
  const id = givenId(option);
  if (id === undefined) return false;
  switch (option.name) {
    case 'device':
      // The standby partner of a NIC is hidden until the guest asks for it.
      if (readValue(option)?.has('failover_pair_id') === true) return false;
      return live.devices !== undefined && !live.devices.some((device) => device.id === id);
    case 'netdev':
      return live.netdevs !== undefined && !live.netdevs.some((netdev) => netdev.id === id);
    case 'object':
      return live.objects !== undefined && !live.objects.includes(id);
    case 'chardev':
      return live.chardevs !== undefined && !live.chardevs.includes(id);
    case 'blockdev':
    case 'drive':
      return live.blocks !== undefined && !live.blocks.includes(id);
    default:
      return false;
  }
}

/**
 * What was plugged in since the start, as the options that make it again: objects, character devices
 * and block nodes before the devices that use them, a bus before what sits on it.
 */
export function hotPlugged(draft: Draft): readonly CommandOption[] {
  const { options } = draft;
  const { live } = draft.facts;
  tellUnknown(draft);
  const names = mentioned(options);
  const networks = new Set(options.map((option) => readNetwork(option)?.id));
  const added: CommandOption[] = [];
  for (const id of live.objects ?? []) {
    if (names.has(id) || isImpliedId('object', id)) continue;
    const known = live.objectOptions?.get(id);
    const type = known?.get('qom-type');
    if (known === undefined || type === undefined) cannot(draft, 'object', id, '"object-del"');
    else added.push(made('object', [['qom-type', type], ['id', id], ...known], 'qom-type'));
  }
  for (const id of live.chardevs ?? []) {
    if (names.has(id) || isImpliedId('chardev', id) || names.has(id.replace(/-base$/, '')))
      continue;
    const known = live.chardevOptions?.get(id);
    const backend = known?.get('backend');
    if (known === undefined || backend === undefined) {
      cannot(draft, 'character device', id, '"chardev-remove"');
    } else added.push(made('chardev', [['backend', backend], ['id', id], ...known], 'backend'));
  }
  for (const id of live.blocks ?? []) {
    if (names.has(id) || isImpliedId('block', id)) continue;
    const known = live.blockOptions?.get(id);
    if (known === undefined) cannot(draft, 'block node', id, '"blockdev-del"');
    else added.push(makeOption('blockdev', known));
  }
  for (const { id, type, options: known } of live.netdevs ?? []) {
    // A network without an id has one that QEMU made up.
    if (networks.has(id) || id.startsWith('#')) continue;
    const kind = type ?? (draft.facts.taps.has(id) ? 'tap' : '');
    const rest = known ?? (kind === 'tap' ? openTap(id, draft) : undefined);
    if (rest === undefined || kind === '') cannot(draft, 'network', id, '"netdev_del"');
    else added.push(made('netdev', [['type', kind], ['id', id], ...rest], 'type'));
  }
  const ids = new Set(
    options.flatMap((option) => (option.name === 'device' ? (givenId(option) ?? []) : [])),
  );
  for (const option of options)
    if (option.name === 'nic') ids.add(readValue(option)?.get('id') ?? '');
  const devices = (live.devices ?? []).filter(({ id }) => !ids.has(id));
  for (const device of busFirst(devices)) {
    if (device.options === undefined) cannot(draft, 'device', device.id, '"device_del"');
    else {
      const entries = [['driver', device.driver], ['id', device.id], ...device.options] as const;
      added.push(made('device', entries, 'driver'));
    }
  }
  nameless(draft);
  images(draft);
  return added;
}

/** A TAP has its descriptors, which tell all that has to be known. */
function openTap(id: string, { facts }: Draft): readonly (readonly [string, string])[] | undefined {
  const found = facts.taps.get(id);
  if (found === undefined) return undefined;
  const queues = found.fds.length > 1 ? ([['queues', String(found.fds.length)]] as const) : [];
  return [['ifname', found.ifname], ...queues, ['script', 'no'], ['downscript', 'no']];
}

function made(
  name: string,
  entries: Iterable<readonly [string, string]>,
  implied: string,
): CommandOption {
  // The first of a key counts: what was put in front is also among the rest.
  const once = new Map<string, string>();
  for (const [key, value] of entries) if (!once.has(key)) once.set(key, value);
  return makeOption(name, makeValue(once, implied));
}

function cannot(draft: Draft, what: string, id: string, command: string): void {
  draft.find({
    id: 'live-update-hot-plugged',
    level: 'blocks',
    subject: id,
    what: `The ${what} ${id} was added since the start, and what it was made of is not known.`,
    why: 'The new QEMU would not have it, and could not take over the guest.',
    nextStep: `Remove ${id} (${command}) before the update, or restart the guest.`,
  });
}

function tellUnknown(draft: Draft): void {
  const { devices, netdevs, objects, chardevs, blocks } = draft.facts.live;
  const parts = {
    devices,
    networks: netdevs,
    objects,
    'character devices': chardevs,
    disks: blocks,
  };
  const unknown = Object.entries(parts).flatMap(([name, part]) =>
    part === undefined ? [name] : [],
  );
  if (unknown.length === 0) return;
  draft.find({
    id: 'live-update-unknown',
    level: 'warns',
    what: `QEMU does not tell what it has now: ${unknown.join(', ')}.`,
    why: 'What was plugged in or out since the start would be missing or be there again, and the new QEMU could not take over the guest.',
    nextStep: 'Compare the plan with what you have plugged since the start.',
  });
}

/** Devices whose bus is another one's come after it. */
function busFirst(devices: readonly LiveDevice[]): readonly LiveDevice[] {
  const ids = new Set(devices.map(({ id }) => id));
  const done = new Set<string>();
  const sorted: LiveDevice[] = [];
  const add = (device: LiveDevice): void => {
    if (done.has(device.id)) return;
    done.add(device.id);
    for (const key of ['bus', 'drive', 'netdev', 'iothread']) {
      const name = device.options?.get(key)?.split('.')[0];
      const other =
        name !== undefined && ids.has(name) ? devices.find(({ id }) => id === name) : undefined;
      if (other !== undefined) add(other);
    }
    sorted.push(device);
  };
  for (const device of devices) add(device);
  return sorted;
}

/** Devices without an id are counted: one plugged later cannot be told from those of the start. */
function nameless(draft: Draft): void {
  const { options, facts } = draft;
  const now = facts.live.nameless;
  if (now === undefined) return;
  const given = options.filter(
    (option) =>
      (option.name === 'device' && givenId(option) === undefined) ||
      (option.name === 'drive' && readValue(option)?.get('if') !== 'none') ||
      [
        'usbdevice',
        'virtfs',
        'watchdog',
        'hda',
        'hdb',
        'hdc',
        'hdd',
        'cdrom',
        'nic',
        'net',
        '',
      ].includes(option.name),
  );
  if (now.length <= given.length) return;
  draft.find({
    id: 'live-update-hot-plugged',
    level: 'blocks',
    subject: 'without an id',
    what: `${now.length - given.length} device(s) without an id were plugged in since the start.`,
    why: 'They cannot be told from those of the start, and the new QEMU would not have them.',
    nextStep: 'Unplug them before the update, or restart the guest.',
  });
}

/** A snapshot or another medium: the new QEMU would open, and ruin, the image of the start. */
function images(draft: Draft): void {
  const { options, facts } = draft;
  const named = [...mentioned(options)].flatMap((text) => [
    text,
    draft.resolve(text.replace(/^file:/, '')),
  ]);
  const known = new Set(named);
  for (const file of facts.live.images ?? []) {
    if (known.has(file) || known.has(draft.resolve(file)) || isInside(file, options)) continue;
    draft.find({
      id: 'live-update-image',
      level: 'blocks',
      subject: file,
      what: `The guest uses ${file}, which is not in the command line.`,
      why: 'After a snapshot or with another medium the new QEMU would write to another image than the guest, and ruin it.',
      nextStep: `Commit the snapshot or put the first medium back. ${otherWay}`,
    });
  }
}

/** Spelled in a way of its own, such as `json:{...}`. */
function isInside(file: string, options: readonly CommandOption[]): boolean {
  return options.some(
    (option) => ['drive', 'blockdev', ''].includes(option.name) && shown(option).includes(file),
  );
}

/** For pins and removals. */
export function liveOf(option: CommandOption, draft: Draft): LiveDevice | undefined {
  const { devices, nameless: anonymous } = draft.facts.live;
  const id = givenId(option);
  if (id !== undefined) return devices?.find((device) => device.id === id);
  const same = draft.options.filter(
    (other) => other.name === 'device' && givenId(other) === undefined,
  );
  const found = anonymous?.[same.indexOf(option)];
  return found !== undefined && found.driver === driverOf(option) ? found : undefined;
}
