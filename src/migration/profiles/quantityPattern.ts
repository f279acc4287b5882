import type { Unit } from '../settings/catalogue';

/**
 * What `parseQuantity` takes, as a regular expression for a JSON schema: never narrower, so that the
 * editor marks nothing that works. Undefined for units that have no texts of their own.
 */
export function quantityPattern(unit: Unit, unlimited: boolean): string {
  const suffix = suffixes[unit];
  const number = '(?:\\d+(?:\\.\\d+)?|\\.\\d+)';
  const words = unlimited ? `|${['unlimited', 'no limit', 'none'].map(anyCase).join('|')}` : '';
  return `^\\s*(?:0[xX][0-9a-fA-F]+|${number}${suffix === '' ? '' : `\\s*(?:${suffix})?`}${words})\\s*$`;
}

const prefix = '[kKmMgGtTpPeE]';
const perSecond = `(?:\\s*/\\s*[sS](?:[eE][cC](?:[oO][nN][dD])?)?|[pP][sS])`;
const bytes = `${prefix}?[iI]?[bB]|${prefix}[iI]?|${anyCase('byte')}[sS]?`;
const bits = `${prefix}?[iI]?${anyCase('bit')}[sS]?`;

const suffixes: Readonly<Record<Unit, string>> = {
  bytes,
  'bytes/s': `(?:${bytes}|${bits})?${perSecond}?`,
  'MB/s': `[mMgGtTpPeE][iI]?[bB]?${perSecond}?`,
  ms: [
    'us',
    'µs',
    'μs',
    'msec',
    'ms',
    'seconds',
    'second',
    'sec',
    's',
    'minutes',
    'minute',
    'min',
    'hours',
    'hour',
    'h',
  ]
    .map(anyCase)
    .join('|'),
  percent: `%|${anyCase('percent')}`,
  count: '',
  level: '',
  none: '',
};

/** Schemas have no flag for it. */
function anyCase(text: string): string {
  return text.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}
