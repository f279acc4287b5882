export type WordsResult =
  | { readonly ok: true; readonly value: readonly string[] }
  | { readonly ok: false; readonly problem: string };

/**
 * Splits a command line into its words as a POSIX shell does, without expanding anything: blanks
 * separate, `'...'` keeps all, `"..."` all but `\"` and `\\`, and elsewhere `\` keeps the next
 * character.
 */
export function splitWords(text: string): WordsResult {
  const words: string[] = [];
  let word: string | undefined;
  let rest = text;
  while (rest !== '') {
    const [blank] = /^\s+/.exec(rest) ?? [];
    if (blank !== undefined) {
      if (word !== undefined) words.push(word);
      word = undefined;
      rest = rest.slice(blank.length);
      continue;
    }
    const found = piece.exec(rest);
    if (found === null) return { ok: false, problem: unfinished(rest) };
    const [whole, single, double, escaped, plain] = found;
    rest = rest.slice(whole.length);
    // A line that goes on in the next one.
    if (escaped === '\n') continue;
    const part = single ?? double?.replace(/\\(["\\])/g, '$1') ?? escaped ?? plain ?? '';
    word = (word ?? '') + part;
  }
  if (word !== undefined) words.push(word);
  return { ok: true, value: words };
}

const piece = /^(?:'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^\s'"\\]+))/;

function unfinished(rest: string): string {
  return rest.startsWith('\\')
    ? 'A \\ at the end has nothing to keep; write it twice, or leave it out.'
    : `A quote (${rest.charAt(0)}) is not closed.`;
}
