import type { CommandOption } from '../../../vm/commandLine/commandLine';
import { driverOf } from '../../../vm/commandLine/ids';
import { isOn, readValue, writeValue } from '../../../vm/commandLine/optionValue';
import { shown, type Draft, type Verdict } from './draft';
import { blocks, tells, warns } from './findings';

/** Devices that take something of the host for one QEMU alone. */
const exclusiveDevice =
  /^(vfio-|usb-host$|ivshmem-doorbell|vhost-vsock|vhost-scsi|vhost-user|vhost-vdpa|scsi-block|scsi-generic|host-pci|xen-|nvme-host|virtio-blk-vhost|tpm-passthrough|vhost-device|vdpa-)/;

/** `-device`, `-object`, `-tpmdev`, `-fsdev` and `-virtfs`: what of the host can be had once. */
export function hostPart(option: CommandOption, draft: Draft): Verdict | undefined {
  const driver = driverOf(option);
  if (readValue(option) === undefined) {
    blocks(
      draft,
      option,
      'live-update-option',
      `"${shown(option)}" is not understood.`,
      'What it opens is not known.',
    );
    return undefined;
  }
  if (option.name === 'device') {
    device(option, driver, draft);
    return;
  }
  if (option.name === 'object') return object(option, driver, draft);
  if (option.name === 'tpmdev' && driver !== 'emulator') {
    exclusive(option, 'a TPM of the host', draft);
  }
  if (['fsdev', 'virtfs'].includes(option.name) && readValue(option)?.get('fsdriver') === 'proxy') {
    exclusive(option, 'a helper process', draft);
  }
  return undefined;
}

function exclusive(option: CommandOption, what: string, draft: Draft): void {
  blocks(
    draft,
    option,
    'live-update-exclusive',
    `"${shown(option)}" uses ${what}, which one QEMU at a time can have.`,
    'The new QEMU would take it away from the guest, or not come up.',
    `Unplug it ("device_del") before the update and plug it in again afterwards, or restart the guest.`,
  );
}

function device(option: CommandOption, driver: string, draft: Draft): undefined {
  const value = readValue(option);
  if (exclusiveDevice.test(driver)) exclusive(option, 'something of the host', draft);
  else if (value?.has('vhostfd') === true || value?.has('fd') === true) {
    exclusive(option, 'a descriptor that it was given', draft);
  }
  return undefined;
}

function object(option: CommandOption, driver: string, draft: Draft): Verdict | undefined {
  const value = readValue(option);
  if (value === undefined) return undefined;
  if (driver.startsWith('memory-backend-') && isOn(value.get('discard-data'))) {
    blocks(
      draft,
      option,
      'live-update-discard',
      `"${shown(option)}" empties its file at the end.`,
      'The old QEMU would throw away memory that the new one uses.',
      'Restart the guest without "discard-data".',
    );
  } else if (
    /^(input-linux|x-remote-object|x-vfio-user-server|vhost-user-backend|cryptodev-vhost-user|iommufd|vfio-user-server)$/.test(
      driver,
    )
  ) {
    // An iommufd without a device holds nothing.
    if (driver !== 'iommufd' || value.has('fd')) exclusive(option, 'something of the host', draft);
  } else if (
    ['secret_keyring', 'input-barrier', 'can-host-socketcan', 'dbus-vmstate', 'rng-egd'].includes(
      driver,
    )
  ) {
    warns(
      draft,
      option,
      'live-update-object',
      `Both QEMUs use "${shown(option)}" while they run.`,
      'The other end may take one of them only.',
      'Make sure that it takes two at a time.',
    );
  } else if (driver === 'filter-dump') {
    const file = value.get('file') ?? '';
    const own = draft.own(file);
    tells(
      draft,
      option,
      'live-update-log',
      `The new QEMU writes its packets to ${own}.`,
      'It would empty the old file.',
    );
    return {
      after: [writeValue(option, value.with('file', own))],
      why: 'the old file would be emptied',
    };
  }
  return undefined;
}

/** `-drive` and its short spellings, `-blockdev`, a bare word: images are opened by both, as in any migration. */
export function disk(option: CommandOption, draft: Draft): undefined {
  const value = readValue(option);
  if ((option.name === 'drive' || option.name === 'blockdev') && value === undefined) {
    blocks(
      draft,
      option,
      'live-update-option',
      `"${shown(option)}" is not understood.`,
      'What it opens is not known.',
    );
    return;
  }
  if (isOn(value?.get('snapshot'))) temporary(option, draft);
  const files = value === undefined ? [option.value ?? ''] : value.entries.map(([, text]) => text);
  if (files.some((file) => /^(?:fat:.*rw:|vvfat)/.test(file))) {
    blocks(
      draft,
      option,
      'live-update-vvfat',
      `"${shown(option)}" is a directory that the guest writes to.`,
      "What it wrote is in the old QEMU's memory alone.",
    );
  }
}

export function temporary(option: CommandOption, draft: Draft): void {
  blocks(
    draft,
    option,
    'live-update-snapshot',
    `With "${shown(option)}" the guest writes to a temporary image that only the old QEMU has.`,
    "The new one would begin with the disk as it was at the start, and ruin the guest's file systems.",
    'Commit the image (monitor command "commit") and start the guest without it.',
  );
}

/** `-add-fd`: the set gets the descriptors that the source holds now; those it was given are closed. */
export function addFd(option: CommandOption, draft: Draft): Verdict | undefined {
  const value = readValue(option);
  const set = value?.get('set');
  const given = Number(value?.get('fd'));
  if (value === undefined || set === undefined || !Number.isInteger(given)) {
    blocks(
      draft,
      option,
      'live-update-option',
      `"${shown(option)}" is not understood.`,
      'What it hands over is not known.',
    );
    return undefined;
  }
  const before = draft.options.slice(0, draft.options.indexOf(option));
  const nth = before.filter(
    (other) => other.name === 'add-fd' && readValue(other)?.get('set') === set,
  ).length;
  const sourceFd =
    draft.facts.live.fdsets?.get(Number(set))?.[nth] ?? byName(value.get('opaque'), draft);
  if (sourceFd === undefined) {
    blocks(
      draft,
      option,
      'live-update-descriptor',
      `Which descriptor of the source is the one of "${shown(option)}" is not known.`,
      'QEMU closes the number it is given and keeps a copy under another one.',
    );
    return undefined;
  }
  const targetFd = draft.nextFd();
  draft.adopt.push({ sourceFd, targetFd, tap: undefined, netdev: undefined });
  return {
    after: [writeValue(option, value.with('fd', String(targetFd)))],
    why: 'the same open file, by a descriptor of the source',
  };
}

/** Those who use sets often note the file's path in `opaque`. */
function byName(opaque: string | undefined, { facts }: Draft): number | undefined {
  const path = opaque === undefined ? undefined : /\/.*$/s.exec(opaque)?.[0];
  if (path === undefined) return undefined;
  const found = [...facts.descriptors].filter(([, { target }]) => target === path);
  return found.length === 1 ? found[0]?.[0] : undefined;
}

/** `-audiodev wav` and its like: files that would be emptied. */
export function audio(option: CommandOption, draft: Draft): Verdict | undefined {
  const value = readValue(option);
  if (value?.get('driver') !== 'wav') return undefined;
  const own = draft.own(value.get('path') ?? 'qemu.wav');
  tells(
    draft,
    option,
    'live-update-log',
    `The new QEMU records sound to ${own}.`,
    'It would empty the old file.',
  );
  return {
    after: [writeValue(option, value.with('path', own))],
    why: 'the old file would be emptied',
  };
}
