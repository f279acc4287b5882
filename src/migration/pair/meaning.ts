import type { JsonValue } from '../../qmp/json';
import type { VmFacts } from '../../vm/types';
import type { CapabilityInfo, ParameterInfo, Sides } from '../settings/catalogue';
import { parameterDefault } from '../settings/defaults';
import { onlyOverRdma } from '../settings/rules';
import { reportedCapability } from '../settings/settingsState';
import { sameValue } from '../settings/values';

/** What a difference means. */
export type Meaning =
  /** A difference fails, hangs or harms the migration. */
  | 'must-be-equal'
  | 'may-differ'
  /** Only that side's value matters. */
  | 'source-only'
  | 'target-only';

const meanings: Readonly<Record<Sides, Meaning>> = {
  'both-equal': 'must-be-equal',
  source: 'source-only',
  target: 'target-only',
  either: 'may-differ',
};

export function meaningOf(sides: Sides | undefined): Meaning {
  return sides === undefined ? 'may-differ' : meanings[sides];
}

/** What is to be said of a difference. */
export interface Judgement {
  readonly problem: boolean;
  readonly note?: string;
}

/** What QEMU has for one setting on each side; `undefined`: not there, or not set. */
export interface BothSides<T> {
  readonly source: T;
  readonly target: T;
}

const onlyOne = 'Only one of the two QEMUs has it.';
const mustBeEqual = 'Both sides must have the same.';
const overRdma = 'It matters only to a migration over rdma:.';

const sideNotes: Readonly<Record<Meaning, string | undefined>> = {
  'must-be-equal': mustBeEqual,
  'may-differ': undefined,
  'source-only': 'Only the source’s value matters.',
  'target-only': 'Only the target’s value matters.',
};

/** A parameter whose values differ. */
export function judgeParameter(
  name: string,
  info: ParameterInfo | undefined,
  values: BothSides<JsonValue | undefined>,
  facts: BothSides<VmFacts>,
  present: BothSides<boolean>,
): Judgement {
  const meaning = meaningOf(info?.sides);
  const oneSided = !present.source || !present.target;
  if (info === undefined || meaning !== 'must-be-equal') {
    const note = oneSided ? onlyOne : sideNotes[meaning];
    return { problem: false, ...(note !== undefined && { note }) };
  }
  if (onlyOverRdma.has(name)) return { problem: false, note: overRdma };
  const missing = (info.needs ?? []).flatMap(({ capability }) =>
    capability !== undefined &&
    reportedCapability(facts.source, capability) !== true &&
    reportedCapability(facts.target, capability) !== true
      ? [capability]
      : [],
  );
  if (missing.length > 0) {
    return {
      problem: false,
      note: `It has no effect as long as ${missing.join(' and ')} is off on both sides.`,
    };
  }
  const { source, target } = values;
  if (source === undefined || target === undefined) {
    if (!oneSided) return { problem: false, note: 'QEMU does not report it on one side.' };
    // A QEMU without the parameter does what the others do by default.
    const standard = parameterDefault(present.source ? facts.source : facts.target, name);
    const plain = standard.kind === 'known' && sameValue(source ?? target, standard.value);
    return plain
      ? { problem: false, note: `${onlyOne} At its default it does what the other does.` }
      : { problem: true, note: `${onlyOne} The other can only do what is the default here.` };
  }
  return { problem: true, note: parameterNote(name, source, target) };
}

/** What happens when a parameter that must be equal is not; measured. */
function parameterNote(name: string, source: JsonValue, target: JsonValue): string {
  switch (name) {
    case 'multifd-channels':
      return Number(source) > Number(target)
        ? 'The migration hangs, and the target’s monitor answers no more: it does not expect so many channels.'
        : 'The migration hangs: the target waits for channels that the source never opens.';
    case 'multifd-compression':
      return 'The migration fails: the target reads the channels by its own method.';
    default:
      return mustBeEqual;
  }
}

/** A capability that is on at one side; the other has it off, or not at all. */
export function judgeCapability(
  name: string,
  info: CapabilityInfo | undefined,
  onlyOn: 'source' | 'target',
  present: BothSides<boolean>,
): Judgement {
  const meaning = meaningOf(info?.sides);
  if (meaning === 'must-be-equal') {
    if (onlyOverRdma.has(name)) return { problem: false, note: overRdma };
    return { problem: true, note: capabilityNotes[name]?.[onlyOn] ?? mustBeEqual };
  }
  const note = sideNotes[meaning] ?? (present.source && present.target ? undefined : onlyOne);
  return { problem: false, ...(note !== undefined && { note }) };
}

function oneNote(note: string): BothSides<string> {
  return { source: note, target: note };
}

/** What happens when a capability is on at that side only; measured. */
const capabilityNotes: Readonly<Record<string, BothSides<string>>> = {
  multifd: {
    source: 'With it on at the source only, the migration fails.',
    target: 'With it on at the target only, the migration hangs, and the source says "active".',
  },
  'postcopy-ram': {
    source: 'With it on at the source only, the migration fails.',
    target: 'On at the target only it does no harm, but postcopy cannot be started.',
  },
  'postcopy-preempt': {
    source: 'It uses a connection of its own in postcopy, which both sides must know of.',
    target: 'With it on at the target only, QEMU 7.2 hangs.',
  },
  'mapped-ram': oneNote('With it on at one side only, the migration fails.'),
  'x-ignore-shared': oneNote('With it on at one side only, the migration fails.'),
  'validate-uuid': oneNote('With it on at one side only, the UUIDs are not compared.'),
  'switchover-ack': {
    source: 'With it on at the source only, QEMU 10 waits for ever for the target’s word.',
    target: 'With it on at the target only, nobody waits for the target’s word.',
  },
  'dirty-bitmaps': oneNote('If there are bitmaps, both sides must have it on.'),
};
