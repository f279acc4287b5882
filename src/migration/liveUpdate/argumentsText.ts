/** A line of a command line's text that cannot be read. */
export class ArgumentsTextError extends Error {
  override readonly name = 'ArgumentsTextError';
  /** From 1. */
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** An argument and the line that it stands on, from 1. */
export interface PlacedArgument {
  readonly text: string;
  readonly line: number;
}

/**
 * QEMU's arguments as a text that a person edits: a line for each option, its value behind the first
 * blank, both as they are, with no quoting by a shell. What a line could not say so (a line feed, a blank
 * at an end, nothing at all) stands as a JSON string. Lines that begin with `#` are notes.
 */
export function argumentsText(args: readonly string[]): string {
  const lines: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? '';
    const next = args[index + 1];
    if (isOption(word) && next !== undefined && !isOption(next)) {
      lines.push(`${optionText(word)} ${valueText(next)}`);
      index++;
    } else {
      lines.push(isOption(word) ? optionText(word) : valueText(word));
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Reads what {@link argumentsText} writes, and a JSON list of strings. @throws {ArgumentsTextError} */
export function parseArguments(text: string): readonly PlacedArgument[] {
  if (text.trimStart().startsWith('[')) return parseList(text);
  return text.split('\n').flatMap((line, index) => parseLine(line, index + 1));
}

function parseLine(whole: string, line: number): readonly PlacedArgument[] {
  const text = whole.trim();
  if (text === '' || text.startsWith('#')) return [];
  if (text.startsWith('"')) return parseQuoted(text, line);
  const blank = isOption(text) ? text.search(/\s/) : -1;
  if (blank === -1) return [{ text, line }];
  const value = text.slice(blank).trim();
  return [{ text: text.slice(0, blank), line }, ...parseValue(value, line)];
}

/** One JSON string, and a value behind it. */
function parseQuoted(text: string, line: number): readonly PlacedArgument[] {
  const [quoted] = /^"(?:[^"\\]|\\.)*"/.exec(text) ?? [];
  if (quoted === undefined) throw new ArgumentsTextError(line, 'A JSON string is not closed.');
  const rest = text.slice(quoted.length);
  if (rest !== '' && !/^\s/.test(rest)) {
    throw new ArgumentsTextError(line, 'There must be a blank behind a JSON string.');
  }
  const value = rest.trim();
  return [{ text: unquote(quoted, line), line }, ...(value === '' ? [] : parseValue(value, line))];
}

function parseValue(value: string, line: number): readonly PlacedArgument[] {
  return [{ text: value.startsWith('"') ? unquote(value, line) : value, line }];
}

function unquote(text: string, line: number): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'string') return value;
  } catch {
    // Told below.
  }
  throw new ArgumentsTextError(
    line,
    'What begins with a quotation mark has to be one JSON string; QEMU needs none around a value.',
  );
}

function parseList(text: string): readonly PlacedArgument[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw new ArgumentsTextError(1, `The JSON list cannot be read: ${String(error)}`);
  }
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) {
    throw new ArgumentsTextError(1, 'The JSON list must hold strings alone.');
  }
  return list.map((item: string) => ({ text: item, line: 1 }));
}

function isOption(word: string): boolean {
  return word.startsWith('-') && word !== '-';
}

function optionText(word: string): string {
  return /\s/.test(word) ? JSON.stringify(word) : word;
}

function valueText(word: string): string {
  const plain = word !== '' && word.trim() === word && !/[\n\r]/.test(word) && !/^["#[]/.test(word);
  return plain ? word : JSON.stringify(word);
}
