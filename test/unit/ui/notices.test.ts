import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { describe, it } from 'mocha';
import { root } from '../../../scripts/lib/paths';
import { bundledPackages, writeNotices } from '../../../scripts/notices.mjs';

async function metafileOf(entry: string): Promise<Metafile> {
  const { metafile } = await build({
    ...{ bundle: true, platform: 'node', format: 'cjs', mainFields: ['module', 'main'] },
    ...{ external: ['vscode'], write: false, metafile: true, logLevel: 'error' },
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: 'dist',
  });
  return metafile;
}

describe('the notices of what is bundled', () => {
  it('have the licence of each package that the bundles contain, and of what those need', async function () {
    // It bundles everything once more.
    this.timeout(60_000);
    const metafiles = await Promise.all(['src/extension.ts', 'src/cli/main.ts'].map(metafileOf));
    const packages = bundledPackages(metafiles);
    const names = new Set(packages.map(({ name }) => name));
    const inputs = metafiles.flatMap(({ inputs: all }) => Object.keys(all));
    const imported = inputs.flatMap(
      (input) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? [],
    );
    assert.ok(imported.length > 0);
    for (const name of imported) assert.ok(names.has(name), name);
    // glob comes from its makers with this in one file.
    assert.ok(names.has('minimatch'));
    const directory = await mkdtemp(join(tmpdir(), 'qm-notices-'));
    try {
      const file = join(directory, 'notices.txt');
      writeNotices(file, metafiles);
      const written = await readFile(file, 'utf8');
      for (const { name, version, license, text } of packages) {
        assert.ok(written.includes(`${name} ${version} (${license})`), name);
        assert.ok(/permission|permitted|license/i.test(text) && written.includes(text), name);
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
