import { applyEdits, type Edit, type Node } from 'jsonc-parser';
import { isArray, isObject, stringifyJson, type JsonObject, type JsonValue } from '../../qmp/json';
import { parseProfileFile, profileFormatVersion } from './parseProfiles';
import { ProblemList } from './problems';
import { membersOf, readTree } from './tree';
import {
  backendTransferMember,
  type Profile,
  type ProfileFile,
  type ProfileSettings,
  type SavedSettings,
} from './types';

export { parseProfileFile, profileFormatVersion, profileNameProblem } from './parseProfiles';

/**
 * Reads a profile file as it lies on disk. Never throws: what is wrong is listed with its place. What
 * is not UTF-8 is not read at all: its texts would be others than those that were written.
 */
export function readProfileFile(bytes: Uint8Array): ProfileFile {
  try {
    // Of a file that is cut off because it is too large the last character may be half.
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return parseProfileFile(decoder.decode(bytes, { stream: true }));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const problems = new ProblemList('');
    problems.error({ offset: 0, length: 0 }, 'The file is not UTF-8. Save it in that encoding.');
    return { profiles: [], problems: problems.all() };
  }
}

/** A profile to be written. */
export type NewProfile = Pick<Profile, 'name' | 'description'> & {
  /** For both sides, such as `profileOf` gives them. */
  readonly settings: SavedSettings;
  readonly source?: ProfileSettings | undefined;
  readonly target?: ProfileSettings | undefined;
  readonly optional?: ReadonlySet<string> | undefined;
  /** What a new file names as its JSON schema; an existing one is left as it is. */
  readonly schema?: string | undefined;
};

/**
 * The file's text with one profile added or replaced; comments and layout of the rest are kept.
 *
 * @param text the file as it is; `undefined`: there is none yet
 * @param path for the error
 * @throws {ProfileFileError} when the text cannot be extended (not JSON, another version), or the
 *   profile would not be valid in it
 */
export function withProfile(
  text: string | undefined,
  profile: NewProfile,
  path = 'The profile file',
): string {
  const extended =
    text === undefined || text.trim() === '' ? newFile(profile) : extend(text, profile, path);
  const { profiles, problems } = parseProfileFile(extended);
  if (!profiles.some(({ name }) => name === profile.name)) {
    throw new ProfileFileError(
      path,
      problems.filter(({ profile: name }) => name === profile.name),
    );
  }
  return extended;
}

/** A profile file that cannot be used, with the problems that say why. */
export class ProfileFileError extends Error {
  override readonly name = 'ProfileFileError';
  readonly path: string;
  readonly problems: ProfileFile['problems'];

  constructor(path: string, problems: ProfileFile['problems'], options?: ErrorOptions) {
    super(`${path}: ${problems.map(({ message }) => message).join(' ')}`, options);
    this.path = path;
    this.problems = problems;
  }
}

/** How a text is laid out. */
interface Layout {
  /** One step of indentation. */
  readonly step: string;
  readonly newline: string;
}

const ownLayout: Layout = { step: '  ', newline: '\n' };

function newFile(profile: NewProfile): string {
  const { schema } = profile;
  const file = {
    ...(schema !== undefined && { $schema: schema }),
    version: profileFormatVersion,
    profiles: { [profile.name]: membersFor(profile) },
  };
  return `${print(file, '', ownLayout)}\n`;
}

function extend(text: string, profile: NewProfile, path: string): string {
  const inFile = parseProfileFile(text).problems.filter(
    ({ severity, profile: name }) => severity === 'error' && name === undefined,
  );
  const root = readTree(text, new ProblemList(text));
  if (inFile.length > 0 || root === undefined) throw new ProfileFileError(path, inFile);
  const layout: Layout = {
    step: /^([ \t]+)"/m.exec(text)?.[1] ?? ownLayout.step,
    newline: text.includes('\r\n') ? '\r\n' : '\n',
  };
  const profiles = memberOf(root, 'profiles');
  const written = membersFor(profile);
  if (profiles === undefined) {
    return applyEdits(text, insertion(text, root, 'profiles', { [profile.name]: written }, layout));
  }
  const present = memberOf(profiles, profile.name);
  return applyEdits(
    text,
    present === undefined
      ? insertion(text, profiles, profile.name, written, layout)
      : [
          {
            offset: present.offset,
            length: present.length,
            content: print(written, indentAt(text, present.parent ?? present), layout),
          },
        ],
  );
}

