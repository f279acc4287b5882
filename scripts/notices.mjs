// Writes the licences of what the bundles contain of others.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const place = /^(.*node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/;

/**
 * The packages that went into bundles, by the metafiles of esbuild, with all that they need; each once,
 * by name.
 *
 * @param {readonly import('esbuild').Metafile[]} metafiles
 */
export function bundledPackages(metafiles) {
  const folders = new Set(
    metafiles
      .flatMap(({ outputs }) => Object.values(outputs))
      .flatMap(({ inputs }) => Object.entries(inputs))
      // What was shaken off is not shipped.
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .flatMap(([input]) => place.exec(input)?.[1] ?? [])
      .map((folder) => resolve(folder)),
  );
  // A package may have been bundled by its makers with what it needs.
  for (const folder of folders) for (const needed of neededBy(folder)) folders.add(needed);
  return [...folders].map(readPackage).sort((a, b) => a.name.localeCompare(b.name));
}

function neededBy(folder) {
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.keys(dependencies).map((name) => {
    for (let from = folder; ; from = dirname(from)) {
      const found = join(from, 'node_modules', name);
      if (existsSync(found)) return found;
      if (dirname(from) === from) throw new Error(`${name}, which ${folder} needs, is not there.`);
    }
  });
}

function readPackage(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((each) => /^licen[cs]e(\.(md|txt))?$/i.test(each));
  if (file === undefined || typeof license !== 'string') {
    throw new Error(`${name} is bundled, and there is no licence in ${folder}.`);
  }
  return { name, version, license, text: readFileSync(join(folder, file), 'utf8').trim() };
}

/** Writes them to a file, unless it says so already. */
export function writeNotices(file, metafiles) {
  const line = '-'.repeat(80);
  const parts = bundledPackages(metafiles).map(
    ({ name, version, license, text }) => `${line}\n${name} ${version} (${license})\n\n${text}\n`,
  );
  const head =
    'QEMU Migration contains the following software of others, each under its own licence.\n';
  const notices = [head, ...parts].join('\n');
  if (existsSync(file) && readFileSync(file, 'utf8') === notices) return;
  writeFileSync(file, notices);
}
