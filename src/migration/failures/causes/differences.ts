import { formatBytes } from '../../settings/units';
import { byEither, byTarget, group, type Cause, type Told } from '../cause';

const likeSource =
  'Give the next target the same machine, memory, CPUs and devices, in the same order and slots, as the source.';

const memorySize = (told: Told, index: number): string => {
  const hex = group(told, index, '');
  return /^0x[0-9a-f]{1,15}$/.test(hex) ? formatBytes(BigInt(hex)) : hex;
};

/** The main memory carries the name of its backend; that of a device has its place in it. */
const isOfDevice = (block: string): boolean => /[/.]/.test(block) && block !== 'pc.ram';

/** What the two sides are made of is not the same; the target finds out while it loads. */
export const differences: readonly Cause[] = [
  {
    id: 'machine-type',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /Machine type received is '([^']*)' and local is '([^']*)'/, from: byTarget },
    ],
    what: ({ target }) => `${target} is another machine type`,
    meaning: (told) =>
      `The guest was made for the machine type ${group(told, 0, 'of the source')}, and ${told.target} is ${group(told, 1, 'another')}. Other machine types have other devices.`,
    nextStep: (told) =>
      `Give the next target "-machine ${group(told, 0, 'TYPE')}", never with an alias such as "q35".`,
  },
  {
    id: 'memory-size',
    side: 'target',
    weight: 'cause',
    texts: [{ pattern: /Size mismatch: ([^:]+): (0x[0-9a-f]+) != (0x[0-9a-f]+)/, from: byTarget }],
    what: (told) => `the memory "${group(told, 0, '?')}" has another size at ${told.target}`,
    meaning: (told) =>
      `It is ${memorySize(told, 1)} at the source and ${memorySize(told, 2)} at the target.`,
    nextStep: (told) =>
      isOfDevice(group(told, 0, ''))
        ? 'Give that device of the next target the same options as at the source.'
        : 'Give the next target as much memory as the source ("-m", or the size of the memory backend).',
  },
  {
    id: 'ram-block-unknown',
    side: 'target',
    weight: 'cause',
    texts: [{ pattern: /Unknown ramblock "([^"]*)", cannot accept migration/, from: byTarget }],
    what: (told) => `${told.target} has no memory named "${group(told, 0, '?')}"`,
    meaning: (told) =>
      isOfDevice(group(told, 0, ''))
        ? 'It belongs to a device that the target lacks, or has in another slot.'
        : 'A memory backend\'s id is the name under which its memory travels; plain "-m" has the name pc.ram.',
    nextStep: (told) =>
      isOfDevice(group(told, 0, ''))
        ? likeSource
        : `Give the memory backend of the next target the id "${group(told, 0, 'ID')}".`,
  },
  {
    id: 'memory-layout',
    side: 'target',
    weight: 'kind',
    texts: [
      { pattern: /state for instance 0x0 of device 'ram': .*ret: -22/, from: byTarget },
      { pattern: /state for instance 0x0 of device 'ram'$/, from: byTarget },
    ],
    what: ({ target }) => `the memory of ${target} is laid out otherwise`,
    meaning:
      'The size of the memory, the id of its backend, or the memory of a device differs. QEMU says which one on the standard error of the target only.',
    nextStep: 'Compare "-m", the memory backends and the devices of both command lines.',
  },
  {
    id: 'cpu-missing',
    side: 'target',
    weight: 'cause',
    texts: [
      {
        pattern: /Unknown (?:savevm )?section or instance '(?:cpu|cpu_common|apic)' (\d+)/,
        from: byTarget,
      },
    ],
    what: ({ target }) => `${target} has fewer CPUs`,
    meaning: (told) => `It has no CPU number ${group(told, 0, '?')} (counted from 0).`,
    nextStep: 'Give the next target the same "-smp" as the source, and plugged CPUs alike.',
  },
  {
    id: 'netdev-differs',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /Unknown section or instance '([^'/]*)\/\d+\/net-tap' \d+/, from: byTarget },
    ],
    what: (told) => `${told.target} has no TAP "${group(told, 0, '?')}" that waits for its state`,
    meaning: 'With backend transfer the id of a netdev is the name under which its TAP travels.',
    nextStep: (told) =>
      `Give the netdev the id "${group(told, 0, 'ID')}" at the target, with the permission to be transferred.`,
  },
  {
    id: 'device-missing',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /Unknown (?:savevm )?section or instance '([^']*)' \d+/, from: byTarget },
      { pattern: /Unknown (?:savevm )?section (?:type )?(\d+)/, from: byTarget },
    ],
    what: (told) => `${told.target} has no device "${group(told, 0, '?')}"`,
    meaning: (told) =>
      group(told, 0, '') === 'slirp'
        ? 'A netdev of the type "user" carries a state of its own, and the target has none.'
        : 'The device is missing at the target, or sits in another slot or on another bus.',
    nextStep: likeSource,
  },
  {
    id: 'section-footer',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /Missing section footer for (\S+)/, from: byTarget },
      { pattern: /Mismatched section id in footer for (\S+)/, from: byTarget },
    ],
    what: (told) => `the state of "${group(told, 0, '?')}" is laid out otherwise at ${told.target}`,
    meaning:
      'The target read more or less of it than the source wrote: more CPUs, another version of the machine, or other options of that device.',
    nextStep: likeSource,
  },
  {
    id: 'vnet-header',
    side: 'target',
    weight: 'cause',
    texts: [{ pattern: /virtio-net: saved image requires vnet_hdr=on/, from: byTarget }],
    what: ({ target }) => `the network back end of ${target} cannot do what the guest relies on`,
    meaning:
      'The source had a TAP with virtio-net headers. The target has a back end without them, or waits for a TAP that the source does not hand over because backend transfer is off or not permitted there.',
    nextStep:
      'Give the target a TAP like that of the source, or turn backend transfer on, on both sides and for that device.',
  },
  {
    id: 'queue-size',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /VQ (\d+) vring\.num (\d+) exceeds allocated max (\d+)/, from: byTarget },
      { pattern: /VQ (\d+) vring\.num exceeds/, from: byTarget },
    ],
    what: (told) =>
      `queue ${group(told, 0, '?')} of a virtio device is too small at ${told.target}`,
    meaning: (told) =>
      `The guest uses ${group(told, 1, 'more')} entries, and the target has ${group(told, 2, 'fewer')}; 0 means that the queue is not there.`,
    nextStep:
      'Give the virtio devices of the next target the same queue sizes, queues and ports as at the source.',
  },
  {
    id: 'uuid',
    side: 'target',
    weight: 'cause',
    texts: [
      { pattern: /UUID received is (\S+) and local is (\S+)/, from: byTarget },
      { pattern: /UUID is received (\S+), but local uuid isn't set/, from: byTarget },
      { pattern: /subsection 'configuration\/uuid' in 'configuration' failed/, from: byTarget },
    ],
    what: ({ target }) => `${target} has another UUID`,
    meaning: 'With validate-uuid on, the target accepts only a guest with its own UUID.',
    nextStep: (told) =>
      `Give the next target "-uuid ${group(told, 0, 'UUID')}" as the source has it, or turn validate-uuid off.`,
  },
  {
    id: 'capability-differs',
    side: 'target',
    weight: 'cause',
    texts: [
      {
        pattern: /Capability (\S+) is (on|off), but received capability is (on|off)/,
        from: byTarget,
      },
    ],
    what: (told) =>
      `${group(told, 0, 'a capability')} is ${group(told, 1, 'other')} at ${told.target}`,
    meaning: (told) =>
      told.method === 'restore'
        ? `The guest was saved with ${group(told, 0, 'it')} ${group(told, 2, 'set otherwise')}.`
        : `It is ${group(told, 2, 'set otherwise')} at the source, and both need the same.`,
    nextStep: (told) =>
      told.method === 'restore'
        ? `Turn ${group(told, 0, 'it')} ${group(told, 2, 'to what it was')} and restore into another target.`
        : `Turn ${group(told, 0, 'it')} on or off on both sides.`,
  },
  {
    id: 'capability-differs-unnamed',
    side: 'target',
    weight: 'kind',
    texts: [{ pattern: /Failed to validate capabilities/, from: byTarget }],
    what: ({ target }) => `a capability is set otherwise at ${target}`,
    meaning: 'QEMU says which one on the standard error of the target only.',
    nextStep: 'Compare the capabilities of both sides and make them equal.',
  },
  {
    id: 'postcopy-one-side',
    side: 'target',
    weight: 'cause',
    texts: [{ pattern: /RAM postcopy is (?:disabled|enabled) but have/, from: byTarget }],
    what: 'postcopy-ram is on at one side only',
    meaning: 'Both sides have to know beforehand that the memory may follow later.',
    nextStep: 'Turn postcopy-ram on or off on both sides.',
  },
  {
    id: 'multifd-differs',
    side: 'channel',
    weight: 'cause',
    texts: [
      { pattern: /Extra incoming migration connection; ignoring/, from: ['target-stderr'] },
      {
        pattern: /multifd: received channel id \d+ (?:is greater than|exceeds)/,
        from: byTarget,
      },
    ],
    what: 'the source opened more connections than the target takes',
    meaning: 'multifd is on at one side only, or multifd-channels differs.',
    nextStep: 'Set multifd and multifd-channels alike on both sides.',
  },
  {
    id: 'multifd-compression',
    side: 'channel',
    weight: 'cause',
    texts: [{ pattern: /multifd \d+: flags received (\S+) flags expected (\S+)/, from: byEither }],
    what: 'the two sides compress the memory differently',
    meaning: 'multifd-compression is not the same on both sides.',
    nextStep: 'Set multifd-compression alike on both sides.',
  },
  {
    id: 'device-state',
    side: 'target',
    weight: 'kind',
    texts: [
      { pattern: /error while loading state for instance \S+ of device '([^']*)'/, from: byTarget },
    ],
    what: (told) => `${told.target} cannot load the state of "${group(told, 0, 'a device')}"`,
    meaning: 'That device has other options at the target, or another version of it.',
    nextStep: likeSource,
  },
];
