import type { CommandOption } from '../../../vm/commandLine/commandLine';
import { driverOf } from '../../../vm/commandLine/ids';
import { readValue, writeValue, type OptionValue } from '../../../vm/commandLine/optionValue';
import { shown, type Draft, type Entry } from './draft';
import { blocks } from './findings';
import { liveOf } from './live';

/** A kind of bus with the keys that say where on it a device sits; the first one has to be known. */
interface Family {
  readonly matches: RegExp;
  readonly keys: readonly string[];
}

const families: readonly Family[] = [
  { matches: /^usb-(?!ehci|uhci|ohci|xhci)/, keys: ['port', 'bus'] },
  { matches: /^scsi-/, keys: ['scsi-id', 'bus', 'channel', 'lun'] },
  { matches: /^ide-/, keys: ['unit', 'bus'] },
  { matches: /^virt(serialport|console)$/, keys: ['nr', 'bus'] },
  { matches: /^hda-/, keys: ['cad', 'bus'] },
  {
    matches: /^(pc-dimm|nvdimm|virtio-mem-pci|virtio-pmem-pci)$/,
    keys: ['slot', 'memaddr', 'addr'],
  },
];

/** Not on a bus with places that are counted. */
const elsewhere =
  /^(isa-|i8042|tpm-(tis|crb)|pvpanic$|vmgenid|vmcoreinfo|generic-loader|loader|intel-iommu|amd-iommu|virtio-.*-device|virtio-.*-ccw|sb16|adlib|gus|cs4231a|floppy|smbus-|ipmi-|cxl-fmw|.*-cpu$|guest-loader|port92|pc-testdev|debug-threads)/;

const pci: Family = { matches: /./, keys: ['addr', 'bus'] };

function familyOf(driver: string): Family | undefined {
  if (elsewhere.test(driver)) return undefined;
  return families.find(({ matches }) => matches.test(driver)) ?? pci;
}

/** Options that make a PCI device without saying where, after those of `-device`. */
const unplaced = (option: CommandOption): boolean =>
  option.name === 'virtfs' ||
  (option.name === 'drive' && readValue(option)?.get('if') === 'virtio');

/**
 * Where a device is left out, the others say where they sit: QEMU gives the places that are not said to
 * one device after the other, and they would move up. The same for MAC addresses.
 */
export function pinPlaces(entries: readonly Entry[], draft: Draft): void {
  const gone = entries.flatMap(({ before, after }) =>
    before !== undefined && before.name === 'device' && after.length === 0 ? [before] : [],
  );
  if (gone.length === 0) return;
  const moving = new Set(gone.map((option) => familyOf(driverOf(option))));
  const nicGone = gone.some((option) => readValue(option)?.has('netdev') === true);
  for (const entry of entries) {
    const [only] = entry.after;
    if (only === undefined || entry.before === undefined) continue;
    if (moving.has(pci) && unplaced(only)) {
      blocks(
        draft,
        only,
        'live-update-place',
        `Where the device of "${shown(only)}" sits is not said.`,
        'A device is left out, so it would move to another place, and the guest would not find it.',
        'Choose a method that leaves no device out, such as TAP adoption.',
      );
    }
    if (only.name !== 'device') continue;
    const family = familyOf(driverOf(only));
    const value = readValue(only);
    if (value === undefined) continue;
    const placed =
      family !== undefined && moving.has(family) ? place(only, value, family, draft) : value;
    const named = nicGone && placed.has('netdev') ? withMac(only, placed, draft) : placed;
    if (named === value) continue;
    entry.after = [writeValue(only, named)];
    entry.why ??= 'it says where it sits, since a device before it is left out';
  }
}

function place(
  option: CommandOption,
  value: OptionValue,
  family: Family,
  draft: Draft,
): OptionValue {
  const [needed = '', ...others] = family.keys;
  if (value.has(needed)) return value;
  const live = liveOf(option, draft)?.options;
  const known = live?.get(needed);
  if (live === undefined || known === undefined) {
    blocks(
      draft,
      option,
      'live-update-place',
      `Where the device of "${shown(option)}" sits is not known.`,
      'A device is left out, so it would move to another place, and the guest would not find it.',
      'Choose a method that leaves no device out, such as TAP adoption.',
    );
    return value;
  }
  let placed = value;
  for (const key of others) {
    const also = live.get(key);
    if (also !== undefined && !value.has(key)) placed = placed.with(key, also);
  }
  return placed.with(needed, known);
}

function withMac(option: CommandOption, value: OptionValue, draft: Draft): OptionValue {
  if (value.has('mac')) return value;
  const mac = liveOf(option, draft)?.options?.get('mac');
  if (mac !== undefined) return value.with('mac', mac);
  blocks(
    draft,
    option,
    'live-update-place',
    `The MAC address of "${shown(option)}" is not known.`,
    'A NIC is left out, so it might get another one.',
    'Choose a method that leaves no device out, such as TAP adoption.',
  );
  return value;
}
