import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { requireTools, tools } from './packages';
import { cacheDirectory, root } from './paths';
import { isStamped, run, say, SetupError, withLock, writeWhole } from './steps';

/** A Linux that answers pings on a virtio NIC and shows that it lives (see test/support/linux/init.c). */
export interface LinuxGuest {
  readonly kernel: string;
  readonly initrd: string;
  /** Watches it from the host's side (see test/support/linux/netwatch.c). */
  readonly netwatch: string;
}

/** The addresses of the guest and of its host; a test has a network namespace of its own. */
export const linuxAddresses = { guest: '10.77.0.2', host: '10.77.0.1' } as const;

const sources = join(root, 'test', 'support', 'linux');

/** Debian's kernel for virtual machines, with the drivers that the guest needs in the order of their needs. */
const kernelPackage = 'linux-image-cloud-amd64';
const modules = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
  ...['failover', 'net_failover', 'virtio_net', 'vmxnet3'],
];

/** Fetches the kernel, compiles init and watcher, packs the initramfs; all of it into the cache, once. */
export async function provisionLinuxGuest(): Promise<LinuxGuest> {
  const directory = join(cacheDirectory, 'linux');
  const guest = {
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd'),
    netwatch: join(directory, 'netwatch'),
  };
  const hash = createHash('sha256').update(await readFile(join(root, 'scripts/lib/linuxGuest.ts')));
  for (const name of ['init.c', 'netwatch.c']) hash.update(await readFile(join(sources, name)));
  const content = hash.digest('hex');
  const stamp = join(directory, 'stamp');
  if (await isStamped(stamp, content)) return guest;
  await mkdir(directory, { recursive: true });
  await withLock(join(directory, 'lock'), async () => {
    if (await isStamped(stamp, content)) return;
    say('Making the Linux guest', 'pings through a live update need a guest that answers them');
    await requireTools([tools.compiler, tools.libc, tools.musl]);
    const unpacked = join(directory, 'package');
    await unpackKernel(unpacked);
    const boot = join(unpacked, 'boot');
    const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
    if (image === undefined) throw new SetupError(`${kernelPackage} has no kernel in boot/.`);
    const warnings = ['-O2', '-Wall', '-Wextra', '-Werror'];
    const init = join(directory, 'init');
    await run('musl-gcc', ['-static', ...warnings, '-o', init, join(sources, 'init.c')]);
    await run('gcc', [...warnings, '-o', guest.netwatch, join(sources, 'netwatch.c')]);
    const entries: CpioEntry[] = [
      { path: 'dev', mode: 0o40755 },
      { path: 'modules', mode: 0o40755 },
      { path: 'init', mode: 0o100755, content: await readFile(init) },
    ];
    const files = await readdir(unpacked, { recursive: true });
    for (const module of modules) {
      const found = files.find((file) => basename(file) === `${module}.ko`);
      if (found === undefined) throw new SetupError(`${kernelPackage} has no ${module}.ko.`);
      const moduleContent = await readFile(join(unpacked, found));
      entries.push({ path: `modules/${module}.ko`, mode: 0o100644, content: moduleContent });
    }
    await writeFile(guest.initrd, gzipSync(cpio(entries)));
    await rename(join(boot, image), guest.kernel);
    await rm(unpacked, { recursive: true });
    await writeWhole(stamp, content);
  });
  return guest;
}

/** Downloads the package that the metapackage stands for, and unpacks it; nothing is installed. */
async function unpackKernel(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const depends = await run('apt-cache', ['depends', kernelPackage]);
  const actual = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (actual === undefined) throw new SetupError(`apt knows no ${kernelPackage}:\n${depends}`);
  const options = ['-q', '-o', 'APT::Sandbox::User='];
  await run('apt-get', [...options, 'download', actual], { cwd: directory });
  const archive = (await readdir(directory)).find((name) => name.endsWith('.deb'));
  await run('dpkg-deb', ['-x', join(directory, archive ?? ''), directory]);
}

interface CpioEntry {
  readonly path: string;
  readonly mode: number;
  readonly content?: Buffer;
}

/** An archive in the `newc` format, which is what the kernel unpacks. */
function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  const all: readonly CpioEntry[] = [...entries, { path: 'TRAILER!!!', mode: 0 }];
  for (const [index, entry] of all.entries()) {
    const content = entry.content ?? Buffer.alloc(0);
    const name = Buffer.from(`${entry.path}\0`);
    // inode, mode, uid, gid, links, mtime, size, device (two), special device (two), length of the name, checksum
    const fields = [index + 1, entry.mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const numbers = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    const header = Buffer.concat([Buffer.from(`070701${numbers}`), name]);
    parts.push(padded(header), padded(content));
  }
  return Buffer.concat(parts);
}

function padded(buffer: Buffer): Buffer {
  return Buffer.concat([buffer, Buffer.alloc((4 - (buffer.length % 4)) % 4)]);
}
