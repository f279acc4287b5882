import { Disposable, EventEmitter, type Uri, workspace } from 'vscode';
import { builtinProfiles } from '../../migration/profiles/builtin';
import { parseProfileFile } from '../../migration/profiles/profileFile';
import type { Profile, ProfileProblem } from '../../migration/profiles/types';
import type { Contribution } from '../contribution';
import { SettingId } from '../ids';
import { currentPlace, isProfilesFile, type ProfilesPlace, readProfilesText } from './profilesFile';

/** Names a profile: one of ours and one of the user may have the same name. */
export type ProfileRef = Pick<Profile, 'origin' | 'name'>;

/** The profiles file as it is now. */
export interface LoadedFile {
  readonly uri: Uri;
  /** `undefined`: there is no such file. */
  readonly text: string | undefined;
  readonly profiles: readonly Profile[];
  readonly problems: readonly ProfileProblem[];
}

/** All profiles that can be used here. */
export interface LoadedProfiles {
  readonly builtin: readonly Profile[];
  readonly place: ProfilesPlace;
  readonly file: LoadedFile | undefined;
  /** Why the file could not be read, in words. */
  readonly failure: Error | undefined;
}

/** The built-in profiles and those of the user's file, read at the moment of use. */
export class ProfileLibrary implements Contribution {
  private readonly changes = new EventEmitter<void>();
  /** The file may have changed. */
  readonly onDidChange = this.changes.event;

  register(): Disposable {
    const changed = (uri: Uri): void => {
      if (isProfilesFile(uri)) this.changes.fire();
    };
    return Disposable.from(
      workspace.onDidChangeTextDocument(({ document }) => changed(document.uri)),
      workspace.onDidSaveTextDocument(({ uri }) => changed(uri)),
      workspace.onDidCloseTextDocument(({ uri }) => changed(uri)),
      workspace.onDidGrantWorkspaceTrust(() => this.changes.fire()),
      workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(SettingId.profilesFile)) this.changes.fire();
      }),
      this.changes,
    );
  }

  /** Never rejects: without the file there are still the built-in profiles. */
  async load(): Promise<LoadedProfiles> {
    const place = await currentPlace();
    const none = { builtin: builtinProfiles, place, file: undefined, failure: undefined };
    if (place.kind === 'none') return none;
    try {
      return { ...none, file: await loadFile(place.uri) };
    } catch (error) {
      return { ...none, failure: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  /** The profile as it is now, if there is one of that name. */
  async find({ origin, name }: ProfileRef): Promise<Profile | undefined> {
    const byName = (profile: Profile): boolean => profile.name === name;
    if (origin === 'builtin') return builtinProfiles.find(byName);
    return (await this.load()).file?.profiles.find(byName);
  }
}

/** Reads and parses one file. @throws {Error} in words, when it cannot be read */
export async function loadFile(uri: Uri): Promise<LoadedFile> {
  const text = await readProfilesText(uri);
  const { profiles, problems } =
    text === undefined ? { profiles: [], problems: [] } : parseProfileFile(text);
  return { uri, text, profiles, problems };
}
