import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { vscodeTestDirectory } from './paths';
import { spawnOwned, type OwnedProcess } from './processes';
import { isStamped, run, say, SetupError, withLock, writeWhole } from './steps';

/** A whole VS Code (workbench and extension host) that npm can deliver, and the Node that it needs. */
const codeServer = 'code-server@4.139.1';
const nodeMajor = 24;
const nodePackage = `node-${process.platform}-${process.arch}`;

export interface VscodeBuild {
  readonly node: string;
  readonly serverMain: string;
}

/** Installs the VS Code build for tests and the browser sandbox into `.vscode-test/`, once. */
export async function provisionVscode(): Promise<VscodeBuild> {
  const directory = join(vscodeTestDirectory, 'code-server');
  const vscode = join(directory, 'node_modules', 'code-server', 'lib', 'vscode');
  const build = {
    node: join(directory, 'node_modules', nodePackage, 'bin', 'node'),
    serverMain: join(vscode, 'out', 'server-main.js'),
  };
  const stamp = join(directory, 'stamp');
  const wanted = `${codeServer} ${nodePackage}@${nodeMajor} 1\n`;
  if (await isStamped(stamp, wanted)) return build;
  await withLock(`${directory}.lock`, async () => {
    if (await isStamped(stamp, wanted)) return;
    say(
      'Installing VS Code from npm',
      'a workbench and an extension host for tests and sandbox; about 45 s',
    );
    await rm(directory, { recursive: true, force: true });
    await install(`${directory}.partial`);
    await rename(`${directory}.partial`, directory);
    await writeWhole(stamp, wanted);
  });
  return build;
}

async function install(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await writeWhole(join(directory, 'package.json'), '{ "private": true }\n');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quiet, `${nodePackage}@${nodeMajor}`], { cwd: directory });
  // The build's native modules and scripts must see its own Node, not the one that runs us.
  const nodeBin = join(directory, 'node_modules', nodePackage, 'bin');
  const env = { ...process.env, PATH: `${nodeBin}${delimiter}${process.env['PATH'] ?? ''}` };
  await run('npm', ['install', ...quiet, '--ignore-scripts', codeServer], { cwd: directory, env });
  const cwd = join(directory, 'node_modules', 'code-server', 'lib', 'vscode');
  await run('npm', ['install', ...quiet, '--omit=dev', '--ignore-scripts'], { cwd, env });
  const native = ['@vscode/spdlog', '@vscode/native-watchdog', 'node-pty'];
  await run('npm', ['rebuild', '--loglevel=error', ...native], { cwd, env });
}

export interface VscodeServer {
  readonly port: number;
  /** Whoever has it may use the server, and with it everything this user may do. */
  readonly token: string;
  readonly output: () => string;
  readonly process: OwnedProcess;
  readonly stop: () => Promise<void>;
}

export interface VscodeServerOptions {
  /** The server's data, extensions and sockets; private (0700), short, and the caller's to remove. */
  readonly directory: string;
  /** Ask whether the workspace is trusted, as a desktop VS Code does. */
  readonly workspaceTrust?: boolean;
  /** Added to the environment of server, extension host and terminals. */
  readonly env?: NodeJS.ProcessEnv;
  /**
   * The checkout whose extension is there as if installed. Without it the workbench takes one from its
   * address, for development and tests, and shows no notifications: VS Code's test driver hides them.
   */
  readonly installed?: string;
}

/** Starts VS Code's server on a free port of the loopback interface and waits until it listens. */
export async function startVscodeServer(options: VscodeServerOptions): Promise<VscodeServer> {
  const build = await provisionVscode();
  const data = join(options.directory, 'server');
  await mkdir(data, { recursive: true, mode: 0o700 });
  const token = randomBytes(16).toString('hex');
  const tokenFile = join(data, 'token');
  await writeWhole(tokenFile, token);
  // VS Code takes every theme below the folder of the extension under development for that extension's own
  // and shows it instead of the chosen one. Its own themes lie below our checkout: give them another path.
  const builtin = join(data, 'builtin');
  await symlink(join(dirname(dirname(build.serverMain)), 'extensions'), builtin);
  const extensions = join(data, 'extensions');
  await mkdir(extensions);
  if (options.installed !== undefined) {
    await symlink(options.installed, join(extensions, 'qemu-migration'));
  }
  const flags = [
    ...['--host', '127.0.0.1', '--port', '0', '--connection-token-file', tokenFile],
    ...['--accept-server-license-terms', '--disable-telemetry'],
    ...['--server-data-dir', data, '--builtin-extensions-dir', builtin],
    ...['--extensions-dir', extensions],
    // A released VS Code takes an extension from its address only together with its test driver.
    ...(options.installed === undefined ? ['--enable-smoke-test-driver'] : []),
    ...(options.workspaceTrust ? [] : ['--disable-workspace-trust']),
  ];
  const owned = await spawnOwned(build.node, [build.serverMain, ...flags], {
    // The server puts its own sockets there; in /tmp they would outlive it.
    env: { ...process.env, XDG_RUNTIME_DIR: data, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its extension host waits for hours for a killed server to come back, unless the group ends.
    detached: true,
  });
  let output = '';
  const port = await new Promise<number>((resolve, reject) => {
    const read = (text: string) => {
      output += text;
      const match = /Extension host agent listening on (\d+)/.exec(output);
      if (match !== null) resolve(Number(match[1]));
    };
    owned.child.stdout?.setEncoding('utf8').on('data', read);
    owned.child.stderr?.setEncoding('utf8').on('data', read);
    void owned.exited.then(() => {
      reject(new SetupError(`VS Code's server ended before it listened:\n${output}`));
    });
  });
  return { port, token, output: () => output, process: owned, stop: () => owned.stop('SIGTERM') };
}

export interface WorkbenchTarget {
  readonly folder: string;
  /** The checkout whose extension is loaded for development; none for an installed one. */
  readonly extension?: string;
  /** The module whose `run()` is called in the extension host. */
  readonly extensionTests?: string;
}

/** The workbench's query: which folder it opens, which extension it loads for development, if any. */
export function workbenchQuery(authority: string, target: WorkbenchTarget): URLSearchParams {
  const remote = (path: string) => `vscode-remote://${authority}${path}`;
  const payload = [
    ...(target.extension === undefined
      ? []
      : [['extensionDevelopmentPath', remote(target.extension)]]),
    ...(target.extensionTests === undefined
      ? []
      : [['extensionTestsPath', remote(target.extensionTests)]]),
    ['skipWelcome', 'true'],
  ];
  return new URLSearchParams({ folder: target.folder, payload: JSON.stringify(payload) });
}

/** Settings that keep the workbench quiet: nothing opens, nothing is fetched, nothing is offered. */
export const quietSettings: Readonly<Record<string, unknown>> = {
  'chat.disableAIFeatures': true,
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'telemetry.telemetryLevel': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'update.mode': 'none',
  'git.enabled': false,
};
