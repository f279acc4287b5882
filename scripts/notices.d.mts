import type { Metafile } from 'esbuild';

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX. */
  readonly license: string;
  readonly text: string;
}

/** The packages that went into bundles, with all that they need; each once, by name. */
export function bundledPackages(metafiles: readonly Metafile[]): readonly BundledPackage[];

/** Writes their licences to a file, unless it says so already. */
export function writeNotices(file: string, metafiles: readonly Metafile[]): void;
