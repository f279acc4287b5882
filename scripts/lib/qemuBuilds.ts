import { chmod, copyFile, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from './paths';
import { isStamped, run, say, SetupError, withLock, writeWhole } from './steps';

export type QemuVersionName = '7.2' | '10.0' | '11.1';

/** A QEMU that can be started: `binary` with `prefixArgs` before all others, in `env`. */
export interface QemuBuild {
  readonly name: QemuVersionName | 'system';
  /** What the binary says of itself, for example `10.0.13`. */
  readonly version: string;
  readonly binary: string;
  readonly prefixArgs: string[];
  readonly env: NodeJS.ProcessEnv;
  /** The versioned machine behind the alias `q35`, for example `pc-q35-10.0`. */
  readonly machine: string;
}

export const qemuVersions: readonly QemuVersionName[] = ['7.2', '10.0', '11.1'];

/** Where Debian has each version. The last suite wins for packages that several suites have. */
const suites: Record<QemuVersionName, readonly string[]> = {
  '7.2': ['bookworm'],
  '10.0': ['trixie'],
  '11.1': ['trixie', 'trixie-backports'],
};

/** Changed whenever the layout below changes, so that an older cache is made anew. */
const layout = 1;

/**
 * Returns the QEMU of this version, fetching it from Debian first when needed. Nothing is installed: apt
 * resolves and downloads with a state of its own (no root needed), the packages are unpacked into
 * `.cache/qemu/VERSION/root`, and the binary is pointed at the C library and data in there. No chroot
 * either, so /proc/PID/exe is QEMU itself and its paths are the host's.
 */
export async function provisionQemu(name: QemuVersionName): Promise<QemuBuild> {
  const directory = join(cacheDirectory, 'qemu', name);
  const stamp = join(directory, 'stamp');
  // The paths are compiled into the patched binary: a moved checkout needs it made anew.
  const wanted = `${layout} ${directory}\n`;
  if (!(await isStamped(stamp, wanted))) {
    await mkdir(directory, { recursive: true });
    await withLock(`${directory}.lock`, async () => {
      if (await isStamped(stamp, wanted)) return;
      say(
        `Fetching QEMU ${name} from Debian`,
        'tests and sandbox run real QEMUs; the host keeps its own',
      );
      await rm(directory, { recursive: true, force: true });
      await unpack(name, directory);
      await patch(join(directory, 'root'));
      await writeWhole(stamp, wanted);
    });
  }
  const rootfs = join(directory, 'root');
  const build = await describeBuild(name, {
    binary: join(rootfs, 'usr/bin/qemu-system-x86_64'),
    prefixArgs: ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'].flatMap((data) => [
      '-L',
      join(rootfs, data),
    ]),
    env: { ...process.env, QEMU_MODULE_DIR: join(rootfs, libraries, 'qemu') },
  });
  if (!build.version.startsWith(`${name}.`)) {
    throw new SetupError(
      `Debian's QEMU for ${name} is now ${build.version}: adapt scripts/lib/qemuBuilds.ts.`,
    );
  }
  return build;
}

/** The QEMU on PATH, whatever version it is. */
export async function systemQemu(): Promise<QemuBuild> {
  const binary = 'qemu-system-x86_64';
  return describeBuild('system', { binary, prefixArgs: [], env: process.env });
}

const libraries = 'usr/lib/x86_64-linux-gnu';
const described = new Map<string, QemuBuild>();

async function describeBuild(
  name: QemuBuild['name'],
  parts: Pick<QemuBuild, 'binary' | 'prefixArgs' | 'env'>,
): Promise<QemuBuild> {
  const known = described.get(parts.binary);
  if (known !== undefined) return known;
  const { env } = parts;
  const banner = await run(parts.binary, ['--version'], { env });
  const machines = await run(parts.binary, [...parts.prefixArgs, '-machine', 'help'], { env });
  const version = /version (\d+\.\d+\.\d+)/.exec(banner)?.[1];
  const machine = /^q35\s.*\(alias of (\S+)\)/m.exec(machines)?.[1];
  if (version === undefined || machine === undefined) {
    throw new SetupError(`${parts.binary} does not say its version or its q35 machine:\n${banner}`);
  }
  const build: QemuBuild = { name, version, machine, ...parts };
  described.set(parts.binary, build);
  return build;
}

/** The Debian mirror that this machine is set up for, else Debian's public name. */
async function debianMirror(): Promise<string> {
  const format = '$(REPO_URI) $(CODENAME) $(SITE)';
  const listed = await run('apt-get', ['indextargets', '--format', format]).catch(() => '');
  const mirror = listed
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .find((uri) => /\/debian\/?$/.test(uri));
  return (mirror ?? 'http://deb.debian.org/debian').replace(/\/$/, '');
}

/** Resolves, downloads and unpacks QEMU and all it needs into `directory/root`. */
async function unpack(name: QemuVersionName, directory: string): Promise<void> {
  const apt = join(directory, 'apt');
  const archives = join(apt, 'archives');
  for (const part of ['lists/partial', 'archives/partial'])
    await mkdir(join(apt, part), { recursive: true });
  const status = join(apt, 'status');
  const sources = join(apt, 'sources.list');
  await writeFile(status, '');
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const mirror = await debianMirror();
  const lines = suites[name].map(
    (suite) => `deb [arch=amd64 signed-by=${keyring}] ${mirror} ${suite} main`,
  );
  await writeFile(sources, `${lines.join('\n')}\n`);
  const settings = {
    'Dir::State': apt,
    'Dir::State::status': status,
    'Dir::State::lists': join(apt, 'lists'),
    'Dir::Cache': apt,
    'Dir::Cache::archives': archives,
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Architecture': 'amd64',
    'APT::Default-Release': suites[name].at(-1) ?? '',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Debug::NoLocking': 'true',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  await run('apt-get', [...options, 'update', '-qq']);
  const packages = ['qemu-system-x86', 'seabios', 'ipxe-qemu'];
  await run('apt-get', [...options, 'install', '-y', '-qq', '--download-only', ...packages]);
  const rootfs = join(directory, 'root');
  await mkdir(rootfs);
  for (const archive of await readdir(archives)) {
    if (archive.endsWith('.deb')) await run('dpkg-deb', ['-x', join(archives, archive), rootfs]);
  }
  await rm(apt, { recursive: true });
}

/** Points the binary's interpreter and library path into the unpacked root. */
async function patch(rootfs: string): Promise<void> {
  const binary = join(rootfs, 'usr/bin/qemu-system-x86_64');
  const places = [libraries, 'lib/x86_64-linux-gnu', `${libraries}/pulseaudio`];
  const paths = places.map((place) => join(rootfs, place));
  const loader = await firstFile(paths.map((path) => join(path, 'ld-linux-x86-64.so.2')));
  const patched = `${binary}.patched`;
  await copyFile(binary, patched);
  // DT_RPATH, not DT_RUNPATH: only the former also counts for the libraries' own dependencies.
  const rpath = ['--force-rpath', '--set-rpath', paths.join(':')];
  await run('patchelf', ['--set-interpreter', loader, ...rpath, patched]);
  await chmod(patched, 0o755);
  await rename(patched, binary);
}

async function firstFile(candidates: readonly string[]): Promise<string> {
  for (const candidate of candidates) {
    if (
      await stat(candidate).then(
        (found) => found.isFile(),
        () => false,
      )
    )
      return candidate;
  }
  throw new SetupError(`None of these is there: ${candidates.join(', ')}`);
}
