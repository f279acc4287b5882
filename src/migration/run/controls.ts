import type { JsonValue } from '../../qmp/json';
import type { MachineSnapshot } from '../../vm/types';
import { isOneSided, methodOf } from '../methods/names';
import { plannedSettings } from '../methods/planned';
import {
  allParameters,
  checkRange,
  parameterInfo,
  type ParameterInfo,
} from '../settings/catalogue';
import type { SideName } from './journal/entries';
import { doesNotAnswer } from './progressText';
import { states } from './states';
import type { RunPhase, RunRecord } from './types';

/** What a person can do with a run under way. */
export type ControlId =
  | 'cancel'
  | 'start-postcopy'
  | 'release-switchover'
  | 'set-parameters'
  | 'yank'
  | 'pause-postcopy'
  | 'recover-postcopy';

export type ControlRequest =
  | { readonly id: Exclude<ControlId, 'set-parameters'> }
  /** Parameters of the source that act while it runs; QMP names. */
  | { readonly id: 'set-parameters'; readonly parameters: Readonly<Record<string, JsonValue>> };

/** One control with whether it can be used now. */
export interface ControlOffer {
  readonly id: ControlId;
  /** A verb phrase for a button or a row. */
  readonly title: string;
  /** What it does and what it risks, to be read before it is used. */
  readonly explanation: string;
  readonly offered: boolean;
  /** Why not; empty when offered. */
  readonly refusal: string;
}

/** A control cannot be used now; nothing was sent. */
export class ControlRefusedError extends Error {
  override readonly name = 'ControlRefusedError';
  readonly control: ControlId;
  readonly nextStep: string;

  constructor(control: ControlId, reason: string, nextStep: string) {
    super(reason);
    this.control = control;
    this.nextStep = nextStep;
  }
}

/**
 * The parameters of the source that act on a migration while it goes on, by the catalogue. QEMU takes
 * others as well, and they do nothing before the next one, or harm.
 */
export const inFlightParameters: readonly string[] = allParameters
  .filter(({ takesEffectWhileRunning }) => takesEffectWhileRunning === true)
  .map(({ name }) => name);

/** All that acts once the guest runs on the target. */
const postcopyParameters: readonly string[] = ['max-postcopy-bandwidth'];

/** Those of them that act in this state of a run; empty where none does. */
export function parametersActingIn(phase: RunPhase): readonly string[] {
  if (phase === 'transfer' || phase === 'held') return inFlightParameters;
  return phase === 'postcopy' ? postcopyParameters : [];
}

/** All controls, in the order in which they are shown, each with whether it can be used now. Pure. */
export function controlOffers(
  record: RunRecord,
  source: MachineSnapshot | undefined,
  target: MachineSnapshot | undefined,
): readonly ControlOffer[] {
  const view: View = { record, source, target };
  return controls.map(({ id, title, explanation, refuse }) => {
    const refusal = endedRefusal(record) ?? refuse(view);
    return {
      id,
      title,
      explanation: explanation(view),
      offered: refusal === undefined,
      refusal: refusal === undefined ? '' : `${refusal.reason} ${refusal.nextStep}`.trim(),
    };
  });
}

/**
 * The same rules for a control that is to be carried out, and its parameters with them.
 *
 * @throws {ControlRefusedError}
 */
export function checkControl(
  request: ControlRequest,
  record: RunRecord,
  source: MachineSnapshot | undefined,
  target: MachineSnapshot | undefined,
): void {
  const view: View = { record, source, target };
  const control = controls.find(({ id }) => id === request.id);
  const refusal =
    endedRefusal(record) ??
    (control === undefined ? unknownControl : control.refuse(view)) ??
    (request.id === 'set-parameters' ? parametersRefusal(request.parameters, view) : undefined);
  if (refusal !== undefined) {
    throw new ControlRefusedError(request.id, refusal.reason, refusal.nextStep);
  }
}

interface View {
  readonly record: RunRecord;
  readonly source: MachineSnapshot | undefined;
  readonly target: MachineSnapshot | undefined;
}

/** One sentence each; the next step may be empty. */
interface Refusal {
  readonly reason: string;
  readonly nextStep: string;
}

interface Control {
  readonly id: ControlId;
  readonly title: string;
  readonly explanation: (view: View) => string;
  readonly refuse: (view: View) => Refusal | undefined;
}

const unknownControl: Refusal = { reason: 'There is no such control.', nextStep: '' };

