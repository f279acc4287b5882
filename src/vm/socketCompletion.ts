import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

export interface SocketCandidate {
  readonly path: string;
  readonly kind: 'socket' | 'directory';
}

const mostCandidates = 200;

/**
 * What exists below the folder of a path being typed: sockets first, then folders (with a slash at
 * their end), whose name begins with the last part of `prefix`. Empty for relative paths and for
 * folders that cannot be read.
 */
export async function completeSocketPath(prefix: string): Promise<readonly SocketCandidate[]> {
  if (!path.isAbsolute(prefix)) return [];
  const directory = prefix.endsWith('/') ? prefix : path.dirname(prefix);
  const start = prefix.endsWith('/') ? '' : path.basename(prefix);
  let names: string[];
  try {
    names = await readdir(directory);
  } catch {
    return [];
  }
  const candidates = await Promise.all(
    names
      .filter((name) => name.startsWith(start))
      .sort()
      .slice(0, mostCandidates)
      .map(async (name): Promise<SocketCandidate[]> => {
        const file = path.join(directory, name);
        const stats = await stat(file).catch(() => undefined);
        if (stats?.isSocket() === true) return [{ path: file, kind: 'socket' }];
        if (stats?.isDirectory() === true) return [{ path: `${file}/`, kind: 'directory' }];
        return [];
      }),
  );
  const all = candidates.flat();
  return [
    ...all.filter(({ kind }) => kind === 'socket'),
    ...all.filter(({ kind }) => kind === 'directory'),
  ];
}
