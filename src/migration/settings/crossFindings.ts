import type { JsonValue } from '../../qmp/json';
import type { Judged, SettingFinding } from './findings';
import type { SettingsChange } from './settingsState';
import { reportedCapability, reportedParameter } from './settingsState';
import { isNumber } from './values';

/** Rules between settings that QEMU checks beyond what the catalogue has of each alone. */
export function crossFindings(judged: Judged): readonly SettingFinding[] {
  return [...throttleRange(judged), ...plainOnly(judged), ...mappedRamTrap(judged)];
}

/** QEMU: `max-cpu-throttle` is in the range of `cpu-throttle-initial` to 99. */
function throttleRange({ wanted, parameter }: Judged): readonly SettingFinding[] {
  const [low, high] = ['cpu-throttle-initial', 'max-cpu-throttle'] as const;
  const changed = [high, low].find((name) => Object.hasOwn(wanted.parameters, name));
  const [initial, max] = [parameter(low), parameter(high)];
  if (changed === undefined || !isNumber(initial) || !isNumber(max) || initial <= max) return [];
  const text =
    `${low} cannot be above ${high}: they would be ${initial} % and ${max} %. ` +
    'Change the other one too.';
  const fix: SettingsChange = {
    parameters: changed === high ? { [low]: max } : { [high]: initial },
    capabilities: {},
  };
  return [{ level: 'refuse', kind: 'parameter', name: changed, text, fix }];
}

/** Capabilities that QEMU has for plain memory only: neither compressed nor encrypted. */
const plainCapabilities = ['zero-copy-send', 'mapped-ram'] as const;
/** The parameters that say so, with the values that do. */
const plainValues = { 'multifd-compression': 'none', 'tls-creds': '' } as const;
const plainNames = ['multifd-compression', 'tls-creds'] as const;

function plainOnly({ wanted, parameter, capability }: Judged): readonly SettingFinding[] {
  const offending = plainNames.filter((name) => !isPlain(name, parameter(name)));
  return plainCapabilities.flatMap((name): SettingFinding[] => {
    if (capability(name) !== true || offending.length === 0) return [];
    const set = offending.filter((other) => Object.hasOwn(wanted.parameters, other));
    const turnedOn = Object.hasOwn(wanted.capabilities, name);
    if (set.length === 0 && !turnedOn) return [];
    const because =
      name === 'mapped-ram'
        ? ' QEMU accepts the two together, and from then on refuses every change of a parameter.'
        : '';
    const reset = offending.map((other) => `${other} to ${plainValues[other] || 'the empty text'}`);
    return [
      {
        level: 'refuse',
        kind: turnedOn ? 'capability' : 'parameter',
        name: turnedOn ? name : (set[0] ?? name),
        text:
          `${name} goes with neither compression nor TLS.${because} ` +
          `Set ${reset.join(' and ')}, or turn ${name} off.`,
        fix: turnedOn
          ? {
              parameters: Object.fromEntries(offending.map((other) => [other, plainValues[other]])),
              capabilities: {},
            }
          : { parameters: {}, capabilities: { [name]: false } },
      },
    ];
  });
}

/** Once in that state, QEMU 10 and 11 take no parameter before `mapped-ram` is off. */
function mappedRamTrap({ facts, wanted, capability }: Judged): readonly SettingFinding[] {
  const [first] = Object.keys(wanted.parameters);
  const isTrapped =
    reportedCapability(facts, 'mapped-ram') === true &&
    plainNames.some((name) => !isPlain(name, reportedParameter(facts, name)));
  if (first === undefined || !isTrapped || capability('mapped-ram') !== true) return [];
  return [
    {
      level: 'warn',
      kind: 'parameter',
      name: first,
      text:
        'mapped-ram is on together with compression or TLS: QEMU then refuses every change of a ' +
        `parameter, that of ${first} too. Turn mapped-ram off first.`,
      fix: { parameters: {}, capabilities: { 'mapped-ram': false } },
    },
  ];
}

function isPlain(name: (typeof plainNames)[number], value: JsonValue | undefined): boolean {
  return value === undefined || value === null || value === plainValues[name];
}
