import type { ImageFile } from '../../vm/host';
import type { DiskFacts } from '../../vm/inventory';
import { givenOptions, readOptions } from '../../vm/qemuOptions';
import { formatBytes } from '../settings/units';
import { sameValue } from '../settings/values';
import type { Finding, PreflightInput, PreflightSide } from './types';

/** What is behind the guest's disks: QEMU compares nothing of it. */
export function diskFindings({ source, target }: PreflightInput): readonly Finding[] {
  const there = new Map(
    target.inventory.disks?.map((disk) => [keyOf(disk, target), disk] as const),
  );
  return (source.inventory.disks ?? []).flatMap((disk) => {
    const name = keyOf(disk, source);
    const other = there.get(name);
    return [
      ...cacheFindings(name, disk, source),
      ...lockFindings(name, disk, source, 'source'),
      ...(other === undefined
        ? []
        : [
            ...lockFindings(name, other, target, 'target'),
            ...fileFinding({ name, disk, other, source, target }),
            ...sizeFinding(name, disk, other),
            ...readOnlyFinding(name, disk, other),
          ]),
    ];
  });
}

/** The same for the same disk of the other side: its place, else its id, else QEMU's name. */
function keyOf(disk: DiskFacts, { inventory }: PreflightSide): string {
  const device = deviceOf(disk, inventory.devices);
  if (device === undefined) return disk.device ?? disk.nodeName ?? 'a disk without a name';
  return device.named ? device.id : `${device.driver} at ${device.place ?? device.id}`;
}

function deviceOf<T extends { readonly path: string }>(
  { device }: DiskFacts,
  devices: readonly T[] | undefined,
): T | undefined {
  return devices?.find(({ path }) => device === path || device?.startsWith(`${path}/`));
}

interface BothDisks {
  readonly name: string;
  readonly disk: DiskFacts;
  readonly other: DiskFacts;
  readonly source: PreflightSide;
  readonly target: PreflightSide;
}

function fileFinding({ name, disk, other, source, target }: BothDisks): readonly Finding[] {
  const here = disk.file === undefined ? undefined : source.images.get(disk.file);
  const there = other.file === undefined ? undefined : target.images.get(other.file);
  if (here === undefined && there === undefined) return [];
  if (here !== undefined && there !== undefined && isSameFile(here, there)) return [];
  const say = (image: ImageFile | undefined, { driver }: DiskFacts): string =>
    image?.path ?? `no file (${driver})`;
  return [
    {
      id: 'disk-file',
      subject: name,
      level: 'warns',
      side: 'target',
      what: `The disk ${name} is ${say(here, disk)} on the source and ${say(there, other)} on the target.`,
      why: 'QEMU does not compare disks: from the switchover on the guest reads and writes the other one, and destroys its file systems where the contents differ.',
      nextStep: 'Start the target with the same image, unless the two are copies that stay equal.',
    },
  ];
}

function isSameFile(one: ImageFile, other: ImageFile): boolean {
  return one.identity === other.identity || one.path === other.path;
}

function sizeFinding(name: string, disk: DiskFacts, other: DiskFacts): readonly Finding[] {
  if (sameValue(disk.virtualBytes, other.virtualBytes)) return [];
  return [
    {
      id: 'disk-size',
      subject: name,
      level: 'warns',
      side: 'target',
      what: `The disk ${name} has ${formatBytes(disk.virtualBytes)} on the source and ${formatBytes(other.virtualBytes)} on the target.`,
      why: 'QEMU does not compare them: the guest gets errors, or another disk, at the end of it.',
      nextStep: 'Start the target with an image of the same size.',
    },
  ];
}

function readOnlyFinding(name: string, disk: DiskFacts, other: DiskFacts): readonly Finding[] {
  if (disk.readOnly === other.readOnly) return [];
  return [
    {
      id: 'disk-read-only',
      subject: name,
      level: 'warns',
      side: 'target',
      what: `The disk ${name} is ${disk.readOnly ? 'read-only on the source and writable' : 'writable on the source and read-only'} on the target.`,
      why: disk.readOnly
        ? 'The target may refuse the state of the device, and nothing keeps the guest from writing there any more.'
        : 'What the guest writes after the switchover fails.',
      nextStep: `Start the target with "${disk.readOnly ? 'readonly=on' : 'readonly=off'}" for it.`,
    },
  ];
}

/** Both QEMUs are on one host, and see one page cache: nothing is stale, whatever the mode. */
function cacheFindings(name: string, disk: DiskFacts, side: PreflightSide): readonly Finding[] {
  if (disk.readOnly || disk.file === undefined) return [];
  const common = { id: 'disk-cache', subject: name, level: 'tells', side: 'source' } as const;
  if (disk.noFlush) {
    return [
      {
        ...common,
        what: `The disk ${name} ignores the guest's flushes (cache.no-flush).`,
        why: 'For a migration on one host that is no danger; with a crash of the host the guest loses data that it takes for written.',
        nextStep: 'Nothing for this migration.',
      },
    ];
  }
  if (disk.direct || side.images.get(disk.file)?.network !== true) return [];
  return [
    {
      ...common,
      what: `The disk ${name} is on a network file system and goes through the page cache (cache.direct is off).`,
      why: 'For a migration on one host that is no danger; a migration to another host could read old data.',
      nextStep: 'Use "cache=none" before it moves to another host.',
    },
  ];
}

function lockFindings(
  name: string,
  disk: DiskFacts,
  side: PreflightSide,
  role: 'source' | 'target',
): readonly Finding[] {
  if (disk.readOnly || disk.file === undefined) return [];
  const option = unlockedBy(disk, side);
  if (option === undefined) return [];
  return [
    {
      id: 'disk-lock',
      subject: `${name} (${role})`,
      level: 'warns',
      side: role,
      what: `The image of ${name} is not locked by ${side.snapshot.label} (${option}).`,
      why: 'QEMU relies on the lock to refuse a second writer. Without it nothing keeps a guest that is continued on both sides from destroying the disk.',
      nextStep: `Start it without "${option}", and quit the source as soon as the migration has completed.`,
    },
  ];
}

/** The option that does without the lock; only the command line and the device tell. */
function unlockedBy(disk: DiskFacts, { inventory, snapshot }: PreflightSide): string | undefined {
  if (deviceOf(disk, inventory.devices)?.sharesWriting === true) return 'share-rw=on';
  const args = snapshot.process?.args ?? [];
  const off = givenFor(disk, args).some((option) => /locking"?\s*[=:]\s*"?off/.test(option));
  return off ? 'locking=off' : undefined;
}

/** The options that the disk was made of: by the drive's id, which not every drive was given. */
function givenFor(disk: DiskFacts, args: readonly string[]): readonly string[] {
  const drives = givenOptions(args, 'drive');
  const own = drives.filter(
    (option) => readOptions(option).options.get('id') === (disk.driveId ?? ''),
  );
  if (own.length > 0) return own;
  return [...drives, ...givenOptions(args, 'blockdev')].filter((option) => names(option, disk));
}

/** Whether an option speaks of the disk's image or node. */
function names(option: string, { file, nodeName }: DiskFacts): boolean {
  return [file, file?.replaceAll(',', ',,'), nodeName].some(
    (name) => name !== undefined && option.includes(name),
  );
}
