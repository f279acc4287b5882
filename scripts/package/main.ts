import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { glob } from 'glob';
import { requireTools, tools, type SystemTool } from '../lib/packages';
import { root } from '../lib/paths';
import { run, say, SetupError } from '../lib/steps';
import { readArchive } from './archive';

type Arch = 'x64' | 'arm64';

/** A VSIX above this has something in it that nobody meant to ship. */
const maxBytes = 1280 * 1024;

/** `e_machine` in the ELF header of the helper. */
const elfMachines: Record<Arch, number> = { x64: 62, arm64: 183 };

const crossTools: readonly SystemTool[] = [
  {
    programs: ['aarch64-linux-gnu-gcc'],
    package: 'gcc-aarch64-linux-gnu',
    why: 'compiles the helper for arm64',
  },
  {
    programs: ['/usr/aarch64-linux-gnu/include/stdio.h'],
    package: 'libc6-dev-arm64-cross',
    why: 'C library for the arm64 helper',
  },
];

/** What the manifest's neighbours are called in the archive, where they are there. */
const documents: Readonly<Record<string, string>> = {
  'README.md': 'readme.md',
  'CHANGELOG.md': 'changelog.md',
  LICENSE: 'LICENSE.txt',
};

/** Builds the helper for both processors and returns where each lies. */
async function buildHelpers(): Promise<Record<Arch, string>> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new SetupError('Packages are made on linux-x64: both helpers can be compiled there.');
  }
  await requireTools([tools.compiler, tools.libc, tools.make, tools.musl, ...crossTools]);
  const source = join(root, 'native', 'fdpass');
  await run('make', ['-s', '-C', source, 'all', 'arm64']);
  const built = (arch: Arch) => join(source, 'build', `linux-${arch}`, 'fdpass');
  return { x64: built('x64'), arm64: built('arm64') };
}

/** Builds for production into a tree of its own, so that nobody's dist/ changes meanwhile. */
async function stage(directory: string): Promise<void> {
  const inputs = ['src', 'node_modules', 'tsconfig.json'];
  const shipped = ['package.json', '.vscodeignore', 'media', 'schemas', ...Object.keys(documents)];
  const translations = await glob('package.nls*.json', { cwd: root });
  for (const name of [...shipped, ...translations]) {
    if (await exists(join(root, name))) {
      await cp(join(root, name), join(directory, name), { recursive: true });
    }
  }
  for (const name of inputs) {
    if (await exists(join(root, name))) await symlink(join(root, name), join(directory, name));
  }
  await run(process.execPath, [join(root, 'esbuild.mjs'), '--production'], { cwd: directory });
  for (const name of inputs) await rm(join(directory, name), { force: true });
}

/** Runs vsce in the staged tree. It must not ask: its stdin is closed. */
async function makeVsix(directory: string, file: string, arch: Arch | undefined): Promise<void> {
  const vsce = join(root, 'node_modules', '@vscode', 'vsce', 'vsce');
  const target = arch === undefined ? [] : ['--target', `linux-${arch}`];
  const quiet = ['--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'];
  await run(process.execPath, [vsce, 'package', ...quiet, ...target, '--out', file], {
    cwd: directory,
  });
}

/** The names that the archive must have: no more, no less. */
async function expectedNames(arch: Arch | undefined): Promise<string[]> {
  const here = await readdir(root);
  const media = await glob('media/**', { cwd: root, nodir: true });
  return [
    '[Content_Types].xml',
    'extension.vsixmanifest',
    'extension/package.json',
    'extension/dist/THIRD-PARTY-NOTICES.txt',
    'extension/dist/cli.js',
    'extension/dist/extension.js',
    'extension/schemas/qemu-migration.schema.json',
    ...(arch === undefined ? [] : ['extension/dist/bin/fdpass']),
    ...here
      .filter((name) => /^package\.nls.*\.json$/.test(name))
      .map((name) => `extension/${name}`),
    ...media.map((name) => `extension/${name}`),
    ...here.flatMap((name) => (documents[name] ? [`extension/${documents[name]}`] : [])),
  ].sort();
}

async function check(file: string, arch: Arch | undefined): Promise<void> {
  const problems: string[] = [];
  const entries = await readArchive(file);
  const names = entries.map(({ name }) => name);
  const expected = await expectedNames(arch);
  for (const name of names.filter((each) => !expected.includes(each))) {
    problems.push(`${name} does not belong in`);
  }
  for (const name of expected.filter((each) => !names.includes(each))) {
    problems.push(`${name} is missing`);
  }
  const helper = entries.find(({ name }) => name === 'extension/dist/bin/fdpass');
  if (helper !== undefined && arch !== undefined) {
    const bytes = helper.read();
    const isElf = bytes.toString('latin1', 0, 4) === '\x7fELF';
    if (!isElf || bytes.readUInt16LE(18) !== elfMachines[arch]) {
      problems.push(`the helper is not a program for ${arch}`);
    }
    if ((helper.mode & 0o111) !== 0o111) problems.push('the helper is not executable');
  }
  const { size } = await stat(file);
  if (size > maxBytes) problems.push(`it has ${size} bytes, at most ${maxBytes} are allowed`);
  if (problems.length > 0) {
    throw new SetupError(`${basename(file)} is wrong:\n  ${problems.join('\n  ')}`);
  }
  say(`${basename(file)}: ${Math.ceil(size / 1024)} KiB, ${entries.length} files`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function main(): Promise<void> {
  const helpers = await buildHelpers();
  const { name, version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
  const output = join(root, 'dist', 'vsix');
  await mkdir(output, { recursive: true });
  const directory = await mkdtemp(join(tmpdir(), 'qemu-migration-package-'));
  try {
    say('Building for production');
    await stage(directory);
    for (const arch of ['x64', 'arm64', undefined] as const) {
      const bin = join(directory, 'dist', 'bin');
      await rm(bin, { recursive: true, force: true });
      if (arch !== undefined) await cp(helpers[arch], join(bin, 'fdpass'));
      const file = `${[name, version, ...(arch ? [`linux-${arch}`] : [])].join('-')}.vsix`;
      await makeVsix(directory, join(directory, file), arch);
      await check(join(directory, file), arch);
      // Only what was checked is handed out; copied first, /tmp may be another file system.
      await cp(join(directory, file), join(output, `${file}.new`));
      await rename(join(output, `${file}.new`), join(output, file));
    }
    say(`The packages are in ${relative(process.cwd(), output)}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