const controls: readonly Control[] = [
  {
    id: 'cancel',
    title: 'Cancel migration',
    explanation: ({ record }) =>
      isOneSided(methodOf(record.request))
        ? 'Stops it where that can still be done; the guest stays as it is.'
        : `The guest goes on at ${record.sourceLabel}. The target is kept from starting it first, and cannot be used for another attempt.`,
    refuse: refuseCancel,
  },
  {
    id: 'release-switchover',
    title: 'Release switchover',
    explanation: ({ record }) =>
      `The guest stands still now. It is handed over to ${record.targetLabel}, and from then on there is no cancel.`,
    refuse: ({ record, source }) =>
      record.progress.phase === 'held'
        ? lacking(source, 'migrate-continue')
        : refused('The migration does not stand still before the switchover.'),
  },
  {
    id: 'start-postcopy',
    title: 'Start postcopy',
    explanation: ({ record }) =>
      `The guest goes over to ${record.targetLabel} now, and its memory follows: the migration surely ends, but the guest is slow until then. There is no way back, and the guest is lost if either side dies before the end. Best after the first pass.`,
    refuse: refuseStartPostcopy,
  },
  {
    id: 'set-parameters',
    title: 'Change limits',
    explanation: () =>
      'Sets parameters of the source that act on this migration at once; they are put back after the run. A longer pause or a slowed guest is felt by those who use it.',
    refuse: refuseParameters,
  },
  {
    id: 'pause-postcopy',
    title: 'Pause postcopy',
    explanation: ({ record }) =>
      `Cuts the channel on purpose, to go on over another one. The guest on ${record.targetLabel} stops at each page that is missing, until postcopy is taken up again.`,
    refuse: ({ record, source }) =>
      record.progress.phase === 'postcopy'
        ? lacking(source, 'migrate-pause')
        : refused('There is no postcopy under way.'),
  },
  {
    id: 'recover-postcopy',
    title: 'Recover postcopy',
    explanation: () =>
      'Joins both sides by a new channel; the missing pages follow. Nothing is lost if it fails, and it may be tried again.',
    refuse: ({ record, source, target }) =>
      record.progress.phase === 'interrupted'
        ? (lacking(target, 'migrate-recover') ??
          (source?.facts?.schema.argument('migrate', 'resume') === undefined
            ? lackingWords(source?.label, 'migrate with resume')
            : undefined))
        : refused('Postcopy is not interrupted.'),
  },
  {
    id: 'yank',
    title: 'Yank connections',
    explanation: ({ record }) =>
      `For a source that hangs in a connection. Cuts the channel of the migration under QEMU: it fails, ${record.sourceLabel} goes on with the guest, and the target cannot be used any more. Where the target may have all of the guest, both would run it: then it is refused.`,
    refuse: refuseYank,
  },
];

function refused(reason: string, nextStep = ''): Refusal {
  return { reason, nextStep };
}

function endedRefusal({ outcome, progress }: RunRecord): Refusal | undefined {
  return outcome === undefined && progress.phase !== 'ended'
    ? undefined
    : refused('The run has ended.', 'Nothing is left to do.');
}

function lackingWords(label: string | undefined, command: string): Refusal {
  return refused(
    label === undefined
      ? `Whether this QEMU has ${command} is not known.`
      : `The QEMU of ${label} has no ${command}.`,
  );
}

/** Asked of the schema; what was never read counts as lacking. */
function lacking(machine: MachineSnapshot | undefined, command: string): Refusal | undefined {
  if (machine?.facts?.schema.hasCommand(command) === true) return undefined;
  return lackingWords(machine?.facts === undefined ? undefined : machine.label, command);
}

function refuseCancel({ record }: View): Refusal | undefined {
  const { phase } = record.progress;
  const { sourceLabel, targetLabel } = record;
  switch (phase) {
    case 'plan':
    case 'preflight':
    case 'prepare':
      return undefined;
    case 'transfer':
    case 'held':
    case 'cancel':
      return methodOf(record.request) === 'restore'
        ? refused('QEMU cannot stop loading a guest.', 'The file stays: quit this QEMU instead.')
        : undefined;
    case 'switch-over':
      return refused(
        `Too late: the guest is being handed over, and ${targetLabel} may run it at any moment.`,
        'Wait for its answer.',
      );
    case 'postcopy':
      return refused(
        `Too late: the guest runs on ${targetLabel} already, with part of its memory still on ${sourceLabel}.`,
        'Let it end.',
      );
    case 'interrupted':
      return refused(
        'Too late: the memory of the guest is on both sides, and neither can run it alone.',
        'Recover postcopy.',
      );
    case 'settle':
      return refused('The migration is over; its end is being made sure of.', 'Wait a moment.');
    case 'needs-you':
      return refused('There is nothing left to cancel.', 'Read what the run says.');
    case 'ended':
      return endedRefusal(record);
  }
}

function refuseStartPostcopy({ record, source, target }: View): Refusal | undefined {
  const { phase } = record.progress;
  if (phase === 'postcopy' || phase === 'interrupted') {
    return refused('It is in postcopy already.');
  }
  if (phase !== 'transfer') {
    return refused('Postcopy can be started while memory is transferred, and not now.');
  }
  const off = [
    isOn(record, 'source', source, 'postcopy-ram') ? [] : [record.sourceLabel],
    isOn(record, 'target', target, 'postcopy-ram') ? [] : [record.targetLabel],
  ].flat();
  if (off.length > 0) {
    return refused(
      `postcopy-ram is off on ${off.join(' and ')}, and QEMU changes no capability while a migration runs.`,
      'Cancel, and migrate by postcopy.',
    );
  }
  return lacking(source, 'migrate-start-postcopy');
}

