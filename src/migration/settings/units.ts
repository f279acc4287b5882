import type { Unit } from './catalogueTypes';

export type QuantityResult =
  { readonly ok: true; readonly value: bigint } | { readonly ok: false; readonly problem: string };

/** The largest number QMP takes. */
export const maxUint64 = (1n << 64n) - 1n;

/** A factor of the base unit, as an exact fraction. */
interface Factor {
  readonly times: bigint;
  readonly over: bigint;
}

const longestText = 100;
const minutes = 60_000n;
const prefixes = ['K', 'M', 'G', 'T', 'P', 'E'];

/**
 * Turns what a person types into the number QMP takes, exactly.
 *
 * A plain number (`300`, `0x1000`) is in the base unit; decimals are fine when they come out as a
 * whole number of it (`1.5 GiB`, `0.3 s`).
 * - Sizes and rates: `K`, `M`, `G`, `T`, `P`, `E` and `KiB`, `MiB` ... count in 1024s, as QEMU's
 *   own suffixes do; `kB`, `MB`, `GB` ... count in 1000s, as libvirt reads them. Rates take `/s`
 *   or `ps`, or leave it out, and take bits: `800 Mbit/s`, `800 Mbps` (1000s, eight to a byte).
 *   `Mb/s` is refused: it may mean bits or bytes. In a size, which has no bits, it is `MB`.
 * - `MB/s` (the unit of vcpu-dirty-limit) counts 2^20 bytes in QEMU, so `MB`, `M` and `MiB` are
 *   one there, and likewise `G` and `T`.
 * - Times: `us`, `ms`, `s`, `min`, `h`. Percentages: with or without `%`.
 *
 * Negative numbers are refused: QEMU would take -1 and keep 2^64-1.
 */
