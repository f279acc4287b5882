import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The checkout's root: found by walking up, so that bundled code finds it too. */
function findRoot(from: string): string {
  for (let directory = from; ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'package-lock.json'))) return directory;
    if (dirname(directory) === directory) throw new Error(`No checkout above ${from}.`);
  }
}

/** Made if missing, and without links: what is built in there has the path compiled in. */
function realDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return realpathSync(path);
}

export const root = findRoot(__dirname);

/**
 * Everything that set-up makes lives here, out of git. `QEMU_MIGRATION_CACHE` names another folder,
 * so that several clones on one machine can share the QEMU builds.
 */
export const cacheDirectory = realDirectory(
  process.env['QEMU_MIGRATION_CACHE'] ?? join(root, '.cache'),
);

/** Where VS Code builds for tests live: the folder that `@vscode/test-electron` uses as well. */
export const vscodeTestDirectory = realDirectory(
  process.env['QEMU_MIGRATION_VSCODE_TEST'] ?? join(root, '.vscode-test'),
);
