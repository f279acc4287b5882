import type { JsonValue } from '../../qmp/json';

/** Settings as written in a profile: numbers may be texts with units (`"1 GiB/s"`, `"0.3 s"`). */
export interface ProfileSettings {
  readonly parameters: Readonly<Record<string, JsonValue>>;
  readonly capabilities: Readonly<Record<string, boolean>>;
}

/** Settings to be written into a file. */
export interface SavedSettings extends ProfileSettings {
  /** Backend transfer under whatever name; `undefined`: left alone. */
  readonly backendTransfer?: boolean | undefined;
}

/** How a file, and its list of optional names, calls backend transfer. */
export const backendTransferMember = 'backendTransfer';

/** A named set of settings. */
export interface Profile {
  readonly name: string;
  /** What it is for; Markdown is not interpreted. */
  readonly description: string | undefined;
  readonly origin: 'builtin' | 'file';
  /** Backend transfer under whatever name a QEMU has for it; `undefined`: left alone. */
  readonly backendTransfer: boolean | undefined;
  /** For every machine that it is applied to. */
  readonly both: ProfileSettings;
  /** On top of `both`, where it is applied to the source, or the target, of a pair. A single machine that waits for a migration counts as a target, every other as a source. */
  readonly source: ProfileSettings;
  readonly target: ProfileSettings;
  /**
   * Names that are left out where a QEMU does not have them, `backendTransfer` among them; all
   * others are then an error. A capability that is to be off needs no mention: it is off there.
   */
  readonly optional: ReadonlySet<string>;
}

/** Something wrong in a profile file, and where. */
export interface ProfileProblem {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  /** In UTF-16 code units, as VS Code's `positionAt` takes them. */
  readonly offset: number;
  readonly length: number;
  /** From 1, for a terminal. */
  readonly line: number;
  readonly column: number;
  /** The profile that it is in. */
  readonly profile: string | undefined;
  /** It is no JSON there, which every editor of JSON says by itself. */
  readonly syntax?: true;
}

export interface ProfileFile {
  /** Those without errors. */
  readonly profiles: readonly Profile[];
  readonly problems: readonly ProfileProblem[];
}

export type ProfileSide = 'source' | 'target';
