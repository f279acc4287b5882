import { existsSync } from 'node:fs';
import path from 'node:path';

/** Room for a path in `sockaddr_un`, without the closing NUL. */
export const longestSocketPath = 107;

const ownEnd = /\.new\d*$/;

/**
 * Paths of the target's own beside those of the source: `NAME.new`, or `NAME.new2` and so on. When the
 * source is gone a socket is renamed; its QEMU still believes in the old name, and removes what it finds
 * there when it ends. So a name is never given to two QEMUs that follow each other.
 */
export class OwnPaths {
  private readonly given = new Map<string, string>();
  private readonly directory: string;
  private readonly mentioned: string;
  private readonly exists: (file: string) => boolean;

  /**
   * @param machine the QMP socket's path as the user knows it
   * @param args of the source
   */
  constructor(machine: string, args: readonly string[], exists = existsSync) {
    this.directory = path.dirname(machine);
    this.mentioned = args.join('\n');
    this.exists = exists;
  }

  /** For an absolute path one beside it, for a bare word one in the directory of the QMP socket. */
  readonly own = (wanted: string): string => {
    const known = this.given.get(wanted);
    if (known !== undefined) return known;
    const stem = path.isAbsolute(wanted) ? wanted : path.join(this.directory, wanted);
    const taken = new Set(this.given.values());
    for (let at = 1; ; at += 1) {
      const candidate = `${stem.replace(ownEnd, '')}.new${at === 1 ? '' : at}`;
      if (taken.has(candidate) || this.exists(candidate)) continue;
      if (this.mentions(candidate)) continue;
      this.given.set(wanted, candidate);
      return candidate;
    }
  };

  /** The name to which an earlier update moved a path of the source's command line. */
  readonly knownAs = (name: string): string => {
    if (!ownEnd.test(name) || this.exists(name)) return name;
    const before = name.replace(ownEnd, '');
    return this.exists(before) ? before : name;
  };

  private mentions(candidate: string): boolean {
    const at = this.mentioned.indexOf(path.basename(candidate));
    if (at < 0) return false;
    const next = this.mentioned[at + path.basename(candidate).length] ?? '';
    return !/\d/.test(next);
  }
}
