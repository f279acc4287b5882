import { parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser';
import { parseJson, type JsonValue } from '../../qmp/json';
import type { ProblemList } from './problems';

/** JSON with comments and trailing commas as a tree whose nodes know their places. */

export interface Member {
  readonly name: string;
  readonly key: Node;
  readonly value: Node;
}

/** A file beyond this (1 MiB) is not one that a person wrote. */
const longestText = 1 << 20;
/** One slip makes a parser stumble often; the first few tell all. */
const mostSyntaxErrors = 10;
/** Deeper than any value of a setting. */
const deepest = 60;

/** The whole text; `undefined`, with the problems listed, when it is not JSON. */
export function readTree(text: string, problems: ProblemList): Node | undefined {
  const start = { offset: 0, length: Math.min(text.length, 1) };
  if (text.length > longestText) {
    problems.error(start, 'The file is too large for a profile file: more than 1 MiB.');
    return undefined;
  }
  if (text.trim() === '') {
    problems.error(start, 'The file is empty. The least is { "version": 1, "profiles": {} }.');
    return undefined;
  }
  const errors: ParseError[] = [];
  try {
    // A byte order mark is white space here, as for an editor; the offsets stay.
    const root = parseTree(text.replace(/^\uFEFF/, ' '), errors, { allowTrailingComma: true });
    for (const error of errors.slice(0, mostSyntaxErrors)) {
      problems.syntaxError(error, syntaxText(printParseErrorCode(error.error)));
    }
    return errors.length === 0 ? root : undefined;
  } catch (error) {
    // The parser calls itself for each level.
    if (!(error instanceof RangeError)) throw error;
    problems.error(start, 'The file is nested too deeply.');
    return undefined;
  }
}

function syntaxText(code: string): string {
  switch (code) {
    case 'InvalidNumberFormat':
    case 'UnexpectedEndOfNumber':
      return 'This is not a number as JSON writes it.';
    case 'PropertyNameExpected':
      return 'A name in double quotes is expected here.';
    case 'ValueExpected':
      return 'A value is expected here.';
    case 'ColonExpected':
      return 'A colon is expected here.';
    case 'CommaExpected':
      return 'A comma is expected here.';
    case 'CloseBraceExpected':
      return 'A closing brace "}" is missing.';
    case 'CloseBracketExpected':
      return 'A closing bracket "]" is missing.';
    case 'EndOfFileExpected':
      return 'The file should end here.';
    case 'UnexpectedEndOfComment':
      return 'This comment has no end: "*/" is missing.';
    case 'UnexpectedEndOfString':
      return 'This text has no end: a double quote is missing.';
    case 'InvalidUnicode':
    case 'InvalidEscapeCharacter':
      return 'This escape is unknown in JSON; a backslash itself is written "\\\\".';
    case 'InvalidCharacter':
      return 'This character must be written as an escape, such as "\\t".';
    default:
      return 'This is not JSON. Texts and names need double quotes.';
  }
}

/**
 * An object's members; `undefined` when the node is no object. A name that comes twice is reported,
 * and then the last one counts, as for every reader of JSON.
 */
export function membersOf(
  node: Node,
  onDuplicate: (member: Member) => void,
): readonly Member[] | undefined {
  if (node.type !== 'object') return undefined;
  const members = new Map<string, Member>();
  for (const { children: [key, value] = [] } of node.children ?? []) {
    if (key === undefined || value === undefined) continue;
    const member = { name: String(key.value), key, value };
    if (members.has(member.name)) onDuplicate(member);
    members.set(member.name, member);
  }
  return [...members.values()];
}

/**
 * A node as a value, with integers of any size exact.
 *
 * @throws {RangeError} when it is nested too deeply
 */
export function valueOf(
  node: Node,
  text: string,
  onDuplicate: (member: Member) => void,
  depth = 0,
): JsonValue {
  if (depth > deepest) throw new RangeError('nested too deeply');
  const inner = (each: Node): JsonValue => valueOf(each, text, onDuplicate, depth + 1);
  switch (node.type) {
    case 'object': {
      const members = membersOf(node, onDuplicate) ?? [];
      return Object.fromEntries(members.map(({ name, value }) => [name, inner(value)]));
    }
    case 'array':
      return (node.children ?? []).map(inner);
    case 'number':
      // The tree has it as a double, which may be rounded.
      return parseJson(text.slice(node.offset, node.offset + node.length));
    case 'string':
      return String(node.value);
    case 'boolean':
      return node.value === true;
    case 'null':
    case 'property':
      return null;
  }
}
