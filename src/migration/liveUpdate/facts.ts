import { open } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod/mini';
import { QmpError } from '../../qmp/errors';
import type { JsonObject } from '../../qmp/json';
import type { QmpConnection } from '../../qmp/connection';
import { readDescriptors, type Descriptor } from '../../vm/descriptors';
import { asOptions, readDeviceOptions } from '../../vm/deviceOptions';
import { readHost, type HostFacts } from '../../vm/host';
import { matchTaps, type TapNetdevs } from '../../vm/netdevQueues';
import { defaultProcRoot, readProcess } from '../../vm/process';
import { readProcessContext, whyNotTraceable, type ProcessContext } from '../../vm/processContext';
import { givenOptions } from '../../vm/qemuOptions';
import { qomGet, queryNetworkLines } from '../../vm/queries';
import type { MachineHandle, QemuProcess } from '../../vm/types';
import { readSide } from '../preflight/preflight';
import type { PreflightSide } from '../preflight/types';
import { givenOption } from '../settings/backendTransfer';
import type { LiveDevice, LiveParts } from './commandLineTypes';

/** A NIC of the source with its back end. */
export interface NicFacts {
  readonly device: string;
  readonly netdev: string;
  /** Arguments of `device_add` that make the same one; `undefined`: it cannot be told. */
  readonly args: JsonObject | undefined;
}

/** Everything about the machine that is to be updated. */
export interface SourceFacts {
  readonly side: PreflightSide;
  /** Read anew: another program may run in the same process since it was found. */
  readonly process: QemuProcess;
  readonly context: ProcessContext;
  /** `undefined`: we may not see them. */
  readonly descriptors: readonly Descriptor[] | undefined;
  /** Why its descriptors cannot be duplicated, as a sentence; `undefined`: they can. */
  readonly notTraceable: string | undefined;
  readonly taps: TapNetdevs;
  readonly nics: readonly NicFacts[];
  readonly live: LiveParts;
  /** `query-target`, such as `x86_64`. */
  readonly target: string | undefined;
  readonly auxRamShare: boolean | undefined;
  readonly configFiles: ReadonlyMap<string, string>;
  readonly host: HostFacts;
}

/** The process behind the machine cannot be told, or has ended. */
export class SourceUnknownError extends Error {
  override readonly name = 'SourceUnknownError';
  readonly label: string;

  constructor(label: string) {
    super(`Which process ${label} is cannot be told from here.`);
    this.label = label;
  }
}

const labelsShape = z.array(z.looseObject({ label: z.string() }));
const nodesShape = z.array(z.looseObject({ 'node-name': z.optional(z.string()) }));
const targetShape = z.looseObject({ arch: z.string() });

/**
 * Reads it by queries and from `/proc`, in some tens of milliseconds; changes nothing.
 *
 * @throws {SourceUnknownError}
 * @throws {QmpError} the connection ended meanwhile
 * @throws {NotConnectedError}
 */
export async function readSourceFacts(
  machine: MachineHandle,
  procRoot = defaultProcRoot,
): Promise<SourceFacts> {
  const side = await readSide(machine, procRoot);
  const { label, process: known } = side.snapshot;
  const qemu = known && (await readProcess(known.pid, procRoot));
  if (qemu === undefined || qemu.executable === undefined || qemu.args.length === 0) {
    throw new SourceUnknownError(label);
  }
  const connection = machine.connection();
  const ask = <T>(command: string, shape: z.ZodMiniType<T>): Promise<T | undefined> =>
    optional(connection, connection.execute(command)).then(
      (answer) => z.safeParse(shape, answer).data,
    );
  const [context, descriptors, notTraceable, host, lines, chardevs, nodes, target, aux] =
    await Promise.all([
      readProcessContext(qemu.pid, procRoot),
      readDescriptors(qemu.pid, procRoot),
      whyNotTraceable(qemu.pid, procRoot),
      readHost(procRoot),
      queryNetworkLines(connection),
      ask('query-chardev', labelsShape),
      ask('query-named-block-nodes', nodesShape),
      ask('query-target', targetShape),
      qomGet(connection, '/machine', 'aux-ram-share'),
    ]);
  const args = qemu.args.slice(1);
  const [devices, nics, configFiles] = await Promise.all([
    readLiveDevices(connection, side, args),
    readNics(connection, side),
    readConfigFiles(args, qemu.pid, context.cwd ?? '/', procRoot),
  ]);
  const { disks, objects } = side.inventory;
  const blocks =
    nodes === undefined
      ? undefined
      : [...nodes.map((node) => node['node-name']), ...(disks ?? []).map(({ driveId }) => driveId)]
          .filter((name) => name !== undefined)
          .filter((name) => !name.startsWith('#'));
  return {
    ...{ side, process: qemu, context, descriptors, notTraceable, nics, configFiles, host },
    taps: matchTaps(lines, descriptors ?? []),
    live: {
      devices,
      netdevs: backEnds(lines),
      objects,
      chardevs: chardevs?.map((chardev) => chardev.label),
      blocks,
      images: imagesOf(side),
    },
    target: target?.arch,
    auxRamShare: typeof aux === 'boolean' ? aux : undefined,
  };
}