/** As QEMU said last; where it never did, what the run was to set. */
function isOn(
  record: RunRecord,
  side: SideName,
  machine: MachineSnapshot | undefined,
  capability: string,
): boolean {
  if (machine?.facts === undefined) {
    return plannedSettings(record.request, side).capabilities[capability] === true;
  }
  return machine.facts.capabilities.some(({ name, enabled }) => name === capability && enabled);
}

function refuseParameters({ record, source }: View): Refusal | undefined {
  const { phase } = record.progress;
  if (parametersActingIn(phase).length > 0) return lacking(source, 'migrate-set-parameters');
  const early = phase === 'plan' || phase === 'preflight' || phase === 'prepare';
  return early
    ? refused('The migration has not begun to transfer.', 'Wait until it does.')
    : refused(`While ${states[phase].words} no parameter acts on this migration any more.`);
}

function parametersRefusal(
  wanted: Readonly<Record<string, JsonValue>>,
  view: View,
): Refusal | undefined {
  const entries = Object.entries(wanted);
  if (entries.length === 0) return refused('No parameter was named.');
  for (const [name, value] of entries) {
    const refusal = parameterRefusal(name, value, view);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function parameterRefusal(name: string, value: JsonValue, view: View): Refusal | undefined {
  const { record, source } = view;
  const info = parameterInfo(name);
  const acting = parametersActingIn(record.progress.phase);
  if (info === undefined || !acting.includes(name)) {
    const usable = acting.filter((one) => source?.facts?.parameters[one] !== undefined);
    return refused(
      `${name} does not act on a migration ${record.progress.phase === 'postcopy' ? 'in postcopy' : 'under way'}.`,
      `What does: ${usable.join(', ')}.`,
    );
  }
  if (source?.facts?.parameters[name] === undefined) return lackingWords(source?.label, name);
  const missing = info.needs
    ?.map(({ capability }) => capability)
    .find((one) => one !== undefined && !isOn(record, 'source', source, one));
  if (missing !== undefined) {
    return refused(
      `${name} has no effect: ${missing} is off, and QEMU changes no capability while a migration runs.`,
    );
  }
  const problem = valueProblem(value, info);
  return problem === undefined ? undefined : refused(problem);
}

function valueProblem(value: JsonValue, info: ParameterInfo): string | undefined {
  if (info.type === 'bool') {
    return typeof value === 'boolean' ? undefined : `${info.name} must be true or false.`;
  }
  const whole = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
  return whole ? checkRange(BigInt(value), info) : `${info.name} must be a whole number.`;
}

function refuseYank(view: View): Refusal | undefined {
  const { record, source, target } = view;
  const { progress, sourceLabel, targetLabel } = record;
  switch (progress.phase) {
    case 'transfer':
    case 'cancel':
    case 'settle': {
      const command = lacking(source, 'yank');
      if (command !== undefined) return command;
      if (progress.cancelHangs || isSilent(view)) return undefined;
      return refused(
        `${sourceLabel} answers, so nothing has to be cut.`,
        progress.phase === 'transfer' ? 'Cancel, if it is to end.' : 'Wait a moment.',
      );
    }
    case 'switch-over': {
      const pid = target?.process?.pid;
      return refused(
        `${targetLabel} may have all of the guest: with the channel cut, both sides would run it.`,
        `If ${targetLabel} hangs for good and runs nothing, end its process${pid === undefined ? '' : ` (pid ${pid})`} first: then ${sourceLabel} goes on with the guest by itself.`,
      );
    }
    case 'held':
      return refused(
        `${sourceLabel} waits and hangs in nothing.`,
        'Cancel, or release the switchover.',
      );
    case 'postcopy':
    case 'interrupted':
      return refused(
        'The memory of the guest is on both sides: cut off from either it is lost.',
        progress.phase === 'postcopy' ? 'Pause postcopy instead.' : 'Recover postcopy.',
      );
    case 'plan':
    case 'preflight':
    case 'prepare':
      return refused('There is no channel yet.', 'Cancel, if it is to end.');
    case 'needs-you':
      return refused('The migration is over.', 'Read what the run says.');
    case 'ended':
      return endedRefusal(record);
  }
}

/** The source gave no answer when it was asked last. */
function isSilent({ record, source }: View): boolean {
  const { failures } = source?.facts ?? {};
  return (
    record.progress.note === doesNotAnswer(record.sourceLabel) ||
    failures?.migration !== undefined ||
    failures?.status !== undefined
  );
}
