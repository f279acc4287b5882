import { isOneSided } from '../methods/names';
import type { SideName } from '../run/journal/entries';
import type { RunPhase } from '../run/types';
import { sentence } from '../view/sentence';
import { catalogue, unknownCause } from './catalogue';
import {
  endWords,
  kindOfEnd,
  wordsOf,
  type Cause,
  type Place,
  type Told,
  type Weight,
} from './cause';
import { stepWords, undertaking } from './steps';
import type { FailureEvidence, FailureExplanation, ProcessEnd } from './types';

/** Lines of standard error that are quoted for each side. */
const quotedLines = 6;
/** As much of a text as is looked at. */
const readCharacters = 4000;

/** One text, and who said it where. */
interface Said {
  readonly side: SideName | undefined;
  readonly way: 'error' | 'stderr' | 'refusal';
  readonly text: string;
}

interface Match {
  readonly cause: Cause;
  readonly said: Said | undefined;
  readonly groups: readonly string[];
  readonly end?: ProcessEnd;
}

/**
 * Joins what both sides left into one explanation; pure. The text that tells most decides, whoever
 * said it: the cause at the target beats the source's complaint that the target went away.
 */
export function explainFailure(evidence: FailureEvidence): FailureExplanation {
  const everything = everythingSaid(evidence);
  const match = bestMatch(evidence, everything);
  const { cause, said, groups, end } = match;
  const { labels, method, phase } = evidence;
  const told: Told = {
    source: labels.source,
    target: labels.target,
    speaker: said?.side === undefined ? 'QEMU' : labels[said.side],
    method,
    groups,
    ...(end !== undefined && { end }),
  };
  const clause = wordsOf(cause.what, told);
  const quotes = quotesOf(evidence, everything, said);
  const isSilent = cause === unknownCause && quotes.length === 0;
  return {
    id: cause.id,
    side: cause.side === 'speaker' ? (said?.side ?? 'unknown') : cause.side,
    what: sentence(`${undertaking(method)} failed ${stepWords(method, phase)}: ${clause}`),
    meaning: isSilent ? 'Neither side said anything about it.' : wordsOf(cause.meaning, told),
    nextStep: wordsOf(cause.nextStep, told),
    quotes,
  };
}

/** How each process ended, one sentence a side; empty when none did. */
export function endSentences({ labels, sourceEnd, targetEnd }: FailureEvidence): string[] {
  return [
    ...(sourceEnd === undefined ? [] : [`The QEMU of ${labels.source} ${endWords(sourceEnd)}.`]),
    ...(targetEnd === undefined ? [] : [`The QEMU of ${labels.target} ${endWords(targetEnd)}.`]),
  ];
}

function everythingSaid(evidence: FailureEvidence): readonly Said[] {
  const { sourceError, targetError, sourceStderr = [], targetStderr = [], refusal } = evidence;
  const said: Said[] = [];
  // Two QEMUs that write into one log cannot be told apart there.
  const oneLog = sourceStderr.length > 0 && sourceStderr.join('\n') === targetStderr.join('\n');
  const add = (side: SideName | undefined, way: Said['way'], text: string | undefined): void => {
    if (text !== undefined && text.trim() !== '') said.push({ side, way, text });
  };
  add('target', 'error', targetError);
  add('source', 'error', sourceError);
  add(refusal?.side, 'refusal', refusal?.text);
  for (const line of targetStderr) add(oneLog ? undefined : 'target', 'stderr', line);
  if (!oneLog) for (const line of sourceStderr) add('source', 'stderr', line);
  return said;
}

const weights: readonly Weight[] = ['cause', 'kind', 'consequence'];

function bestMatch(evidence: FailureEvidence, everything: readonly Said[]): Match {
  for (const weight of weights) {
    for (const cause of catalogue) {
      if (cause.weight !== weight) continue;
      const match = matchOf(cause, evidence, everything);
      if (match === undefined) continue;
      // Both sides complain when a channel is cut on purpose.
      const meant = weight === 'consequence' && evidence.phase === 'cancel';
      return meant ? { ...match, cause: cancelled ?? cause } : match;
    }
  }
  return { cause: unknownCause, said: undefined, groups: [] };
}

const cancelled = catalogue.find(({ id }) => id === 'cancelled');

function matchOf(
  cause: Cause,
  evidence: FailureEvidence,
  everything: readonly Said[],
): Match | undefined {
  if (cause.ended !== undefined) {
    const { side, how } = cause.ended;
    const end = side === 'source' ? evidence.sourceEnd : evidence.targetEnd;
    return end !== undefined && kindOfEnd(end) === how
      ? { cause, said: undefined, groups: [], end }
      : undefined;
  }
  for (const { pattern, from } of cause.texts) {
    for (const said of everything) {
      if (!from.some((place) => couldBe(said, place, evidence))) continue;
      const found = pattern.exec(said.text.slice(0, readCharacters));
      if (found !== null) return { cause, said, groups: groupsOf(found) };
    }
  }
  return undefined;
}

function groupsOf(found: RegExpExecArray): string[] {
  const groups: readonly (string | undefined)[] = found.slice(1);
  return groups.map((text) => text ?? '');
}

/** The refusal of a command counts as that side's error. */
function couldBe({ side, way }: Said, place: Place, { method }: FailureEvidence): boolean {
  const [from, how] = place.split('-');
  const isOnlyOne = side === undefined || isOneSided(method);
  return (isOnlyOne || side === from) && (way === 'stderr') === (how === 'stderr');
}

/** Verbatim, with who said it; what was said twice stands once. */
function quotesOf(
  { labels, refusal }: FailureEvidence,
  everything: readonly Said[],
  rest: Said | undefined,
): string[] {
  const quotes: string[] = [];
  const seen = new Set<string>();
  const once = (side: SideName | undefined, text: string): boolean => {
    const key = `${side ?? ''} ${bare(text)}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  for (const { side, way, text } of everything) {
    if (way === 'stderr' || !once(side, text)) continue;
    const who = side === undefined ? 'QEMU' : labels[side];
    const how = way === 'refusal' ? `refuses ${refusal?.command ?? 'a command'}` : 'says';
    quotes.push(`${who} ${how}: ${text}`);
  }
  for (const side of ['target', 'source', undefined] as const) {
    const lines = everything.filter(
      (said) => said.way === 'stderr' && said.side === side && !isWarning(said.text),
    );
    const kept = lines.slice(-quotedLines);
    if (rest !== undefined && lines.includes(rest) && !kept.includes(rest)) kept.unshift(rest);
    const who = side === undefined ? 'both' : labels[side];
    for (const { text } of kept) {
      if (once(side, text)) quotes.push(`On standard error of ${who}: ${text}`);
    }
  }
  return quotes;
}

/** Without the program's name that QEMU puts in front. */
function bare(text: string): string {
  return text.trim().replace(/^[^\s:]*qemu[^\s:]*: /, '');
}

function isWarning(text: string): boolean {
  return bare(text).startsWith('warning: ');
}

/** The phases in which nothing had been sent yet. */
export function isBeforeStart(phase: RunPhase): boolean {
  return phase === 'plan' || phase === 'preflight' || phase === 'prepare';
}
