import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { findProgram } from '../lib/packages';
import { root } from '../lib/paths';
import { provisionQemu, qemuVersions, systemQemu, type QemuVersionName } from '../lib/qemu';
import { startSandbox, type Sandbox } from '../lib/sandbox';
import { buildExtension, buildHelper, prepareQemu, prepareVscode } from '../lib/setup';
import { say, SetupError } from '../lib/steps';
import { startVscodeServer } from '../lib/vscodeServer';
import { migrateHeadless } from './headless';
import { openDoor } from './proxy';

const help = `Usage: npm start [-- OPTION...]

Sets up everything, starts a sandbox of two small QEMUs, and opens VS Code with the extension and the sandbox:
the desktop's where there is one, else in the browser at the address that it prints. Ctrl-C ends it all.

  --headless       migrate the sandbox's guest in the terminal, check it from outside, and end
  --browser        use the browser even where a desktop VS Code is installed
  --port PORT      port of the browser's address (default: a free one)
  --qemu VERSION   ${qemuVersions.join(', ')} (fetched from Debian) or system (the one on PATH); default 11.1
  --help           this
`;

interface Options {
  readonly headless: boolean;
  readonly browser: boolean;
  readonly port: number;
  readonly qemu: QemuVersionName | 'system';
}

function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h' },
      headless: { type: 'boolean', default: false },
      browser: { type: 'boolean', default: false },
      port: { type: 'string', default: '0' },
      qemu: { type: 'string', default: '11.1' },
    },
  });
  if (values.help) return undefined;
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new SetupError(`--port takes a number up to 65535, not ${values.port}.`);
  }
  const names: readonly string[] = [...qemuVersions, 'system'];
  if (!names.includes(values.qemu)) {
    throw new SetupError(`--qemu takes one of ${names.join(', ')}, not ${values.qemu}.`);
  }
  const qemu = values.qemu as Options['qemu'];
  return { headless: values.headless, browser: values.browser, port, qemu };
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(help);
    return 0;
  }
  const desktop = options.headless || options.browser ? undefined : findDesktop();
  say('Building helper and extension', 'what VS Code and the command line run');
  await buildHelper();
  await buildExtension();
  await prepareQemu(options.qemu === 'system' ? [] : [options.qemu]);
  if (!options.headless && desktop === undefined) await prepareVscode({ browser: false });
  const build = options.qemu === 'system' ? await systemQemu() : await provisionQemu(options.qemu);
  const sandbox = await startSandbox(build);
  const { source, target } = sandbox;
  say(
    `Started two QEMU ${build.version} as a sandbox in ${sandbox.directory}`,
    `pids ${source.pid}, ${target.pid}`,
  );
  const interrupted = new Promise<number>((resolve) => {
    process.once('SIGINT', () => {
      resolve(130);
    });
    process.once('SIGTERM', () => {
      resolve(143);
    });
  });
  try {
    const work = options.headless
      ? migrateHeadless(sandbox)
      : desktop === undefined
        ? openInBrowser(sandbox, options.port)
        : openOnDesktop(desktop, sandbox);
    return await Promise.race([work, interrupted]);
  } finally {
    await sandbox.stop();
    say('Ended the sandbox');
  }
}

/** A desktop's `code`; the terminal's remote one (in a container or over SSH) opens folders, but no extension. */
function findDesktop(): string | undefined {
  const hasDisplay =
    process.env['DISPLAY'] !== undefined || process.env['WAYLAND_DISPLAY'] !== undefined;
  return hasDisplay ? findProgram(['code', 'code-insiders', 'codium']) : undefined;
}

async function openOnDesktop(code: string, sandbox: Sandbox): Promise<number> {
  say(`Opening ${code}`, 'close its window or press Ctrl-C here to end the sandbox');
  // `--wait` ends when the window is closed. A process of the desktop's, not ours to kill.
  const args = ['--new-window', '--wait', `--extensionDevelopmentPath=${root}`, sandbox.folder];
  const child = spawn(code, args, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status) => {
      resolve(status ?? 1);
    });
  });
}

async function openInBrowser(sandbox: Sandbox, port: number): Promise<number> {
  const server = await startVscodeServer({ directory: sandbox.directory, installed: root });
  const { address, door } = await openDoor(server, { folder: sandbox.folder }, port);
  process.stdout.write(`\nOpen ${address}\nCtrl-C here ends it.\n\n`);
  const { code, signal } = await server.process.exited;
  door.close();
  // Without a code it was ended by a signal: ours.
  if (signal === null && code !== 0)
    process.stderr.write(`VS Code's server ended:\n${server.output()}`);
  return code ?? 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const known = error instanceof SetupError || error instanceof TypeError;
    const text = error instanceof Error ? (known ? error.message : error.stack) : String(error);
    process.stderr.write(`${text ?? ''}\n`);
    process.exit(1);
  },
);
