import type { CommandOption } from './commandLine';
import { readValue, type OptionValue } from './optionValue';

/** The id that an option gives to what it makes: `id`, or the name of a block node. */
export function givenId(
  option: CommandOption,
  value: OptionValue | undefined = readValue(option),
): string | undefined {
  if (option.name === 'blockdev') return value?.get('node-name');
  if (option.name === 'audiodev' || option.name === 'fsdev') return value?.get('id');
  return value?.get('id');
}

/** The driver of `-device`, the type of `-netdev`, `-object`, ... */
export function driverOf(
  option: CommandOption,
  value: OptionValue | undefined = readValue(option),
): string {
  const key = { device: 'driver', blockdev: 'driver', object: 'qom-type', chardev: 'backend' }[
    option.name
  ];
  return value?.get(key ?? 'type') ?? '';
}

/** Every id and name that the options mention, given or referred to, however deep. */
export function mentioned(options: readonly CommandOption[]): ReadonlySet<string> {
  const all = new Set<string>();
  for (const option of options) {
    const value = readValue(option);
    if (value === undefined) {
      if (option.value !== undefined) all.add(option.value.replace(/^chardev:/, ''));
      continue;
    }
    for (const [, text] of value.entries) all.add(text);
  }
  return all;
}

const impliedPatterns: Readonly<Record<'chardev' | 'object' | 'block', RegExp>> = {
  chardev:
    /^(compat_monitor|serial|parallel|virtcon|gdb|debugcon|vc|spicevmc|vdagent|libvirt)\d*(-base)?$|^(gdb|debugcon|monitor)$|^#/,
  object: /^(pc\.ram|ram|mach-virt\.ram|compat_monitor\d+|main-loop|mon_iothread|spice-[\w-]+)$/,
  block: /^#block\d+$|^(ide|scsi|virtio|floppy|pflash|mtd|sd|none|xen)\d+(-(hd|cd)\d+)?$/,
};

/** Whether QEMU gives that id itself, to what has none: `-drive` without id, `-serial`, `-monitor`, `-m`. */
export function isImpliedId(kind: 'chardev' | 'object' | 'block', id: string): boolean {
  return impliedPatterns[kind].test(id);
}
