// Bundles the extension and the command-line program; `--watch` rebuilds on change, `--production` minifies.
import { chmodSync } from 'node:fs';
import { context } from 'esbuild';
import { writeNotices } from './scripts/notices.mjs';

const watch = process.argv.includes('--watch');
const production = process.argv.includes('--production');

const shared = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  minify: production,
  sourcemap: production ? false : 'linked',
  mainFields: ['module', 'main'],
  logLevel: 'info',
  metafile: true,
};

const builds = [
  {
    ...shared,
    entryPoints: ['src/extension.ts'],
    outfile: 'dist/extension.js',
    external: ['vscode'],
  },
  {
    ...shared,
    entryPoints: ['src/cli/main.ts'],
    outfile: 'dist/cli.js',
    banner: { js: '#!/usr/bin/env node' },
  },
];

const metafiles = [];
for (const options of builds) {
  const build = await context(options);
  metafiles.push((await build.rebuild()).metafile);
  if (watch) await build.watch();
  else await build.dispose();
}

// Shipped beside the bundles.
writeNotices('dist/THIRD-PARTY-NOTICES.txt', metafiles);

// It is a program: `bin` of package.json names it.
chmodSync('dist/cli.js', 0o755);
