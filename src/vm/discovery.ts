import path from 'node:path';
import { listPids, readCwd, readProcess } from './process';
import { readOptions } from './qemuOptions';
import type { QemuProcess } from './types';

/** A running QEMU and the QMP sockets that its command line names. */
export interface DiscoveredQemu {
  readonly process: QemuProcess;
  /** `-name`, without its options. */
  readonly name: string | undefined;
  /** Absolute paths of its QMP UNIX sockets, in the order of the command line. Never empty. */
  readonly sockets: readonly string[];
}

/**
 * Looks through `/proc/PID/cmdline` for QEMUs with a QMP monitor on a UNIX socket.
 * Processes whose files we may not read are left out.
 */
export async function discoverQemus(
  options: { readonly procRoot?: string } = {},
): Promise<readonly DiscoveredQemu[]> {
  const procRoot = options.procRoot ?? '/proc';
  const found = await Promise.all(
    (await listPids(procRoot)).map(async (pid) => {
      const process = await readProcess(pid, procRoot);
      if (process === undefined || !looksLikeQemu(process)) return [];
      const cwd = await readCwd(pid, procRoot);
      const { name, sockets } = readQmpOptions(process.args);
      const absolute = sockets.map((socket) => path.resolve(cwd, socket));
      return absolute.length === 0 ? [] : [{ process, name, sockets: absolute }];
    }),
  );
  return found.flat().sort((a, b) => a.process.pid - b.process.pid);
}

export function looksLikeQemu(process: QemuProcess): boolean {
  const program = path.basename(process.executable ?? process.args[0] ?? '');
  const argument = path.basename(process.args[0] ?? '');
  return /^(qemu-system-|qemu-kvm)/.test(program) || /^(qemu-system-|qemu-kvm)/.test(argument);
}

/**
 * The monitors' part of a QEMU command line: `-qmp unix:PATH`, `-qmp-pretty`, and `-mon` with
 * `mode=control` on a `-chardev socket,path=`; `-name`.
 */
export function readQmpOptions(args: readonly string[]): {
  readonly name: string | undefined;
  readonly sockets: readonly string[];
} {
  const sockets: string[] = [];
  const chardevPaths = new Map<string, string>();
  const controlChardevs: string[] = [];
  let name: string | undefined;
  args.forEach((argument, index) => {
    const value = args[index + 1];
    if (value === undefined || !argument.startsWith('-')) return;
    switch (argument.replace(/^--?/, '')) {
      case 'qmp':
      case 'qmp-pretty': {
        if (value.startsWith('chardev:')) controlChardevs.push(value.slice('chardev:'.length));
        if (!value.startsWith('unix:')) return;
        const { first, options } = readOptions(value.slice('unix:'.length));
        const socketPath = first ?? options.get('path');
        if (socketPath !== undefined && isFileServer(options)) sockets.push(socketPath);
        return;
      }
      case 'chardev': {
        const { first, options } = readOptions(value);
        const id = options.get('id');
        const socketPath = options.get('path');
        const isSocket = (first ?? options.get('backend')) === 'socket';
        if (isSocket && id !== undefined && socketPath !== undefined && isFileServer(options)) {
          chardevPaths.set(id, socketPath);
        }
        return;
      }
      case 'mon': {
        const { first, options } = readOptions(value);
        const chardev = options.get('chardev') ?? first;
        if (options.get('mode') === 'control' && chardev !== undefined) {
          controlChardevs.push(chardev);
        }
        return;
      }
      case 'name': {
        const { first, options } = readOptions(value);
        name = options.get('guest') ?? first;
        return;
      }
      default:
        return;
    }
  });
  for (const id of controlChardevs) {
    const socketPath = chardevPaths.get(id);
    if (socketPath !== undefined) sockets.push(socketPath);
  }
  return { name, sockets: [...new Set(sockets)] };
}

/** QEMU listens, and on a path of the file system: an abstract name is none. */
function isFileServer(options: ReadonlyMap<string, string>): boolean {
  return isOn(options.get('server')) && !isOn(options.get('abstract'));
}

/** The words that QEMU takes for "on" (`qapi_bool_parse`). */
function isOn(value: string | undefined): boolean {
  return value !== undefined && ['on', 'yes', 'true', 'y'].includes(value);
}
