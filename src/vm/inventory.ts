import * as z from 'zod/mini';
import type { QmpConnection } from '../qmp/connection';
import { QmpError } from '../qmp/errors';
import { isObject, parseJson, type JsonValue } from '../qmp/json';
import { readPlaces, type PlacedDevice } from './places';
import { qomGet, qomList } from './queries';

/** The virtual CPUs (QAPI `query-cpus-fast`). */
export interface CpuFacts {
  readonly count: number;
  /** QOM type of the first one without its architecture, such as `qemu64`. */
  readonly model: string | undefined;
}

/** A device on the first PCI bus (QAPI `query-pci`), those of the machine itself included. */
export interface PciFunction {
  /** `SLOT.FUNCTION` in hexadecimal, such as `02.0`. */
  readonly address: string;
  /** Vendor and device, such as `1af4:1041`. */
  readonly pciId: string;
  /** The id that the user gave; `undefined`: none. */
  readonly deviceId: string | undefined;
}

/** A drive with its medium (QAPI `query-block`). */
export interface DiskFacts {
  /** QOM path of the device that the guest sees; `undefined`: none has it. */
  readonly device: string | undefined;
  readonly nodeName: string | undefined;
  /** The id given with `-drive`; `undefined` with `-blockdev`. */
  readonly driveId: string | undefined;
  /** The image as QEMU names it, perhaps relative; `undefined` where it is no file. */
  readonly file: string | undefined;
  readonly driver: string;
  readonly readOnly: boolean;
  /** What the guest sees, in bytes. */
  readonly virtualBytes: number | bigint;
  /** `cache.direct`: past the page cache of the host. */
  readonly direct: boolean;
  /** `cache.no-flush`: the guest's flushes are ignored. */
  readonly noFlush: boolean;
}

/** A memory backend (QAPI `query-memdev`). */
export interface MemoryBackend {
  readonly id: string;
  readonly bytes: number | bigint;
  readonly shared: boolean;
  /** `mem-path` of a `memory-backend-file`. */
  readonly path: string | undefined;
  /** `hugetlb` of a `memory-backend-memfd`: from the pool of huge pages. */
  readonly hugePages: boolean;
}

/**
 * What a machine is made of, as far as its QEMU tells: a part that it refuses, or answers in an
 * unknown shape, is `undefined`. Read for one look; it is no part of a machine's snapshot.
 */
export interface Inventory {
  readonly cpus: CpuFacts | undefined;
  readonly kvm: boolean | undefined;
  readonly pci: readonly PciFunction[] | undefined;
  readonly devices: readonly PlacedDevice[] | undefined;
  readonly disks: readonly DiskFacts[] | undefined;
  /** Names of block jobs that have not ended. */
  readonly blockJobs: readonly string[] | undefined;
  readonly memory: readonly MemoryBackend[] | undefined;
  /** Id of the backend that is the guest's main memory; it names it in the migration stream. */
  readonly mainMemory: string | undefined;
  /** Ids below `/objects`. */
  readonly objects: readonly string[] | undefined;
  /** Socket paths at which character devices listen. */
  readonly listening: readonly string[] | undefined;
}

export const nothingKnown: Inventory = {
  cpus: undefined,
  kvm: undefined,
  pci: undefined,
  devices: undefined,
  disks: undefined,
  blockJobs: undefined,
  memory: undefined,
  mainMemory: undefined,
  objects: undefined,
  listening: undefined,
};

const integer = z.union([z.number(), z.bigint()]);

const cpusShape = z.array(
  z.looseObject({ 'qom-path': z.string(), 'qom-type': z.optional(z.string()) }),
);
const kvmShape = z.looseObject({ enabled: z.boolean() });
const pciShape = z.array(
  z.looseObject({
    bus: z.number(),
    devices: z.array(
      z.looseObject({
        slot: z.number(),
        function: z.number(),
        qdev_id: z.string(),
        id: z.looseObject({ vendor: z.number(), device: z.number() }),
      }),
    ),
  }),
);
const blockShape = z.array(
  z.looseObject({
    device: z.string(),
    qdev: z.optional(z.string()),
    inserted: z.optional(
      z.looseObject({
        'node-name': z.optional(z.string()),
        file: z.string(),
        drv: z.string(),
        ro: z.boolean(),
        image: z.looseObject({ 'virtual-size': integer }),
        cache: z.looseObject({ direct: z.boolean(), 'no-flush': z.boolean() }),
      }),
    ),
  }),
);
const jobsShape = z.array(z.looseObject({ device: z.string(), type: z.string() }));
const memdevShape = z.array(
  z.looseObject({ id: z.optional(z.string()), size: integer, share: z.optional(z.boolean()) }),
);
const chardevShape = z.array(z.looseObject({ filename: z.string() }));

/**
 * Asks for everything in one burst of queries; changes nothing.
 *
 * @throws {QmpError} only when the connection ends meanwhile
 */
