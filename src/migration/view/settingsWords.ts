import { QmpCommandError } from '../../qmp/errors';
import { stringifyJson, type JsonValue } from '../../qmp/json';
import { ProfileNotApplicableError } from '../profiles/apply';
import { ProfileFileError } from '../profiles/profileFile';
import { CapabilityNotTakenError } from '../settings/capabilities';
import {
  CannotUnsetError,
  ParameterNotTakenError,
  SettingsNotAppliedError,
} from '../settings/change';
import { SettingsRefusedError } from '../settings/findings';
import { UndoConflictError, UndoImpossibleError } from '../settings/history';
import { sentence } from './sentence';
import type { Explanation } from './words';

/** The errors of settings, undo and profiles in words; `undefined` for all others. */
export function explainSettings(
  error: unknown,
  explain: (cause: unknown) => Explanation,
): Explanation | undefined {
  if (error instanceof SettingsRefusedError) {
    return {
      headline: error.message,
      detail: `Nothing was changed on ${error.label}, nor on another machine.`,
    };
  }
  if (error instanceof SettingsNotAppliedError) return explainNotApplied(error, explain);
  if (error instanceof CapabilityNotTakenError) {
    return {
      headline: `QEMU accepted the change of ${error.capability}, but still reports the old state.`,
    };
  }
  if (error instanceof ParameterNotTakenError) {
    const { parameter, wanted, now } = error;
    return {
      headline: `QEMU accepted ${parameter} = ${valueText(wanted)}, but reports ${valueText(now)}.`,
      nextStep: 'Try a smaller or another value: some versions ignore what they cannot use.',
    };
  }
  if (error instanceof CannotUnsetError) {
    const names = error.parameters.join(', ');
    return {
      headline: `${names} was not set before, and QEMU cannot unset it again.`,
      detail: 'What has an empty value was emptied.',
      nextStep: 'Only another QEMU process starts without it.',
    };
  }
  return explainUndo(error) ?? explainProfile(error);
}

function explainNotApplied(
  error: SettingsNotAppliedError,
  explain: (cause: unknown) => Explanation,
): Explanation {
  const { cause, label, notPutBack } = error;
  const why = explain(cause);
  const headline =
    cause instanceof QmpCommandError
      ? `The QEMU of ${label} refused the change: ${sentence(cause.desc)}`
      : `The change could not be made on ${label}. ${why.headline}`;
  if (notPutBack.length === 0) {
    return {
      headline,
      detail: 'Everything is as it was.',
      nextStep:
        cause instanceof QmpCommandError
          ? 'Change what QEMU names, and try again.'
          : (why.nextStep ?? 'Try again.'),
    };
  }
  const left = notPutBack.map(({ label: where, names, cause: reason }) => {
    const { headline: words } = explain(reason);
    return `${names.join(', ')} of ${where} could not be put back: ${words}`;
  });
  return {
    headline,
    detail: left.join(' '),
    nextStep: notPutBack.every(({ cause: reason }) => reason instanceof CannotUnsetError)
      ? 'Look at what they are now before you migrate.'
      : 'Look at what they are now; undoing, once the machine answers, puts them back.',
  };
}

function explainUndo(error: unknown): Explanation | undefined {
  if (error instanceof UndoConflictError) {
    const changes = error.conflicts.map(
      ({ label, name, now, expected }) =>
        `${name} of ${label} was set to ${expected}, and is ${now} now.`,
    );
    return {
      headline: `${error.title}: it has been changed again since.`,
      detail: changes.join(' '),
      nextStep: 'Undo it all the same to go back to the values before, or leave it.',
    };
  }
  if (!(error instanceof UndoImpossibleError)) return undefined;
  const label = error.label ?? 'The machine';
  switch (error.reason) {
    case 'nothing':
      return { headline: 'There is nothing to undo.' };
    case 'machine-gone':
      return {
        headline: `${label} is no longer there, so its change cannot be undone.`,
        detail: 'The settings of a QEMU end with it.',
        ...othersLeft(error),
      };
    case 'another-process':
      return {
        headline: `${label} is another QEMU process than the one that was changed, so the change cannot be undone.`,
        detail: 'The settings of a QEMU end with it; this one began with its own.',
        ...othersLeft(error),
      };
  }
}

function othersLeft({ others }: UndoImpossibleError): Pick<Explanation, 'nextStep'> {
  return others.length === 0
    ? {}
    : { nextStep: `Undo once more to put back what was changed on ${others.join(' and ')}.` };
}

function explainProfile(error: unknown): Explanation | undefined {
  if (error instanceof ProfileNotApplicableError) {
    return {
      headline: `The profile "${error.profile}" does not fit ${error.label}: ${error.problems.map(sentence).join(' ')}`,
      detail: 'Nothing was changed.',
      nextStep: 'Change what is named above, or the profile, and apply it again.',
    };
  }
  if (!(error instanceof ProfileFileError)) return undefined;
  if (error.problems.length === 0 && error.cause !== undefined) {
    return {
      headline: `The profiles in ${error.path} cannot be read: ${unreadableText(error.cause)}`,
      nextStep: 'Nothing was changed.',
    };
  }
  const shown = error.problems.slice(0, mostProblems).map(({ line, column, message }) => {
    return `Line ${line}, column ${column}: ${sentence(message)}`;
  });
  const more = error.problems.length - shown.length;
  if (more > 0) shown.push(`And ${more} more.`);
  return {
    headline: `The profiles in ${error.path} cannot be used.`,
    ...(shown.length > 0 && { detail: shown.join(' ') }),
    nextStep: 'Correct the file; nothing was changed.',
  };
}

/** Why the system does not let a file be read. */
function unreadableText(cause: unknown): string {
  switch (cause instanceof Error && 'code' in cause ? cause.code : undefined) {
    case 'ENOENT':
      return 'there is no such file.';
    case 'ENOTDIR':
      return 'part of the path is not a folder.';
    case 'EISDIR':
      return 'it is a folder.';
    case 'EACCES':
    case 'EPERM':
      return 'you may not read it.';
    case 'ELOOP':
      return 'its symbolic links lead in a circle.';
    default:
      return sentence(cause instanceof Error ? cause.message : String(cause));
  }
}

const mostProblems = 5;

function valueText(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  return value === '' ? 'an empty text' : stringifyJson(value);
}
