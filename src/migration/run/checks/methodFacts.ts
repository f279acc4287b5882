import { constants } from 'node:fs';
import { access, lstat, open, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { mayAccessPath, readCredentials, type Credentials } from '../../../vm/access';
import { readHost, readProcessUse } from '../../../vm/host';
import { findListener } from '../../../vm/listener';
import { defaultProcRoot } from '../../../vm/process';
import { qomGet } from '../../../vm/queries';
import { readSharedMappings, type SharedMapping } from '../../../vm/sharedMappings';
import { isTaken, readTcpListeners } from '../../../vm/tcpListeners';
import type { MachineHandle, QemuProcess } from '../../../vm/types';
import { readExecFacts, type ExecFacts } from '../../methods/execFacts';
import { isOneSided, methodOf } from '../../methods/names';
import { readTcpAddress } from '../../methods/tcpAddress';
import type { MigrationRequest } from '../types';

/**
 * What a method needs to know beside both pictures: files, sockets, descriptors, command lines. What
 * the method does not need, or nobody may know, is `undefined`.
 */
export interface MethodFacts {
  /** `aux-ram-share` of the source's machine; `undefined` too where this QEMU has none. */
  readonly auxRamShare?: boolean | undefined;
  /** Files that each side has mapped for sharing. */
  readonly sourceMappings?: readonly SharedMapping[] | undefined;
  readonly targetMappings?: readonly SharedMapping[] | undefined;
  /** Whether the target may handle page faults of its own. */
  readonly userfaultfd?: boolean | undefined;
  /** Whether somebody listens already at the address and port that the target is to listen at. */
  readonly portTaken?: boolean | undefined;
  readonly cprSocket?: CprSocketFacts | undefined;
  readonly file?: FileFacts | undefined;
  /** Of the process that is to be replaced; `undefined`: it cannot be told. */
  readonly exec?: ExecFacts | undefined;
}

export interface CprSocketFacts {
  readonly kind: 'missing' | 'not-a-socket' | 'socket';
  /** Who listens there; `undefined`: nobody, or nobody whom we may see. */
  readonly holder: QemuProcess | undefined;
}

/** A file as this host and the user of the QEMU see it. Sizes in bytes. */
export interface FileFacts {
  readonly folder: 'directory' | 'missing' | 'not-a-directory';
  readonly kind: 'none' | 'file' | 'other';
  /** Whether QEMU's user may make a file there; `undefined`: it cannot be told. */
  readonly qemuMayWrite: boolean | undefined;
  readonly qemuMayRead: boolean | undefined;
  readonly weMayWrite: boolean;
  readonly weMayRead: boolean;
  /** What is free where the file is to be. */
  readonly freeBytes: number | undefined;
  /** What of the guest's memory is in use. */
  readonly neededBytes: number | undefined;
  /** Whether it begins as a migration does; `undefined`: we may not read it. */
  readonly isMigration: boolean | undefined;
}

/**
 * Reads it, in some milliseconds; changes nothing and never connects to a migration socket, which
 * would freeze the QEMU that waits there.
 *
 * @throws {QmpError} when the connection of a machine ends meanwhile
 */
export async function readMethodFacts(
  request: MigrationRequest,
  source: MachineHandle,
  target: MachineHandle,
  procRoot = defaultProcRoot,
): Promise<MethodFacts> {
  const { options = {}, transport } = request;
  const method = methodOf(request);
  const live = method === 'cpr-transfer' || method === 'cpr-exec';
  const oneSided = isOneSided(method);
  const mapsMemory =
    method === 'shared-ram' ||
    options.ignoreShared === true ||
    [source, target].some(({ snapshot }) =>
      snapshot.facts?.capabilities.some(
        ({ name, enabled }) => name === 'x-ignore-shared' && enabled,
      ),
    );
  const mappings = (machine: MachineHandle): Promise<readonly SharedMapping[] | undefined> => {
    const { process: qemu } = machine.snapshot;
    return mapsMemory && qemu !== undefined
      ? readSharedMappings(qemu.pid, procRoot)
      : Promise.resolve(undefined);
  };
  const [aux, sourceMappings, targetMappings, userfaultfd, portTaken, socket, file, exec] =
    await Promise.all([
      live ? qomGet(source.connection(), '/machine', 'aux-ram-share') : undefined,
      mappings(source),
      oneSided ? undefined : mappings(target),
      method === 'postcopy' ? mayHandleFaults(target, procRoot) : undefined,
      transport === 'tcp' && !oneSided ? isPortTaken(request, target, procRoot) : undefined,
      method === 'cpr-transfer' ? readCprSocket(options.cprSocket, procRoot) : undefined,
      oneSided && options.file !== undefined
        ? readFileFacts(options.file.path, source, procRoot)
        : undefined,
      method === 'cpr-exec' ? readExecFacts(source, options) : undefined,
    ]);
  return {
    auxRamShare: typeof aux === 'boolean' ? aux : undefined,
    sourceMappings,
    targetMappings,
    userfaultfd,
    portTaken,
    cprSocket: socket,
    file,
    exec,
  };
}

async function mayHandleFaults(
  { snapshot }: MachineHandle,
  procRoot: string,
): Promise<boolean | undefined> {
  const { anyUserfaultfd } = await readHost(procRoot);
  if (anyUserfaultfd !== false) return anyUserfaultfd;
  const who = await credentialsOf(snapshot.process, procRoot);
  if (who === undefined) return undefined;
  if (who.uid === 0) return true;
  const wanted = constants.R_OK | constants.W_OK;
  return (await mayAccessPath('/dev/userfaultfd', who, wanted)) ?? false;
}

async function credentialsOf(
  qemu: QemuProcess | undefined,
  procRoot: string,
): Promise<Credentials | undefined> {
  return qemu === undefined ? undefined : readCredentials(qemu.pid, procRoot);
}

async function isPortTaken(
  { options }: MigrationRequest,
  { snapshot }: MachineHandle,
  procRoot: string,
): Promise<boolean | undefined> {
  const address = readTcpAddress(options?.tcp?.listen ?? '');
  if (address === undefined || address.port === 0) return undefined;
  const listeners = await readTcpListeners(snapshot.process?.pid, procRoot);
  return isTaken(address.host, address.port, listeners);
}

async function readCprSocket(
  file: string | undefined,
  procRoot: string,
): Promise<CprSocketFacts | undefined> {
  if (file === undefined || !path.isAbsolute(file)) return undefined;
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return { kind: 'missing', holder: undefined };
  if (!found.isSocket()) return { kind: 'not-a-socket', holder: undefined };
  return { kind: 'socket', holder: await findListener(file, procRoot) };
}

async function readFileFacts(
  file: string,
  { snapshot }: MachineHandle,
  procRoot: string,
): Promise<FileFacts | undefined> {
  if (!path.isAbsolute(file)) return undefined;
  const directory = path.dirname(file);
  const { process: qemu, facts } = snapshot;
  const who = await credentialsOf(qemu, procRoot);
  const asQemu = (place: string, wanted: number): Promise<boolean | undefined> =>
    who === undefined ? Promise.resolve(undefined) : mayAccessPath(place, who, wanted);
  const [
    folder,
    itself,
    pointed,
    system,
    qemuMayWrite,
    qemuMayRead,
    weMayWrite,
    weMayRead,
    use,
    isMigration,
  ] = await Promise.all([
    stat(directory).catch(() => undefined),
    lstat(file).catch(() => undefined),
    stat(file).catch(() => undefined),
    statfs(directory).catch(() => undefined),
    asQemu(directory, constants.W_OK | constants.X_OK),
    asQemu(file, constants.R_OK),
    mayWe(directory, constants.W_OK | constants.X_OK),
    mayWe(file, constants.R_OK),
    qemu === undefined ? undefined : readProcessUse(qemu.pid, procRoot),
    beginsAsMigration(file),
  ]);
  return {
    folder:
      folder === undefined ? 'missing' : folder.isDirectory() ? 'directory' : 'not-a-directory',
    kind: itself === undefined ? 'none' : pointed?.isFile() === true ? 'file' : 'other',
    qemuMayWrite,
    qemuMayRead,
    weMayWrite,
    weMayRead,
    freeBytes: system && system.bavail * system.bsize,
    neededBytes: atMost(use?.residentBytes, facts?.memoryBytes),
    isMigration,
  };
}

function atMost(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.min(a, b);
}

async function mayWe(place: string, wanted: number): Promise<boolean> {
  return access(place, wanted).then(
    () => true,
    () => false,
  );
}

/** `QEVM`: what every migration stream begins with. */
const magic = Buffer.from('QEVM');

async function beginsAsMigration(file: string): Promise<boolean | undefined> {
  // To open anything but a plain file may wait for ever, or do something.
  if ((await stat(file).catch(() => undefined))?.isFile() !== true) return undefined;
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const start = Buffer.alloc(magic.length);
    const { bytesRead } = await handle.read(start, 0, start.length, 0);
    return bytesRead === magic.length && start.equals(magic);
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
}