export function parseQuantity(text: string, unit: Unit): QuantityResult {
  const typed = text.normalize('NFKC').trim();
  if (typed === '') return problem(`Type a number, such as ${example(unit)}.`);
  if (typed.length > longestText) return problem('That is too long for a number.');
  if (/^[-\u2212\u2013]\s*[\d.]/.test(typed)) {
    return problem('It cannot be negative: QEMU would take -1 for 18446744073709551615.');
  }
  if (typed.startsWith('≈')) {
    return problem('A number with ≈ is rounded. Type the exact one, without ≈.');
  }
  if (/^0x[\da-f]+$/i.test(typed)) return bounded(BigInt(typed), unit);

  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*(.*)$/u.exec(typed);
  const [, digits, suffix] = match ?? [];
  if (digits === undefined || suffix === undefined) {
    return problem(`"${typed}" is not a number. Type one such as ${example(unit)}.`);
  }
  if (/^[.,_'\d]/.test(suffix)) {
    return problem(
      `"${typed}" is not a number: use a point for decimals, and nothing between thousands.`,
    );
  }
  const factor = factorOf(suffix, unit);
  if (typeof factor === 'string') return problem(factor);

  const [whole = '', decimals = ''] = digits.split('.');
  const numerator = BigInt(whole + decimals) * factor.times;
  const denominator = 10n ** BigInt(decimals.length) * factor.over;
  if (numerator % denominator !== 0n) {
    const nearest = (2n * numerator + denominator) / (2n * denominator);
    return problem(
      `${typed} is not a whole number of ${baseUnits[unit].many}. The nearest is ${nearest}.`,
    );
  }
  return bounded(numerator / denominator, unit);
}

function bounded(value: bigint, unit: Unit): QuantityResult {
  return value > maxUint64
    ? problem(`That is more than QEMU can take: at most ${maxUint64} ${baseUnits[unit].many}.`)
    : { ok: true, value };
}

function problem(sentence: string): QuantityResult {
  return { ok: false, problem: sentence };
}

/** How the base unit is called in a sentence, and what may follow a number. */
const baseUnits: Record<Unit, { readonly many: string; readonly accepted: string }> = {
  bytes: {
    many: 'bytes',
    accepted: 'B, K or KiB, M or MiB, G or GiB (1024s), kB, MB, GB (1000s); none means bytes',
  },
  'bytes/s': {
    many: 'bytes a second',
    accepted:
      'B/s, K or KiB/s, M or MiB/s, G or GiB/s (1024s), kB/s, MB/s, GB/s (1000s), Mbit/s, ' +
      'Gbit/s; none means bytes a second',
  },
  ms: { many: 'milliseconds', accepted: 'us, ms, s, min, h; none means milliseconds' },
  percent: { many: 'percent', accepted: '%' },
  'MB/s': {
    many: 'MiB a second',
    accepted: 'MB/s or MiB/s, G, T (1024s); none means MiB a second',
  },
  count: { many: 'units', accepted: 'no unit' },
  level: { many: 'levels', accepted: 'no unit' },
  none: { many: 'units', accepted: 'no unit' },
};

function example(unit: Unit): string {
  switch (unit) {
    case 'bytes':
      return '64 MiB';
    case 'bytes/s':
      return '1 GiB/s';
    case 'ms':
      return '300 ms';
    case 'percent':
      return '50 %';
    case 'MB/s':
      return '100 MB/s';
    case 'count':
    case 'level':
    case 'none':
      return '4';
  }
}

/** The factor that a suffix stands for, or what is wrong with it. */
function factorOf(suffix: string, unit: Unit): Factor | string {
  const factor = suffix === '' ? { times: 1n, over: 1n } : suffixFactor(suffix, unit);
  return factor ?? `"${suffix}" is not a unit for this. Accepted: ${baseUnits[unit].accepted}.`;
}

function suffixFactor(suffix: string, unit: Unit): Factor | string | undefined {
  switch (unit) {
    case 'bytes':
      return sizeFactor(suffix);
    case 'bytes/s':
      return rateFactor(suffix);
    case 'MB/s':
      return dirtyRateFactor(suffix);
    case 'ms':
      return durations.get(suffix.toLowerCase());
    case 'percent':
      return /^(%|percent)$/i.test(suffix) ? { times: 1n, over: 1n } : undefined;
    case 'count':
    case 'level':
    case 'none':
      return undefined;
  }
}

const durations: ReadonlyMap<string, Factor> = new Map(
  (
    [
      ['us µs μs', 1n, 1000n],
      ['ms msec', 1n, 1n],
      ['s sec second seconds', 1000n, 1n],
      ['min minute minutes', minutes, 1n],
      ['h hour hours', 60n * minutes, 1n],
    ] as const
  ).flatMap(([names, times, over]) => names.split(' ').map((name) => [name, { times, over }])),
);

function sizeFactor(suffix: string): Factor | undefined {
  if (/^bytes?$/i.test(suffix)) return { times: 1n, over: 1n };
  const [found, prefix = '', binary, byte] = /^([kmgtpe])?(i)?(b)?$/i.exec(suffix) ?? [];
  if (found === undefined || (prefix === '' && binary !== undefined)) return undefined;
  const base = binary === undefined && byte !== undefined ? 1000n : 1024n;
  return { times: base ** power(prefix), over: 1n };
}

function rateFactor(suffix: string): Factor | string | undefined {
  const [, amount = suffix, tail = ''] = /^(.*?)\s*(\/\s*s(?:ec|econd)?|ps)$/i.exec(suffix) ?? [];
  const [bits, bitPrefix = '', bitBinary, bitName] =
    /^([kmgtpe])?(i)?(bits?|b)$/i.exec(amount) ?? [];
  const calledBits = bitName?.toLowerCase().startsWith('bit') === true;
  if (bits !== undefined && (calledBits || (bitName === 'b' && /^ps$/i.test(tail)))) {
    if (bitPrefix === '' && bitBinary !== undefined) return undefined;
    return { times: (bitBinary === undefined ? 1000n : 1024n) ** power(bitPrefix), over: 8n };
  }
  if (/^[kmgtpe]?b$/.test(amount) || /^[KMGTPE](b|ib)$/.test(amount)) {
    const prefix = amount.slice(0, -1);
    return `"${suffix}" may mean bits or bytes. Write ${prefix}bit/s or ${prefix}B/s.`;
  }
  return sizeFactor(amount);
}

function dirtyRateFactor(suffix: string): Factor | undefined {
  const [found, prefix = ''] =
    /^([mgtpe])(?:i?b)?(?:\s*\/\s*s(?:ec|econd)?|ps)?$/i.exec(suffix) ?? [];
  return found === undefined ? undefined : { times: 1024n ** (power(prefix) - 2n), over: 1n };
}

function power(prefix: string): bigint {
  return prefix === '' ? 0n : BigInt(prefixes.indexOf(prefix.toUpperCase()) + 1);
}

/**
 * A setting's value for people: the shortest exact form, which `parseQuantity` reads back as the
 * same number (`128 MiB/s`, `100 MB/s`, `1.5 s`). A size that has no short exact form is rounded
 * and marked: `≈ 8 PiB`. For an input box take `editableQuantity`.
 */
export function formatQuantity(value: bigint | number, unit: Unit): string {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) return formatMeasured(value, unit);
    return formatQuantity(BigInt(value), unit);
  }
  if (value < 0n) return `-${formatQuantity(-value, unit)}`;
  switch (unit) {
    case 'bytes':
      return exactSize(value, '') ?? `≈ ${roundedSize(Number(value), '')}`;
    case 'bytes/s':
      return exactSize(value, '/s') ?? `≈ ${roundedSize(Number(value), '/s')}`;
    case 'MB/s':
      return value === 0n
        ? '0 MiB/s'
        : (exactSize(value << 20n, '/s', 2) ?? `≈ ${roundedSize(Number(value << 20n), '/s')}`);
    case 'ms':
      return value < 1000n ? `${value} ms` : `${thousandths(value)} s`;
    case 'percent':
      return `${value} %`;
    case 'count':
    case 'level':
    case 'none':
      return value.toString();
  }
}