/** The files that the guest's disks are in at this moment; after a snapshot others than at the start. */
function imagesOf({ inventory }: PreflightSide): readonly string[] {
  return (inventory.disks ?? []).flatMap(({ file }) => file ?? []);
}

async function optional<T>(connection: QmpConnection, answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof QmpError) || connection.closeReason !== undefined) throw error;
    return undefined;
  }
}

function backEnds(lines: Awaited<ReturnType<typeof queryNetworkLines>>): LiveParts['netdevs'] {
  const found = new Map<string, string | undefined>();
  for (const { id, options } of lines) {
    const type = options.get('type');
    if (type !== 'nic' && !found.has(id)) found.set(id, type);
  }
  return [...found].map(([id, type]) => ({ id, type }));
}

/** Of those in the command line the command line tells enough. */
async function readLiveDevices(
  connection: QmpConnection,
  { inventory }: PreflightSide,
  args: readonly string[],
): Promise<readonly LiveDevice[] | undefined> {
  if (inventory.devices === undefined) return undefined;
  const read = async (
    device: NonNullable<typeof inventory.devices>[number],
  ): Promise<LiveDevice> => {
    const { id, driver, path: place } = device;
    if (givenOption(args, 'device', id) !== undefined) return { id, driver, options: undefined };
    const options = await optional(
      connection,
      readDeviceOptions(connection, { id, driver, path: place }),
    );
    return { id, driver, options: options && asOptions(options) };
  };
  return Promise.all(inventory.devices.filter(({ named }) => named).map(read));
}

async function readNics(
  connection: QmpConnection,
  { facts }: PreflightSide,
): Promise<readonly NicFacts[]> {
  return Promise.all(
    facts.devices.flatMap(({ id, driver, path: place, netdev }) =>
      netdev === undefined
        ? []
        : [
            optional(connection, readDeviceOptions(connection, { id, driver, path: place })).then(
              (options): NicFacts => ({ device: id, netdev: netdev.id, args: options?.args }),
            ),
          ],
    ),
  );
}

const configBytes = 1024 * 1024;

/** As the process sees them, which may have a root and a working directory of its own. */
async function readConfigFiles(
  args: readonly string[],
  pid: number,
  cwd: string,
  procRoot: string,
): Promise<ReadonlyMap<string, string>> {
  const read = async (file: string): Promise<readonly [string, string][]> => {
    const seen = path.resolve(cwd, file);
    for (const place of [path.join(procRoot, String(pid), 'root', seen), seen]) {
      const text = await readSmall(place);
      if (text !== undefined) return [[file, text]];
    }
    return [];
  };
  return new Map((await Promise.all(givenOptions(args, 'readconfig').map(read))).flat());
}

async function readSmall(file: string): Promise<string | undefined> {
  try {
    const handle = await open(file);
    try {
      const found = await handle.stat();
      return found.isFile() && found.size <= configBytes
        ? await handle.readFile('utf8')
        : undefined;
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}
