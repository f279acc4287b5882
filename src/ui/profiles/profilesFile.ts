import os from 'node:os';
import {
  FileSystemError,
  l10n,
  type Position,
  Range,
  type TextDocument,
  Uri,
  workspace,
  WorkspaceEdit,
} from 'vscode';
import { SettingId } from '../ids';
import { readSetting } from '../settings';

/** Where `ProfileSchemaDocument` gives the JSON schema, for files of any name. */
export const profileSchemaUri = 'qemu-migration-schema:/profiles.schema.json';

/** Names of profile files beside the configured one. */
const nameEnd = '.qemu-migration.json';

/** Where the user's profiles are, or why there can be none here. */
export type ProfilesPlace =
  | {
      readonly kind: 'file';
      readonly uri: Uri;
      /** The workspace folder's name. */
      readonly folder: string | undefined;
    }
  /** `trust`: granting trust in the workspace helps. */
  | { readonly kind: 'none'; readonly reason: string; readonly trust: boolean };

/**
 * The places that the setting names: one, or with a relative path one in each workspace folder.
 * Files of a workspace that is not trusted are left alone.
 */
export function profilesPlaces(): readonly [ProfilesPlace, ...ProfilesPlace[]] {
  const configured = readSetting(SettingId.profilesFile).replace(/^~(?=\/|$)/, os.homedir());
  if (configured.startsWith('/')) return [trusted(Uri.file(configured), undefined)];
  const [first, ...others] = workspace.workspaceFolders ?? [];
  if (first === undefined) {
    const reason = l10n.t(
      'Your own profiles are kept in {0} of a workspace folder, and no folder is open.',
      configured,
    );
    return [{ kind: 'none', reason, trust: false }];
  }
  return [
    trusted(Uri.joinPath(first.uri, configured), first.name),
    ...others.map(({ uri, name }) => trusted(Uri.joinPath(uri, configured), name)),
  ];
}

function trusted(uri: Uri, folder: string | undefined): ProfilesPlace {
  if (workspace.isTrusted || workspace.getWorkspaceFolder(uri) === undefined) {
    return { kind: 'file', uri, folder };
  }
  const reason = l10n.t(
    'The profiles in {0} are not used, because this workspace is not trusted.',
    shortName(uri),
  );
  return { kind: 'none', reason, trust: true };
}

/** The place in use: the first that has a file, else the first. */
export async function currentPlace(): Promise<ProfilesPlace> {
  const places = profilesPlaces();
  for (const place of places) {
    if (place.kind === 'file' && (await exists(place.uri))) return place;
  }
  return places[0];
}

/** Whether profiles are expected in this document. */
export function isProfilesFile(uri: Uri): boolean {
  if (uri.scheme !== 'file' && uri.scheme !== 'untitled') return false;
  if (uri.path.endsWith(nameEnd)) return true;
  const places = profilesPlaces();
  return places.some((place) => place.kind === 'file' && place.uri.path === uri.path);
}

/**
 * What a new file has to name as its schema for completion and explanations; `undefined` where the
 * manifest gives it one by its name.
 */
export function schemaFor(uri: Uri): string | undefined {
  const known = uri.path.endsWith(nameEnd) || uri.path.endsWith('/.vscode/qemu-migration.json');
  return known ? undefined : profileSchemaUri;
}

/** The path as a person reads it. */
export function shortName(uri: Uri): string {
  return workspace.asRelativePath(uri);
}

/**
 * The file's text, with edits that are not saved yet; `undefined`: no such file.
 *
 * @throws {Error} in words, when it cannot be read
 */
export async function readProfilesText(uri: Uri): Promise<string | undefined> {
  const open = openDocument(uri);
  // One without edits may be behind the disk for a moment.
  if (open?.isDirty === true) return open.getText();
  try {
    const bytes = await workspace.fs.readFile(uri);
    // A text read by guess would be written back as another one.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (isMissing(error)) return undefined;
    if (error instanceof TypeError) {
      throw new Error(
        l10n.t('{0} is not UTF-8. Save it in that encoding; nothing was changed.', shortName(uri)),
        { cause: error },
      );
    }
    throw new Error(l10n.t('{0} could not be read: {1}', shortName(uri), wordsOf(error)), {
      cause: error,
    });
  }
}

/**
 * Gives the file this text. An existing one is changed in its editor and saved from there: what
 * cannot be saved stays there, and can be undone.
 *
 * @throws {Error} in words, when it could not be saved
 */
export async function writeProfilesText(uri: Uri, text: string): Promise<void> {
  if (openDocument(uri) === undefined && !(await exists(uri))) {
    await createFile(uri, text);
    return;
  }
  const document = await workspace.openTextDocument(uri);
  const edit = new WorkspaceEdit();
  const { range, replacement } = difference(document, text);
  edit.replace(uri, range, replacement);
  const applied = await workspace.applyEdit(edit);
  if (applied && (await document.save())) return;
  throw new Error(
    applied
      ? l10n.t(
          '{0} could not be saved. The profile is in its editor, not yet on the disk.',
          shortName(uri),
        )
      : l10n.t('{0} could not be changed; it is as it was.', shortName(uri)),
  );
}

async function createFile(uri: Uri, text: string): Promise<void> {
  try {
    // Makes the folders on the way too.
    await workspace.fs.writeFile(uri, new TextEncoder().encode(text));
  } catch (error) {
    // Half a file would be taken for a broken one.
    await Promise.resolve(workspace.fs.delete(uri)).catch(() => undefined);
    throw new Error(l10n.t('{0} could not be written: {1}', shortName(uri), wordsOf(error)), {
      cause: error,
    });
  }
}

function openDocument(uri: Uri): TextDocument | undefined {
  return workspace.textDocuments.find(
    (document) => !document.isClosed && document.uri.toString() === uri.toString(),
  );
}

export async function exists(uri: Uri): Promise<boolean> {
  try {
    await workspace.fs.stat(uri);
    return true;
  } catch (error) {
    // One that may not be looked at is there, for all we know.
    return !isMissing(error);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof FileSystemError && error.code === 'FileNotFound';
}

/** Why a file could not be read or written, as a sentence. */
function wordsOf(error: unknown): string {
  const { message } = error instanceof Error ? error : { message: String(error) };
  const code = error instanceof FileSystemError ? error.code : 'Unknown';
  if (code === 'NoPermissions' || /\bE(ACCES|PERM)\b/.test(message)) {
    return l10n.t('you have no permission for it.');
  }
  if (code === 'FileIsADirectory') return l10n.t('it is a folder.');
  if (code === 'FileNotADirectory' || /\bENOTDIR\b/.test(message)) {
    return l10n.t('what should be its folder is a file.');
  }
  if (/\b(ENOSPC|EDQUOT)\b/.test(message)) return l10n.t('the disk is full.');
  if (/\bEROFS\b/.test(message)) return l10n.t('the disk is read-only.');
  return message;
}

/** The smallest range that differs, so that the rest keeps its folding, marks and cursors. */
function difference(
  document: TextDocument,
  text: string,
): { readonly range: Range; readonly replacement: string } {
  const before = document.getText();
  const shorter = Math.min(before.length, text.length);
  let start = 0;
  while (start < shorter && before[start] === text[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === text[text.length - 1 - end]) {
    end += 1;
  }
  const at = (offset: number): Position => document.positionAt(offset);
  return {
    range: new Range(at(start), at(before.length - end)),
    replacement: text.slice(start, text.length - end),
  };
}
