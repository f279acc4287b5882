import type { MethodName } from '../run/types';
import type { FailureExplanation, ProcessEnd } from './types';

/** Where a text of QEMU can stand. */
export type Place = 'source-error' | 'target-error' | 'source-stderr' | 'target-stderr';

export const bySource: readonly Place[] = ['source-error', 'source-stderr'];
export const byTarget: readonly Place[] = ['target-error', 'target-stderr'];
export const byEither: readonly Place[] = [...bySource, ...byTarget];

/**
 * How much a text tells: the `cause` itself; only its `kind`; or a mere `consequence`, as when one
 * side complains that the other went away.
 */
export type Weight = 'cause' | 'kind' | 'consequence';

/** What the words of a cause may speak of. */
export interface Told {
  /** Labels of both sides; the same for methods with one machine. */
  readonly source: string;
  readonly target: string;
  /** Label of the side that said it; `QEMU` where that is not known. */
  readonly speaker: string;
  readonly method: MethodName;
  /** What the pattern took out of the text; empty for a group that took no part. */
  readonly groups: readonly string[];
  /** How the process of a cause with `ended` ended. */
  readonly end?: ProcessEnd;
}

export type Words = string | ((told: Told) => string);

/** One spelling of a cause. For words only: nothing is ever decided by it. */
export interface KnownText {
  readonly pattern: RegExp;
  readonly from: readonly Place[];
}

/** One known cause of a failure, as data. */
export interface Cause {
  readonly id: string;
  /** `speaker`: whichever side said it. */
  readonly side: FailureExplanation['side'] | 'speaker';
  readonly weight: Weight;
  /** Releases word one thing differently; each spelling is one of these. */
  readonly texts: readonly KnownText[];
  /** Known by the end of that side's process, whatever was said. */
  readonly ended?: { readonly side: 'source' | 'target'; readonly how: EndKind };
  /** Ends the sentence "The migration failed while ...: "; no full stop. */
  readonly what: Words;
  readonly meaning: Words;
  readonly nextStep: Words;
}

/** `crashed`: by a signal that a program's own mistake raises; `killed`: by any other. */
export type EndKind = 'killed' | 'crashed' | 'ended';

const crashes = new Set(['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGSYS']);

export function kindOfEnd({ signal }: ProcessEnd): EndKind {
  if (signal === undefined) return 'ended';
  return crashes.has(signal) ? 'crashed' : 'killed';
}

/** `was killed by SIGKILL`, `ended with exit 1`, `has ended`. */
export function endWords({ exitCode, signal }: ProcessEnd): string {
  if (signal !== undefined) return `was killed by ${signal}`;
  return exitCode === undefined ? 'has ended' : `ended with exit ${exitCode}`;
}

export function wordsOf(words: Words, told: Told): string {
  return typeof words === 'string' ? words : words(told);
}

/** A group of the pattern by its number from 0, or what to say without it. */
export function group({ groups }: Told, index: number, otherwise: string): string {
  const text = groups[index] ?? '';
  return text === '' ? otherwise : text;
}
