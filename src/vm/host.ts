import { stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { defaultProcRoot, readCwd, readText, realPath } from './process';
import type { QemuProcess } from './types';

/** What this host tells; a part that it does not is `undefined`. Sizes in bytes. */
export interface HostFacts {
  /** `MemAvailable`: what can be used without swapping. */
  readonly availableBytes: number | undefined;
  /** Whether any process may handle page faults of its own, as postcopy does. */
  readonly anyUserfaultfd: boolean | undefined;
}

/** What `/proc` tells of one QEMU beyond its identity. */
export interface ProcessUse {
  /** Memory of its own that is in RAM now, in bytes; pages of files are left out. */
  readonly residentBytes: number | undefined;
  /** RLIMIT_MEMLOCK, the soft limit, in bytes. */
  readonly memlockBytes: number | 'unlimited' | undefined;
}

/** A disk image as the file system knows it. */
export interface ImageFile {
  /** Absolute, as its QEMU sees it. */
  readonly path: string;
  /** The same for two names of one file. */
  readonly identity: string;
  /** Whether another host may see it too; `undefined` when we may not look. */
  readonly network: boolean | undefined;
}

export async function readHost(procRoot = defaultProcRoot): Promise<HostFacts> {
  const [memory, userfaultfd] = await Promise.all([
    readText(path.join(procRoot, 'meminfo')),
    readText(path.join(procRoot, 'sys/vm/unprivileged_userfaultfd')),
  ]);
  const allowed = userfaultfd.trim();
  return {
    availableBytes: kibibytes(memory, 'MemAvailable'),
    anyUserfaultfd: allowed === '' ? undefined : allowed === '1',
  };
}

export async function readProcessUse(pid: number, procRoot = defaultProcRoot): Promise<ProcessUse> {
  const directory = path.join(procRoot, String(pid));
  const [status, limits] = await Promise.all([
    readText(path.join(directory, 'status')),
    readText(path.join(directory, 'limits')),
  ]);
  const anonymous = kibibytes(status, 'RssAnon');
  const shared = kibibytes(status, 'RssShmem');
  return {
    residentBytes: anonymous === undefined || shared === undefined ? undefined : anonymous + shared,
    memlockBytes: softLimit(limits, 'Max locked memory'),
  };
}

/** Lines such as `MemAvailable:    8012345 kB`. */
function kibibytes(text: string, name: string): number | undefined {
  const value = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1];
  return value === undefined ? undefined : Number(value) * 1024;
}

/** Lines such as `Max locked memory   65536   65536   bytes`. */
function softLimit(text: string, name: string): number | 'unlimited' | undefined {
  const value = new RegExp(`^${name}\\s+(\\d+|unlimited)`, 'm').exec(text)?.[1];
  if (value === undefined || value === 'unlimited') return value;
  return Number(value);
}

const hugetlbfs = 0x958458f6;

/** `f_type` of NFS, SMB, CIFS, SMB2, Ceph, GFS2, OCFS2 and 9P. */
const networkFileSystems: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x00c36400, 0x01161970, 0x7461636f, 0x01021997,
]);

/** Whether what is at `file` comes from the pool of huge pages, which is not available memory. */
export async function isOnHugePages(file: string): Promise<boolean> {
  const system = await statfs(file).catch(() => undefined);
  return system?.type === hugetlbfs;
}

/** The file that a QEMU opened under this name. */
export async function findImage(
  file: string,
  process: Pick<QemuProcess, 'pid'> | undefined,
  procRoot = defaultProcRoot,
): Promise<ImageFile> {
  const cwd =
    process === undefined || path.isAbsolute(file) ? '/' : await readCwd(process.pid, procRoot);
  const seen = path.resolve(cwd, file);
  // As its process sees it, which may have a root of its own; for us where that is not allowed.
  const within =
    process === undefined ? seen : path.join(procRoot, String(process.pid), 'root', seen);
  for (const place of new Set([within, seen])) {
    const found = await stat(place).catch(() => undefined);
    if (found === undefined) continue;
    const system = await statfs(place).catch(() => undefined);
    return {
      path: seen,
      identity: `${found.dev}:${found.ino}`,
      network: system && networkFileSystems.has(system.type),
    };
  }
  return { path: seen, identity: await realPath(seen), network: undefined };
}
