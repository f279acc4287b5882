import { readdir, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { defaultProcRoot, readText } from './process';

/** An open descriptor of a process, as `/proc/PID/fd` and `/proc/PID/fdinfo` tell. */
export interface Descriptor {
  readonly fd: number;
  /** What it is open on: a path, `socket:[N]`, ... */
  readonly target: string;
  /** Another program does not get it. */
  readonly closesOnExec: boolean;
  /** It is a queue of this TAP. */
  readonly tap: string | undefined;
  /** Device and inode: the same for two descriptors of one file; `undefined`: we may not look. */
  readonly identity?: string | undefined;
}

/** `O_CLOEXEC` as `/proc/PID/fdinfo` shows it, on all architectures that QEMU's KVM hosts have. */
const closeOnExec = 0o2000000;

/** By number; `undefined` when they are not ours to look at. */
export async function readDescriptors(
  pid: number,
  procRoot = defaultProcRoot,
): Promise<readonly Descriptor[] | undefined> {
  const directory = path.join(procRoot, String(pid));
  let names: readonly string[];
  try {
    names = await readdir(path.join(directory, 'fd'));
  } catch {
    return undefined;
  }
  const read = async (name: string): Promise<readonly Descriptor[]> => {
    const link = path.join(directory, 'fd', name);
    const info = await readText(path.join(directory, 'fdinfo', name));
    const [target, found] = await Promise.all([
      readlink(link).catch(() => undefined),
      stat(link).catch(() => undefined),
    ]);
    const flags = /^flags:\s*([0-7]+)/m.exec(info)?.[1];
    if (target === undefined || flags === undefined) return [];
    const closesOnExec = (Number.parseInt(flags, 8) & closeOnExec) !== 0;
    const tap = /^iff:\s*(\S+)/m.exec(info)?.[1];
    const identity = found && `${found.dev}:${found.ino}`;
    return [{ fd: Number(name), target, closesOnExec, tap, identity }];
  };
  const all = (await Promise.all(names.map(read))).flat();
  return all.sort((a, b) => a.fd - b.fd);
}
