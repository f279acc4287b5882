import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run, say, SetupError } from './steps';

/** A program that set-up needs, and the Debian package that has it. */
export interface SystemTool {
  readonly programs: readonly string[];
  readonly package: string;
  readonly why: string;
}

export const tools = {
  compiler: {
    programs: ['gcc', 'as', 'ld'],
    package: 'gcc',
    why: 'helper and test guest are compiled',
  },
  libc: { programs: ['/usr/include/stdio.h'], package: 'libc6-dev', why: 'headers for the helper' },
  cxx: { programs: ['g++'], package: 'g++', why: 'native modules of the VS Code build' },
  make: { programs: ['make'], package: 'make', why: 'builds the helper' },
  python: { programs: ['python3'], package: 'python3', why: 'node-gyp, for the VS Code build' },
  musl: { programs: ['musl-gcc'], package: 'musl-tools', why: 'links the helper statically' },
  patchelf: {
    programs: ['patchelf'],
    package: 'patchelf',
    why: 'points an unpacked QEMU at its libraries',
  },
  keyring: {
    programs: ['/usr/share/keyrings/debian-archive-keyring.gpg'],
    package: 'debian-archive-keyring',
    why: 'verifies the QEMU packages',
  },
  ip: { programs: ['ip'], package: 'iproute2', why: 'network namespaces for tests with TAPs' },
  chromium: {
    programs: ['chromium', 'chromium-browser', 'google-chrome'],
    package: 'chromium',
    why: 'shows the workbench in tests',
  },
} as const satisfies Record<string, SystemTool>;

/** The first of these programs that PATH (or an absolute path) has. */
export function findProgram(names: readonly string[]): string | undefined {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  for (const name of names) {
    const candidates = name.startsWith('/') ? [name] : places.map((place) => join(place, name));
    const found = candidates.find((candidate) => isReadable(candidate));
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Installs the Debian packages that are missing, when this user may; otherwise fails with the command that
 * someone who may has to run. A browser counts when any of its names is there, others need all programs.
 */
export async function requireTools(wanted: readonly SystemTool[]): Promise<void> {
  const missing = wanted.filter((tool) =>
    tool.package === 'chromium'
      ? chromiumExecutable() === undefined
      : tool.programs.some((program) => findProgram([program]) === undefined),
  );
  if (missing.length === 0) return;
  const names = missing.map((tool) => tool.package);
  const why = missing.map((tool) => `${tool.package}: ${tool.why}`).join('; ');
  const install = ['apt-get', '-o', 'DPkg::Lock::Timeout=600', 'install', '-y', '-qq'];
  const command = [...install, '--no-install-recommends', ...names];
  const prefix = await privilege();
  if (prefix === undefined || findProgram(['apt-get']) === undefined) {
    throw new SetupError(
      `Missing system packages (${why}).\nInstall them, then try again:\n  sudo ${command.join(' ')}`,
    );
  }
  say(`Installing ${names.join(', ')}`, why);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const execute = async (args: readonly string[]) => {
    const [program = '', ...rest] = [...prefix, ...args];
    await run(program, rest, { env });
  };
  try {
    await execute(command);
  } catch {
    // The package lists may be older than the mirror: renew them and try once more.
    await execute(['apt-get', '-o', 'DPkg::Lock::Timeout=600', 'update', '-qq']);
    await execute(command);
  }
}

/** The browser that tests drive: `CHROMIUM_PATH`, else the one on PATH. */
export function chromiumExecutable(): string | undefined {
  return process.env['CHROMIUM_PATH'] ?? findProgram(tools.chromium.programs);
}

/** What goes before a command to run it as root: nothing, `sudo -n`, or `undefined` when neither works. */
async function privilege(): Promise<readonly string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  return run('sudo', ['-n', 'true']).then(
    () => ['sudo', '-n', '--preserve-env=DEBIAN_FRONTEND'],
    () => undefined,
  );
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
