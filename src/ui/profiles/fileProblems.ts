import { l10n, Position, Range, type TextDocument, type Uri, window, workspace } from 'vscode';
import type { ProfileProblem } from '../../migration/profiles/types';
import type { CommandRunner } from '../command';
import type { Prompts } from '../prompts';
import { shortName } from './profilesFile';

/** More places than this are only counted; the editor shows them all. */
const mostNamed = 3;

/** Tells of mistakes in a profiles file, each with its place, and opens it there. */
export class FileProblems {
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;

  constructor(commands: CommandRunner, prompts: Prompts) {
    this.commands = commands;
    this.prompts = prompts;
  }

  /** One message about all errors; not waited for. @returns whether there are any */
  tell(uri: Uri, problems: readonly ProfileProblem[], what: string): boolean {
    const errors = problems.filter(({ severity }) => severity === 'error');
    const [first] = errors;
    if (first === undefined) return false;
    const named = errors.slice(0, mostNamed).map((error) => placed(uri, error));
    const more = errors.length - named.length;
    if (more > 0) named.push(l10n.t('And {0} more.', more));
    const open = l10n.t('Open File');
    void this.commands.run('profile file problems', async () => {
      const text = [what, ...named].join(' ');
      if ((await this.prompts.message('error', text, [open])) === open) {
        await reveal(uri, (document) => rangeOf(document, first));
      }
    });
    return true;
  }
}

/** Shows the file with this part of it selected. */
export async function reveal(
  uri: Uri,
  find: (document: TextDocument) => Range | undefined,
): Promise<void> {
  const document = await workspace.openTextDocument(uri);
  const selection = find(document);
  await window.showTextDocument(document, { ...(selection && { selection }) });
}

/** Where a profile's name stands in its file. */
export function placeOfName(document: TextDocument, name: string): Range | undefined {
  const quoted = JSON.stringify(name);
  const text = document.getText();
  for (let at = text.indexOf(quoted); at >= 0; at = text.indexOf(quoted, at + 1)) {
    const end = at + quoted.length;
    // The name of an object, not a value, nor a setting of that name.
    if (!/^\s*:\s*\{/.test(text.slice(end))) continue;
    return new Range(document.positionAt(at), document.positionAt(end));
  }
  return undefined;
}

/** By line and column: an editor may have other line ends than the file. */
function rangeOf(document: TextDocument, { line, column, length }: ProfileProblem): Range {
  const start = document.validatePosition(new Position(line - 1, column - 1));
  return new Range(start, document.positionAt(document.offsetAt(start) + length));
}

/** `profiles.json:3:5: Unknown.`: as compilers say it, so that it can be found without us too. */
function placed(uri: Uri, { line, column, message }: ProfileProblem): string {
  return `${shortName(uri)}:${line}:${column}: ${message}`;
}
