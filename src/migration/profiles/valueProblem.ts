import { isArray, isObject, type JsonValue } from '../../qmp/json';
import { isBackendTransferParameter } from '../settings/backendTransfer';
import { checkRange, parseParameter, type ParameterInfo } from '../settings/catalogue';
import { usualParameterDefault } from '../settings/defaults';
import { nearest } from '../settings/nearest';
import { executedParameter } from '../settings/rules';
import { editableQuantity, maxUint64 } from '../settings/units';
import { isNumber } from '../settings/values';

/**
 * Parameters that no profile may carry, each with the reason: a file is passed around, and applying
 * it must not run what somebody else wrote into it.
 */
export const neverInProfiles: ReadonlyMap<string, string> = new Map([
  [
    executedParameter,
    'QEMU runs "cpr-exec-command" in place of itself, so a profile must not carry it. ' +
      'Set it on the machine itself.',
  ],
]);

/** Why no QEMU that we know takes this value, as a sentence; `undefined` when it is fine. */
export function valueProblem(info: ParameterInfo, value: JsonValue): string | undefined {
  const wanted = (what: string): string => `"${info.name}" must be ${what}.`;
  switch (info.type) {
    case 'bool':
      if (typeof value === 'boolean') return undefined;
      // Some drafts of it are lists.
      if (isBackendTransferParameter(info.name) && isTexts(value)) return undefined;
      return wanted('true or false');
    case 'int':
    case 'size':
      return quantityProblem(info, value);
    case 'enum':
      return choiceProblem(info, value);
    case 'string':
      return typeof value === 'string' ? undefined : wanted('a text in quotes');
    case 'string-or-null':
      return typeof value === 'string' || value === null
        ? undefined
        : wanted('a text in quotes, or null for none');
    case 'list':
      return isArray(value) ? undefined : wanted('a list in brackets');
    case 'struct':
      return isArray(value) || isObject(value) ? undefined : wanted('a list or an object');
  }
}

function quantityProblem(info: ParameterInfo, value: JsonValue): string | undefined {
  if (typeof value === 'string') {
    const parsed = parseParameter(value, info);
    if (parsed.ok) return undefined;
    return parsed.problem.startsWith(info.name)
      ? parsed.problem
      : `${info.name}: ${parsed.problem}`;
  }
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    return `"${info.name}" must be a whole number${orText(info)}.`;
  }
  if (typeof value === 'number' && !Number.isInteger(value)) {
    return `"${info.name}" must be a whole number${orText(info)}, not ${value}.`;
  }
  const exact = BigInt(value);
  if (exact < 0n) return `"${info.name}" cannot be negative.`;
  if (exact > maxUint64) return `"${info.name}" is more than QEMU can take.`;
  return checkRange(exact, info);
}

function orText(info: ParameterInfo): string {
  const sample = exampleText(info);
  return sample === undefined ? '' : ` or a text with a unit, such as "${sample}"`;
}

/** What fresh QEMUs have; `undefined` where they differ, or have nothing. */
export function usualDefault({ name }: ParameterInfo): JsonValue | undefined {
  const usual = usualParameterDefault(name);
  return usual.kind === 'known' ? usual.value : undefined;
}

/** The default, or the least that is worth writing, with its unit; `undefined` without a unit. */
export function exampleText(info: ParameterInfo): string | undefined {
  if (info.unit === 'none' || info.unit === 'count' || info.unit === 'level') return undefined;
  const standard = usualDefault(info);
  const usual = { bytes: 64n << 20n, 'bytes/s': 1n << 30n, ms: 300n, percent: 50n, 'MB/s': 100n };
  const value = isNumber(standard) && standard > 0 ? BigInt(standard) : usual[info.unit];
  return editableQuantity(value, info.unit);
}

function choiceProblem({ name, values = [] }: ParameterInfo, value: JsonValue): string | undefined {
  const choices = values.map((choice) => choice.value);
  if (typeof value === 'string' && choices.includes(value)) return undefined;
  const near = typeof value === 'string' ? nearest(value, choices) : undefined;
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`;
  return `"${name}" must be one of: ${choices.join(', ')}.${hint}`;
}

function isTexts(value: JsonValue): boolean {
  return isArray(value) && value.every((entry) => typeof entry === 'string');
}
