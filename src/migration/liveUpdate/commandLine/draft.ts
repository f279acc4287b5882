import path from 'node:path';
import type { CommandOption } from '../../../vm/commandLine/commandLine';
import { readValue } from '../../../vm/commandLine/optionValue';
import type { Finding, FindingLevel } from '../../preflight/types';
import type { RewriteFacts, RewriteWishes } from '../commandLineTypes';
import type { AdoptedDescriptor, LateCommand, PathMove } from '../types';

/** What becomes of one option: what stands in its place, and why it is not as it was. */
export interface Verdict {
  readonly after: readonly CommandOption[];
  readonly why: string;
}

/** An option of the source, or one that is added, with what becomes of it. */
export interface Entry {
  readonly before: CommandOption | undefined;
  after: readonly CommandOption[];
  why: string | undefined;
}

/** A finding about the command line; the words are those of the option. */
export interface Remark {
  readonly id: string;
  readonly level: FindingLevel;
  readonly subject?: string;
  readonly what: string;
  readonly why: string;
  readonly nextStep: string;
}

/** What is gathered while the options are gone through, in their order. */
export class Draft {
  readonly facts: RewriteFacts;
  readonly wishes: RewriteWishes;
  readonly options: readonly CommandOption[];
  readonly findings: Finding[] = [];
  readonly moves: PathMove[] = [];
  readonly late: LateCommand[] = [];
  readonly adopt: AdoptedDescriptor[] = [];
  readonly leftOut: { netdev: string; device: string | undefined }[] = [];
  pidFile: string | undefined;
  /** Whether an option for the QMP socket that the user knows was found and now listens at ours. */
  hasQmpSocket = false;

  private readonly ownPaths = new Set<string>();
  private readonly takenFds: Set<number>;
  private readonly paths: ReadonlySet<string>;

  constructor(facts: RewriteFacts, wishes: RewriteWishes, options: readonly CommandOption[]) {
    this.facts = facts;
    this.wishes = wishes;
    this.options = options;
    this.ownPaths.add(wishes.qmpSocket);
    this.takenFds = new Set(options.flatMap(numbersIn));
    this.paths = new Set(options.flatMap(pathsIn).map((name) => this.resolve(name)));
  }

  /** As the source sees it. */
  resolve(name: string): string {
    return path.resolve(this.facts.cwd, name);
  }

  /** The name by which the rest of the world knows a path of the source. */
  knownAs(name: string): string {
    const whole = this.resolve(name);
    return this.wishes.knownAs?.(whole) ?? whole;
  }

  /** Whether an option of the source has that path. */
  isOfSource(name: string): boolean {
    return this.paths.has(this.resolve(name));
  }

  /** A path that neither the source nor another option of the target has. */
  own(name: string): string {
    const wanted = this.wishes.ownPath(name);
    for (let at = 1; ; at += 1) {
      const candidate = at === 1 ? wanted : `${wanted}-${at}`;
      if (this.ownPaths.has(candidate) || this.paths.has(candidate)) continue;
      this.ownPaths.add(candidate);
      return candidate;
    }
  }

  /** An own path that takes the old name when the source is gone. */
  moved(name: string, what: string): string {
    const to = this.knownAs(name);
    const from = this.own(to);
    this.moves.push({ what, from, to });
    return from;
  }

  /** A descriptor number for the target, from 30 on and not in use on the command line. */
  nextFd(): number {
    for (let fd = 30; ; fd += 1) {
      if (this.takenFds.has(fd)) continue;
      this.takenFds.add(fd);
      return fd;
    }
  }

  find(remark: Remark): void {
    const { findings } = this;
    const { subject } = remark;
    if (findings.some((found) => found.id === remark.id && found.subject === subject)) return;
    findings.push({ side: 'target', ...remark });
  }
}

/** All numbers of an option that may be descriptors. */
function numbersIn(option: CommandOption): readonly number[] {
  return (option.value?.match(/\d+/g) ?? []).map(Number).filter((number) => number < 65536);
}

/** All that may be a path. */
function pathsIn(option: CommandOption): readonly string[] {
  const values = readValue(option)?.entries.map(([, text]) => text) ?? [option.value ?? ''];
  return values
    .map((text) =>
      text.replace(/^(?:mon:)?(?:unix|file|pipe):/, '').replace(/(?<!,),(?!,).*$/s, ''),
    )
    .filter((text) => text.includes('/'));
}

/** The option as a person would read it. */
export function shown({ words }: CommandOption): string {
  return words.join(' ');
}
