/**
 * What we know of each migration parameter and capability, beyond what QEMU's schema tells.
 * QEMU decides what exists; a name missing here is shown with what QEMU says of it.
 */
import { capabilities, parameters } from './catalogueData';
import type { CapabilityInfo, ParameterGroupInfo, ParameterInfo } from './catalogueTypes';
import { formatQuantity, parseQuantity, type QuantityResult } from './units';

export type * from './catalogueTypes';

/** In the order in which they are shown. */
export const parameterGroups: readonly ParameterGroupInfo[] = [
  {
    id: 'local-transfer',
    title: 'Local transfer',
    summary: 'Handing memory, devices and descriptors to a QEMU on the same host',
  },
  {
    id: 'speed-and-pause',
    title: 'Speed and pause',
    summary: 'How fast memory is sent and how long the guest may stand still',
  },
  {
    id: 'channels',
    title: 'Channels',
    summary: 'How many connections carry the data, and how pages are written to them',
  },
  { id: 'compression', title: 'Compression', summary: 'Processor time in exchange for bandwidth' },
  {
    id: 'cpu-throttling',
    title: 'CPU throttling',
    summary: 'Slowing the guest when it writes memory faster than it can be sent',
  },
  {
    id: 'announce',
    title: 'Announcing',
    summary: 'Telling the network where the guest went',
  },
  { id: 'security', title: 'Security', summary: 'Encrypting the migration and checking the peer' },
  { id: 'other', title: 'Other', summary: 'Seldom needed, or of no group of its own' },
];

export const allParameters = parameters;
export const allCapabilities = capabilities;

const noLimit = 'no limit';
/** Upper ends from here on come from the size of a number, and are not worth telling. */
const endless = 1n << 63n;
const parametersByName = new Map(parameters.map((info) => [info.name, info]));
const capabilitiesByName = new Map(capabilities.map((info) => [info.name, info]));

export function parameterInfo(name: string): ParameterInfo | undefined {
  return parametersByName.get(name);
}

export function capabilityInfo(name: string): CapabilityInfo | undefined {
  return capabilitiesByName.get(name);
}

/**
 * Reads a number typed for this parameter and checks it. What 0 means may be typed for 0 or, as it
 * is shown, behind it; where that is no limit, so may `unlimited`.
 */
export function parseParameter(text: string, info: ParameterInfo): QuantityResult {
  const { zeroMeans, unit } = info;
  const typed = text.trim();
  const lower = typed.toLowerCase();
  if (zeroMeans !== undefined) {
    const words = zeroMeans.toLowerCase();
    const number = lower.endsWith(`(${words})`) ? typed.slice(0, -words.length - 2) : '';
    const parsed = parseQuantity(number, unit);
    if (lower === words || (parsed.ok && parsed.value === 0n)) return { ok: true, value: 0n };
  }
  if (zeroMeans === noLimit && /^(unlimited|none)$/.test(lower)) return { ok: true, value: 0n };
  const parsed = parseQuantity(text, unit);
  if (!parsed.ok) return parsed;
  const problem = checkRange(parsed.value, info);
  return problem === undefined ? parsed : { ok: false, problem };
}

/** The range in words: `0 ms to 2000 s`, `4 KiB or more`; `undefined` where there is no limit. */
export function rangeText({ range, unit }: ParameterInfo): string | undefined {
  if (range === undefined) return undefined;
  const { min, max } = range;
  const least = formatQuantity(min, unit);
  if (max < endless) return `${least} to ${formatQuantity(max, unit)}`;
  return min === 0n ? undefined : `${least} or more`;
}

/** Why QEMU would refuse `value`, as a sentence; `undefined` when it is fine. */
export function checkRange(value: bigint, info: ParameterInfo): string | undefined {
  const say = (quantity: bigint): string => formatQuantity(quantity, info.unit);
  if (info.range !== undefined) {
    const { min, max } = info.range;
    if (value < min || value > max) {
      const bounds =
        max >= endless ? `at least ${say(min)}` : `between ${say(min)} and ${say(max)}`;
      return `${info.name} must be ${bounds}, not ${say(value)}.`;
    }
  }
  if (info.powerOfTwo === true && (value <= 0n || (value & (value - 1n)) !== 0n)) {
    return `${info.name} must be a power of two, such as ${say(nextPowerOfTwo(value))}, not ${say(value)}.`;
  }
  return undefined;
}

function nextPowerOfTwo(value: bigint): bigint {
  return value <= 1n ? 1n : 1n << BigInt((value - 1n).toString(2).length);
}
