import type { ProfileProblem } from './types';

/** A stretch of the text; nodes of the parser's tree are such. */
export interface Place {
  readonly offset: number;
  readonly length: number;
}

type Found = Omit<ProfileProblem, 'line' | 'column'>;

/** Collects what is wrong with a text, each with its place in every form that somebody needs. */
export class ProblemList {
  private readonly found: Found[] = [];
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  get hasErrors(): boolean {
    return this.found.some(({ severity }) => severity === 'error');
  }

  /** Profiles that cannot be used. */
  get failedProfiles(): ReadonlySet<string> {
    return new Set(
      this.found.flatMap(({ severity, profile }) =>
        severity === 'error' && profile !== undefined ? [profile] : [],
      ),
    );
  }

  error(place: Place, message: string, profile?: string): void {
    this.add('error', place, message, profile);
  }

  /** For what is no JSON. */
  syntaxError(place: Place, message: string): void {
    this.add('error', place, message, undefined, true);
  }

  warning(place: Place, message: string, profile?: string): void {
    this.add('warning', place, message, profile);
  }

  private add(
    severity: ProfileProblem['severity'],
    place: Place,
    message: string,
    profile: string | undefined,
    syntax = false,
  ): void {
    // The parser places what is missing at the end behind the end.
    const offset = Math.min(Math.max(place.offset, 0), this.text.length);
    const length = Math.min(Math.max(place.length, 0), this.text.length - offset);
    this.found.push({ severity, message, offset, length, profile, ...(syntax && { syntax }) });
  }

  /** In the order of the text. */
  all(): readonly ProfileProblem[] {
    const ends = [...this.text.matchAll(/\r\n|\r|\n/g)];
    // Nobody sees a byte order mark, nor counts it.
    const start = this.text.startsWith('\uFEFF') ? 1 : 0;
    const starts = [start, ...ends.map((end) => end.index + end[0].length)];
    let line = 0;
    return this.found
      .toSorted((a, b) => a.offset - b.offset)
      .map((problem) => {
        while ((starts[line + 1] ?? Infinity) <= problem.offset) line += 1;
        const column = Math.max(1, problem.offset - (starts[line] ?? 0) + 1);
        return { ...problem, line: line + 1, column };
      });
  }
}