export async function readInventory(connection: QmpConnection): Promise<Inventory> {
  const part = async <T>(answer: Promise<T>): Promise<T | undefined> => {
    try {
      return await answer;
    } catch (error) {
      if (!(error instanceof QmpError) || connection.closeReason !== undefined) throw error;
      return undefined;
    }
  };
  const ask = async <T>(command: string, shape: z.ZodMiniType<T>): Promise<T | undefined> => {
    const result = z.safeParse(shape, await part(connection.execute(command)));
    return result.success ? result.data : undefined;
  };
  const [cpus, kvm, pci, devices, blocks, jobs, memory, main, objects, chardevs] =
    await Promise.all([
      ask('query-cpus-fast', cpusShape).then((answer) => answer && readCpus(connection, answer)),
      ask('query-kvm', kvmShape),
      ask('query-pci', pciShape),
      part(readPlaces(connection)),
      ask('query-block', blockShape),
      ask('query-block-jobs', jobsShape),
      ask('query-memdev', memdevShape).then((answer) => answer && readMemory(connection, answer)),
      part(qomGet(connection, '/machine', 'memory-backend')),
      part(qomList(connection, '/objects')),
      ask('query-chardev', chardevShape),
    ]);
  return {
    cpus,
    kvm: kvm?.enabled,
    pci: pci?.find(({ bus }) => bus === 0)?.devices.map(asPciFunction),
    devices,
    disks: blocks?.flatMap(asDisk),
    blockJobs: jobs?.map(({ type, device }) => `${type} of ${device}`),
    memory,
    // QEMUs tell it as a path or as a bare id.
    mainMemory: typeof main === 'string' ? main.split('/').at(-1) || undefined : undefined,
    objects: objects?.filter(({ type }) => type.startsWith('child<')).map(({ name }) => name),
    listening: chardevs?.flatMap(({ filename }) => socketPath(filename) ?? []),
  };
}

async function readCpus(
  connection: QmpConnection,
  cpus: z.infer<typeof cpusShape>,
): Promise<CpuFacts> {
  const [first] = cpus;
  const type =
    first && (first['qom-type'] ?? (await qomGet(connection, first['qom-path'], 'type')));
  // qemu64-x86_64-cpu: the model, the architecture, the kind.
  const model = typeof type === 'string' ? type.replace(/-[^-]+-cpu$/, '') : undefined;
  return { count: cpus.length, model };
}

function asPciFunction(device: z.infer<typeof pciShape>[number]['devices'][number]): PciFunction {
  const { slot, id, qdev_id: deviceId } = device;
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  return {
    address: `${hex(slot, 2)}.${device.function}`,
    pciId: `${hex(id.vendor, 4)}:${hex(id.device, 4)}`,
    deviceId: deviceId === '' ? undefined : deviceId,
  };
}

function asDisk({
  device,
  qdev,
  inserted,
}: z.infer<typeof blockShape>[number]): readonly DiskFacts[] {
  if (inserted === undefined) return [];
  return [
    {
      device: qdev === undefined || qdev === '' ? undefined : qdev,
      nodeName: inserted['node-name'],
      driveId: device === '' ? undefined : device,
      file: imageFile(inserted.file),
      driver: inserted.drv,
      readOnly: inserted.ro,
      virtualBytes: inserted.image['virtual-size'],
      direct: inserted.cache.direct,
      noFlush: inserted.cache['no-flush'],
    },
  ];
}

/** The file behind QEMU's name for an image, which may be a path, a URL or `json:{...}`. */
function imageFile(name: string): string | undefined {
  if (!name.startsWith('json:')) {
    return name === '' || /^[a-z][\w+-]*:/i.test(name) ? undefined : name;
  }
  try {
    return fileIn(parseJson(name.slice('json:'.length)));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function fileIn(options: JsonValue | undefined): string | undefined {
  if (!isObject(options)) return undefined;
  for (const name of ['filename', 'file.filename']) {
    const value = options[name];
    if (typeof value === 'string') return value;
  }
  return fileIn(options['file']);
}

async function readMemory(
  connection: QmpConnection,
  backends: z.infer<typeof memdevShape>,
): Promise<readonly MemoryBackend[]> {
  const read = async ({
    id,
    size,
    share,
  }: (typeof backends)[number]): Promise<readonly MemoryBackend[]> => {
    if (id === undefined) return [];
    const [path, huge] = await Promise.all(
      ['mem-path', 'hugetlb'].map((property) => qomGet(connection, `/objects/${id}`, property)),
    );
    return [
      {
        id,
        bytes: size,
        shared: share === true,
        path: typeof path === 'string' ? path : undefined,
        hugePages: huge === true,
      },
    ];
  };
  return (await Promise.all(backends.map(read))).flat();
}

/** The path at which `unix:PATH,server=on` listens, connected or not. */
function socketPath(filename: string): string | undefined {
  return /^(?:disconnected:)?unix:(.+?),server(?:=on|,|$)/.exec(filename)?.[1];
}