function memberOf(node: Node, name: string): Node | undefined {
  return membersOf(node, () => undefined)?.find((member) => member.name === name)?.value;
}

/** The profile as its object in a file. */
function membersFor({ description, settings, source, target, optional }: NewProfile): JsonObject {
  return {
    ...(description !== undefined && description.trim() !== '' && { description }),
    ...(settings.backendTransfer !== undefined && {
      [backendTransferMember]: settings.backendTransfer,
    }),
    ...layerOf(settings),
    ...sideOf('source', source),
    ...sideOf('target', target),
    ...(optional !== undefined && optional.size > 0 && { optional: [...optional] }),
  };
}

function layerOf({ parameters, capabilities }: ProfileSettings): JsonObject {
  return {
    ...(Object.keys(parameters).length > 0 && { parameters }),
    ...(Object.keys(capabilities).length > 0 && { capabilities }),
  };
}

function sideOf(side: 'source' | 'target', settings: ProfileSettings | undefined): JsonObject {
  const layer = settings === undefined ? {} : layerOf(settings);
  return Object.keys(layer).length === 0 ? {} : { [side]: layer };
}

/**
 * The edits that add a last member. Not the library's `modify`: that moves a comment behind the
 * member that was last to the one added.
 */
function insertion(
  text: string,
  object: Node,
  name: string,
  value: JsonObject,
  layout: Layout,
): Edit[] {
  const { newline, step } = layout;
  const last = object.children?.at(-1);
  const brace = object.offset + object.length - 1;
  if (last === undefined) {
    const outer = indentAt(text, object);
    const indent = outer + step;
    const offset = text.slice(0, brace).trimEnd().length;
    const content = `${newline}${indent}${printMember(name, value, indent, layout)}${newline}${outer}`;
    return [{ offset, length: brace - offset, content }];
  }
  const end = last.offset + last.length;
  // White space, comments, and at most one comma.
  const rest = text.slice(end, brace);
  const comma = [...rest.matchAll(/\/\/[^\r\n]*|\/\*[^]*?\*\/|,/g)].find(
    ([token]) => token === ',',
  );
  const afterComma = comma === undefined ? 0 : comma.index + 1;
  const sameLine = /^[ \t]*(?:(?:\/\/[^\r\n]*|\/\*[^\r\n]*?\*\/)[ \t]*)?(?=[\r\n])/.exec(
    rest.slice(afterComma),
  );
  const indent = startsItsLine(text, last) ? indentAt(text, last) : indentAt(text, object) + step;
  const added = `${newline}${indent}${printMember(name, value, indent, layout)}`;
  return [
    ...(comma === undefined ? [{ offset: end, length: 0, content: ',' }] : []),
    {
      offset: end + afterComma + (sameLine?.[0].length ?? 0),
      length: 0,
      // Who ends lists with a comma goes on doing so.
      content: comma === undefined ? added : `${added},`,
    },
  ];
}

/** The white space at the start of the line that the node begins in. */
function indentAt(text: string, node: Node): string {
  return /[ \t]*/.exec(text.slice(lineStart(text, node)))?.[0] ?? '';
}

function startsItsLine(text: string, node: Node): boolean {
  return text.slice(lineStart(text, node), node.offset).trim() === '';
}

function lineStart(text: string, node: Node): number {
  return (
    Math.max(text.lastIndexOf('\n', node.offset - 1), text.lastIndexOf('\r', node.offset - 1)) + 1
  );
}

function printMember(name: string, value: JsonValue, indent: string, layout: Layout): string {
  return `${JSON.stringify(name)}: ${print(value, indent, layout)}`;
}

/** JSON as people write it, integers exact; `indent`: of the line that it begins in. */
function print(value: JsonValue, indent: string, layout: Layout): string {
  const { newline, step } = layout;
  const inner = indent + step;
  if (isObject(value) && Object.keys(value).length > 0) {
    const members = Object.entries(value).map(
      ([name, member]) => `${inner}${printMember(name, member, inner, layout)}`,
    );
    return `{${newline}${members.join(`,${newline}`)}${newline}${indent}}`;
  }
  if (isArray(value) && value.some((entry) => typeof entry === 'object' && entry !== null)) {
    const entries = value.map((entry) => `${inner}${print(entry, inner, layout)}`);
    return `[${newline}${entries.join(`,${newline}`)}${newline}${indent}]`;
  }
  if (isArray(value)) return `[${value.map(stringifyJson).join(', ')}]`;
  return stringifyJson(value);
}
