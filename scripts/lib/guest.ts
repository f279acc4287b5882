import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory, root } from './paths';
import { isStamped, run, say, withLock, writeWhole } from './steps';

/** `dirtying` always converges; `fast-dirtying` never does at 100 MiB/s. */
export type GuestVariant = 'dirtying' | 'fast-dirtying';

const variants: Record<GuestVariant, { start: number; end: number; delay: number }> = {
  dirtying: { start: 0x100000, end: 0x900000, delay: 20_000_000 },
  'fast-dirtying': { start: 0x100000, end: 0xc100000, delay: 64 },
};

/** Where the guest keeps what a reader needs (see test/support/guest/boot.s). */
export const guestAddresses = { rounds: 0x600, start: 0x604, end: 0x608 } as const;

/** Assembles the boot sectors into the cache and returns the disk image of the variant. */
export async function provisionGuest(variant: GuestVariant): Promise<string> {
  const directory = join(cacheDirectory, 'guest');
  const image = (name: GuestVariant) => join(directory, `${name}.img`);
  const source = join(root, 'test', 'support', 'guest', 'boot.s');
  const stamp = join(directory, 'stamp');
  const content = createHash('sha256')
    .update(await readFile(source))
    .update(JSON.stringify(variants))
    .digest('hex');
  if (await isStamped(stamp, content)) return image(variant);
  await mkdir(directory, { recursive: true });
  await withLock(join(directory, 'lock'), async () => {
    if (await isStamped(stamp, content)) return;
    say(
      'Assembling the test guest',
      'a boot sector that dirties memory, so that migrations move something',
    );
    for (const [name, { start, end, delay }] of Object.entries(variants)) {
      const object = join(directory, `${name}.o`);
      const raw = join(directory, `${name}.raw`);
      const symbols = Object.entries({ START: start, END: end, DELAY: delay });
      await run('as', [
        '--32',
        ...symbols.flatMap(([key, value]) => ['--defsym', `${key}=${value}`]),
        ...['-o', object, source],
      ]);
      await run('ld', [
        '-m',
        'elf_i386',
        '-Ttext',
        '0x7c00',
        '--oformat',
        'binary',
        '-o',
        raw,
        object,
      ]);
      // SeaBIOS does not boot a virtio disk of a single sector.
      await truncate(raw, 4 * 1024 * 1024);
      await rename(raw, image(name as GuestVariant));
    }
    await writeWhole(stamp, content);
  });
  return image(variant);
}