/** An exact text to start editing from: the form people read, or the bare number. */
export function editableQuantity(value: bigint, unit: Unit): string {
  const shown = formatQuantity(value, unit);
  return shown.startsWith('≈') ? value.toString() : shown;
}

function formatMeasured(value: number, unit: Unit): string {
  switch (unit) {
    case 'bytes':
      return formatBytes(value);
    case 'bytes/s':
      return formatRate(value);
    case 'MB/s':
      return formatRate(value * 2 ** 20);
    case 'ms':
      return formatDurationMs(value);
    case 'percent':
      return measured(value, (amount) => `${significant(amount)} %`);
    case 'count':
    case 'level':
    case 'none':
      return measured(value, significant);
  }
}

const unknown = '–';
const beyondMeasure = 1e21;
const longestNumber = 7;

interface Scale {
  readonly name: string;
  readonly size: bigint;
}

const binaryScales: readonly Scale[] = [
  { name: 'B', size: 1n },
  ...prefixes.map((prefix) => ({ name: `${prefix}iB`, size: 1024n ** power(prefix) })),
];
const decimalScales: readonly Scale[] = prefixes.map((prefix) => ({
  name: `${prefix === 'K' ? 'k' : prefix}B`,
  size: 1000n ** power(prefix),
}));

/** The exact form with the fewest digits; binary wins a tie, then the larger unit. */
function exactSize(value: bigint, tail: string, smallestBinary = 0): string | undefined {
  if (value === 0n) return `0 B${tail}`;
  const decimals = smallestBinary === 0 ? decimalScales.toReversed() : [];
  let best: { number: string; name: string } | undefined;
  for (const scale of [...binaryScales.slice(smallestBinary).toReversed(), ...decimals]) {
    if (value < scale.size || (value * 1000n) % scale.size !== 0n) continue;
    const number = thousandths((value * 1000n) / scale.size);
    if (number.length > longestNumber) continue;
    if (best === undefined || number.length < best.number.length) {
      best = { number, name: scale.name };
    }
  }
  return best && `${best.number} ${best.name}${tail}`;
}

/** A number of thousandths, written out exactly. */
function thousandths(value: bigint): string {
  const decimals = (value % 1000n).toString().padStart(3, '0').replace(/0+$/, '');
  return decimals === '' ? `${value / 1000n}` : `${value / 1000n}.${decimals}`;
}

/** Three significant digits, or all of a larger whole number; no trailing zeros, no exponent. */
function significant(value: number): string {
  if (value >= 100) return Math.round(value).toString();
  return value < 0.001 ? '0' : Number(value.toPrecision(3)).toString();
}

function roundedSize(bytes: number, tail: string): string {
  const last = binaryScales.length - 1;
  for (const [index, { name, size }] of binaryScales.entries()) {
    const amount = bytes / Number(size);
    if (index === last || Math.round(amount) < 1024) return `${significant(amount)} ${name}${tail}`;
  }
  return unknown;
}

/** A measured size, to three digits: `1.42 GiB`. */
export function formatBytes(bytes: number | bigint): string {
  return measured(bytes, (amount) => roundedSize(amount, ''));
}

/** A measured rate, to three digits: `117 MiB/s`. */
export function formatRate(bytesPerSecond: number | bigint): string {
  return measured(bytesPerSecond, (amount) => roundedSize(amount, '/s'));
}

/** A measured time, to three digits: `0.4 ms`, `12.3 ms`, `1.8 s`, `2 min 5 s`, `1 h 10 min`. */
export function formatDurationMs(ms: number | bigint): string {
  return measured(ms, (amount) => {
    if (amount < 999.5) return `${significant(amount)} ms`;
    const seconds = Math.round(amount / 1000);
    if (seconds < 120) return `${significant(amount / 1000)} s`;
    if (seconds < 3600) return joined(Math.floor(seconds / 60), 'min', seconds % 60, 's');
    const wholeMinutes = Math.round(seconds / 60);
    return joined(Math.floor(wholeMinutes / 60), 'h', wholeMinutes % 60, 'min');
  });
}

function joined(large: number, largeName: string, small: number, smallName: string): string {
  return small === 0 ? `${large} ${largeName}` : `${large} ${largeName} ${small} ${smallName}`;
}

function measured(value: number | bigint, show: (amount: number) => string): string {
  const amount = Number(value);
  if (!(Math.abs(amount) < beyondMeasure)) return unknown;
  return amount < 0 ? `-${show(-amount)}` : show(amount);
}
