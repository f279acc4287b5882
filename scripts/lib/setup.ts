import { stat } from 'node:fs/promises';
import { glob } from 'glob';
import { chromiumExecutable, requireTools, tools } from './packages';
import { root } from './paths';
import { chooseAccelerator, provisionQemu, qemuVersions, type QemuVersionName } from './qemu';
import { run } from './steps';
import { provisionVscode } from './vscodeServer';

/** Bundles extension and command-line program into dist/. */
export async function buildExtension(): Promise<void> {
  await run('npm', ['run', '--silent', 'build'], { cwd: root });
}

/** Builds the helper that hands descriptors to QEMU; `make` knows whether there is anything to do. */
export async function buildHelper(): Promise<void> {
  await requireTools([tools.compiler, tools.libc, tools.make, tools.musl]);
  await run('npm', ['run', '--silent', 'helper'], { cwd: root });
}

/** Fetches these QEMU versions (all of them unless told) and finds out how guests run best. */
export async function prepareQemu(
  versions: readonly QemuVersionName[] = qemuVersions,
): Promise<void> {
  await requireTools([tools.compiler, tools.patchelf, tools.keyring]);
  for (const version of versions) await chooseAccelerator(await provisionQemu(version));
}

/** Installs the VS Code build; `browser`: and the Chromium that shows it to tests. */
export async function prepareVscode({ browser }: { readonly browser: boolean }): Promise<void> {
  const wanted = [tools.compiler, tools.libc, tools.cxx, tools.make, tools.python];
  await requireTools(browser ? [...wanted, tools.chromium] : wanted);
  await provisionVscode();
  if (browser && chromiumExecutable() === undefined) throw new Error('Chromium is still missing.');
}

/** Files under test/ of this tier; sorted, so that every run has the same order. */
export async function testFiles(tier: string): Promise<string[]> {
  return (await glob(`test/${tier}/**/*.test.ts`, { cwd: root, absolute: true })).sort();
}

/** True when the checkout has something to build at this place yet. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
