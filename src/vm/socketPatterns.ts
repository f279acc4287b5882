import { stat } from 'node:fs/promises';
import path from 'node:path';

/**
 * The absolute socket paths that a list of paths and globs names. A plain path is kept whether it
 * exists or not (its QEMU may come later); of a glob's matches only sockets are kept.
 *
 * @param patterns relative ones are ignored: there is no folder that they would be relative to
 */
export async function expandSocketPatterns(patterns: readonly string[]): Promise<string[]> {
  if (patterns.length === 0) return [];
  // Loaded when needed: most people name no sockets, and it is a good part of the bundle.
  const { glob, hasMagic } = await import('glob');
  const lists = await Promise.all(
    patterns
      .filter((pattern) => path.isAbsolute(pattern))
      .map(async (pattern) => {
        // A path may hold the characters of a glob, such as `vm[1].qmp`.
        if (!hasMagic(pattern) || (await isSocket(pattern))) return [path.resolve(pattern)];
        const matches = await glob(pattern, { absolute: true, dot: true, nodir: true });
        const sockets = await Promise.all(matches.map(isSocket));
        return matches.filter((_, index) => sockets[index]).sort();
      }),
  );
  return [...new Set(lists.flat())];
}

/** Whether a path names a socket, links followed. */
async function isSocket(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isSocket();
  } catch {
    return false;
  }
}
