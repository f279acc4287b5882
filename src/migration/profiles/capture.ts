import type { JsonValue } from '../../qmp/json';
import type { VmFacts } from '../../vm/types';
import { backendTransferOf } from '../settings/backendTransfer';
import { describeCapabilities } from '../settings/capabilities';
import { usualParameterDefault } from '../settings/defaults';
import { describeParameters, editText, type ParameterDescription } from '../settings/parameters';
import { sameValue } from '../settings/values';
import type { ProfileSettings, SavedSettings } from './types';
import { neverInProfiles } from './valueProblem';

/**
 * Left out of what is saved: it names the disks of one guest, and a QEMU that has been given it
 * cannot be rid of it.
 */
const ofOneGuest = 'block-bitmap-mapping';

/**
 * The machine's settings as a profile has them: those that were changed from their defaults, or all.
 * Values are written with units where a person would; backend transfer as such, not by the name that
 * this QEMU has for it. `cpr-exec-command` and `block-bitmap-mapping` are left out.
 *
 * Where the default of this QEMU is not known, that of the QEMUs that we know decides; a setting that
 * none of them has counts as changed.
 */
export function profileOf(facts: VmFacts, which: 'changed' | 'all'): SavedSettings {
  const offer = backendTransferOf({ facts, process: undefined });
  const transfer = offer?.kind === 'boolean' ? offer.parameter : undefined;
  const parameters = describeParameters(facts).filter(
    (description) =>
      description.editable &&
      description.value !== undefined &&
      !neverInProfiles.has(description.name) &&
      description.name !== ofOneGuest &&
      (which === 'all' || isChanged(description)),
  );
  const capabilities = describeCapabilities(facts).flatMap(({ name, enabled, changed }) =>
    enabled !== undefined && (which === 'all' || changed) ? [[name, enabled] as const] : [],
  );
  const switched = parameters.find(({ name }) => name === transfer);
  return {
    ...(switched !== undefined && { backendTransfer: switched.value === true }),
    parameters: Object.fromEntries(
      parameters.flatMap((description) =>
        description === switched ? [] : [[description.name, fileValue(description)]],
      ),
    ),
    capabilities: Object.fromEntries(capabilities),
  };
}

function isChanged({ name, changed, default: own, value }: ParameterDescription): boolean {
  if (own.kind === 'known') return changed;
  const usual = usualParameterDefault(name);
  return usual.kind === 'unknown' || !sameValue(value, usual.value);
}

/** As a person would write it: `"2 GiB/s"`, `4`. */
function fileValue(description: ParameterDescription): JsonValue {
  const { control, unit, value = null } = description;
  const hasUnit = unit === 'bytes' || unit === 'bytes/s' || unit === 'ms' || unit === 'MB/s';
  if (control !== 'integer' || !hasUnit || sameValue(value, 0)) return value;
  const text = editText(description);
  // A number that has no short form with a unit is as clear without quotes.
  return /^\d+$/.test(text) ? value : text;
}

export interface SavedPair {
  /** What both sides have alike. */
  readonly settings: SavedSettings;
  readonly source: ProfileSettings;
  readonly target: ProfileSettings;
}

/** The settings of a pair as one profile: what the two have alike, and what each has on its own. */
export function profileOfPair(
  sourceFacts: VmFacts,
  targetFacts: VmFacts,
  which: 'changed' | 'all',
): SavedPair {
  const saved = [profileOf(sourceFacts, which), profileOf(targetFacts, which)] as const;
  const isAlike = saved[0].backendTransfer === saved[1].backendTransfer;
  const [source, target] = isAlike
    ? saved
    : [spelledOut(saved[0], sourceFacts), spelledOut(saved[1], targetFacts)];
  const shared: ProfileSettings = {
    parameters: common(source.parameters, target.parameters),
    capabilities: common(source.capabilities, target.capabilities),
  };
  const { backendTransfer } = source;
  return {
    settings: { ...shared, ...(backendTransfer !== undefined && { backendTransfer }) },
    source: without(source, shared),
    target: without(target, shared),
  };
}

/** Backend transfer as a parameter of this QEMU: a profile has one switch for both sides. */
function spelledOut(
  { backendTransfer, ...settings }: SavedSettings,
  facts: VmFacts,
): SavedSettings {
  const offer = backendTransferOf({ facts, process: undefined });
  if (backendTransfer === undefined || offer?.kind !== 'boolean') return settings;
  const parameters = { [offer.parameter]: backendTransfer, ...settings.parameters };
  return { ...settings, parameters };
}

function without(settings: ProfileSettings, shared: ProfileSettings): ProfileSettings {
  const rest = <Value>(all: Values<Value>, part: Values<Value>): Values<Value> =>
    Object.fromEntries(Object.entries(all).filter(([name]) => !Object.hasOwn(part, name)));
  return {
    parameters: rest(settings.parameters, shared.parameters),
    capabilities: rest(settings.capabilities, shared.capabilities),
  };
}

type Values<Value> = Readonly<Record<string, Value>>;

function common<Value extends JsonValue>(a: Values<Value>, b: Values<Value>): Values<Value> {
  return Object.fromEntries(
    Object.entries(a).filter(
      ([name, value]) => Object.hasOwn(b, name) && sameValue(value, b[name]),
    ),
  );
}
