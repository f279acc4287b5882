import { randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { guestAddresses, provisionGuest, type GuestVariant } from './guest';
import { cacheDirectory } from './paths';
import { Probe } from './probe';
import { spawnOwned, temporaryDirectory, type ProcessEnd } from './processes';
import type { QemuBuild } from './qemuBuilds';
import { say, withLock, writeWhole } from './steps';

export {
  provisionQemu,
  qemuVersions,
  systemQemu,
  type QemuBuild,
  type QemuVersionName,
} from './qemuBuilds';

export type Accelerator = 'kvm' | 'tcg';

/**
 * The verdict of {@link chooseAccelerator} where it was asked on this machine since it booted, else `tcg`,
 * which works everywhere. `QEMU_MIGRATION_ACCELERATOR` overrides both.
 */
export function availableAccelerator(): Accelerator {
  const wanted = process.env['QEMU_MIGRATION_ACCELERATOR'];
  if (wanted === 'kvm' || wanted === 'tcg') return wanted;
  try {
    const [boot, verdict] = readFileSync(acceleratorStamp, 'utf8').split('\n');
    return boot === bootId() && verdict === 'kvm' ? 'kvm' : 'tcg';
  } catch {
    return 'tcg';
  }
}

/**
 * Finds out once per boot whether KVM serves, by booting the test guest with it: under some nested KVMs
 * /dev/kvm opens, but the firmware needs minutes, and emulation is by far the faster of the two.
 */
export async function chooseAccelerator(build: QemuBuild): Promise<Accelerator> {
  if (process.env['QEMU_MIGRATION_ACCELERATOR'] !== undefined) return availableAccelerator();
  const isKnown = () => isStampedFor(bootId());
  if (isKnown()) return availableAccelerator();
  await withLock(`${acceleratorStamp}.lock`, async () => {
    if (isKnown()) return;
    const verdict = (await kvmServes(build)) ? 'kvm' : 'tcg';
    say(`Guests run with ${verdict.toUpperCase()}`, 'tried by booting one with KVM for up to 4 s');
    await writeWhole(acceleratorStamp, `${bootId()}\n${verdict}\n`);
  });
  return availableAccelerator();
}

const acceleratorStamp = join(cacheDirectory, 'accelerator');

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function isStampedFor(boot: string): boolean {
  return existsSync(acceleratorStamp) && readFileSync(acceleratorStamp, 'utf8').startsWith(boot);
}

async function kvmServes(build: QemuBuild): Promise<boolean> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  const temporary = temporaryDirectory('kvm');
  const directory = temporary.path;
  try {
    const options = {
      build,
      name: 'kvm',
      directory,
      guest: 'dirtying',
      accelerator: 'kvm',
    } as const;
    const qemu = await startQemu(options);
    return await qemu
      .waitForRounds(2, 4000)
      .then(() => true)
      .catch(() => false)
      .finally(() => qemu.stop());
  } catch {
    return false;
  } finally {
    await temporary.remove();
  }
}

export interface QemuOptions {
  readonly build: QemuBuild;
  /** The VM's name; its sockets are DIRECTORY/NAME.qmp and DIRECTORY/NAME.probe. */
  readonly name: string;
  /** Made with mode 0700 if it is not there. Keep it short: a socket's path has at most 107 bytes. */
  readonly directory: string;
  readonly memoryMiB?: number;
  /** Wait for a migration (`-incoming defer`). */
  readonly incoming?: boolean;
  /** `none`: no disk, the firmware finds nothing to boot. Both sides of a migration need the same. */
  readonly guest?: GuestVariant | 'none';
  /** With options of its own, where they matter. */
  readonly accelerator?: Accelerator | `kvm,${string}`;
  readonly extraArgs?: readonly string[];
  /** The machine type; the versioned q35 of the build unless told. */
  readonly machine?: string;
  readonly uuid?: string;
  /** Its monitors answer only when something else has happened (cpr-transfer): return at once. */
  readonly answersLater?: boolean;
}

export interface QemuProcess {
  readonly pid: number;
  readonly name: string;
  readonly build: QemuBuild;
  readonly directory: string;
  /** For the product: a QMP socket serves one client. */
  readonly qmpSocket: string;
  /** For verification from outside. */
  readonly probeSocket: string;
  readonly serialFile: string;
  /** The whole command line, the binary first. */
  readonly commandLine: readonly string[];
  readonly exited: Promise<ProcessEnd>;
  readonly stderr: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  /** Kills it unless it has ended, waits for the end, and removes its sockets and serial file. */
  readonly stop: () => Promise<void>;
  /** One QMP command over the probe socket, independent of src/qmp. */
  readonly probe: (command: string, args?: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** The 32-bit word at this guest-physical address. */
  readonly guestWord: (physicalAddress: number) => Promise<number>;
  /** QEMU's run state: `running`, `inmigrate`, `postmigrate`, ... */
  readonly guestStatus: () => Promise<string>;
  /** Waits until the guest has finished that many more rounds; fails when the time is over. */
  readonly waitForRounds: (more: number, timeoutMs?: number) => Promise<void>;
}

/**
 * Starts one QEMU and returns when it answers QMP. It ends with this process at the latest; two started
 * with the same options and build can migrate to each other.
 */
export async function startQemu(options: QemuOptions): Promise<QemuProcess> {
  const { build, name, directory, guest = 'none' } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = (suffix: string) => join(directory, `${name}.${suffix}`);
  const [qmpSocket, probeSocket, serialFile] = [file('qmp'), file('probe'), file('serial')];
  if (Buffer.byteLength(probeSocket) > 107) {
    throw new Error(`The socket's path is too long for the kernel: ${probeSocket}`);
  }
  const args = [
    ...build.prefixArgs,
    ...[
      '-M',
      options.machine ?? build.machine,
      '-accel',
      options.accelerator ?? (await chooseAccelerator(build)),
    ],
    ...['-m', String(options.memoryMiB ?? 256), '-nodefaults', '-display', 'none'],
    ...['-name', name, '-uuid', options.uuid ?? randomUUID()],
    ...['-qmp', `unix:${qmpSocket},server=on,wait=off`],
    ...['-qmp', `unix:${probeSocket},server=on,wait=off`],
    ...['-serial', `file:${serialFile}`],
    ...(guest === 'none' ? [] : guestDisk(await provisionGuest(guest))),
    ...(options.incoming ? ['-incoming', 'defer'] : []),
    ...(options.extraArgs ?? []),
  ];
  const owned = await spawnOwned(build.binary, args, {
    env: build.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  owned.child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const client = new Probe(probeSocket);
  const qemu: QemuProcess = {
    pid: owned.pid,
    ...{ name, build, directory, qmpSocket, probeSocket, serialFile },
    commandLine: [build.binary, ...args],
    exited: owned.exited,
    stderr: () => stderr,
    kill: (signal) => {
      if (!owned.hasExited()) owned.child.kill(signal);
    },
    stop: async () => {
      client.close();
      await owned.stop();
      for (const path of [qmpSocket, probeSocket, serialFile]) await rm(path, { force: true });
    },
    probe: (command, commandArgs) => client.execute(command, commandArgs),
    guestWord: (address) => readGuestWord(client, address),
    guestStatus: async () => ((await client.execute('query-status')) as { status: string }).status,
    waitForRounds: (more, timeoutMs) => waitForRounds(client, more, timeoutMs),
  };
  if (options.answersLater === true) return qemu;
  try {
    await waitForAnswer(client, () => owned.hasExited());
  } catch (error) {
    await qemu.stop();
    const shown = qemu.commandLine.join(' ');
    throw new Error(`${name} did not come up: ${shown}\n${stderr}`, { cause: error });
  }
  return qemu;
}

/** The guest's disk: read-only, so that two QEMUs may have it open, and with ids that both sides share. */
function guestDisk(image: string): string[] {
  return [
    ...['-drive', `if=none,id=boot,format=raw,readonly=on,file=${image}`],
    ...['-device', 'virtio-blk-pci,id=boot-disk,drive=boot,bootindex=0'],
  ];
}

async function waitForAnswer(client: Probe, hasExited: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    try {
      await client.execute('query-status');
      return;
    } catch (error) {
      if (hasExited() || Date.now() > deadline) throw error;
      await pause(20);
    }
  }
}

async function readGuestWord(client: Probe, address: number): Promise<number> {
  const command = `xp /1wx 0x${address.toString(16)}`;
  const text = await client.execute('human-monitor-command', { 'command-line': command });
  const word = /:\s*(0x[0-9a-f]+)/.exec(String(text))?.[1];
  if (word === undefined) throw new Error(`No guest memory at ${command}: ${String(text)}`);
  return Number(word);
}

async function waitForRounds(client: Probe, more: number, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const first = await readGuestWord(client, guestAddresses.rounds);
  for (;;) {
    const now = await readGuestWord(client, guestAddresses.rounds);
    if (now >= first + more) return;
    if (Date.now() > deadline) {
      throw new Error(`The guest made ${now - first} rounds in ${timeoutMs} ms, not ${more}.`);
    }
    await pause(20);
  }
}

/**
 * Reads the whole working set of the test guest through the probe and throws at the first page that is not
 * what the guest wrote there: lost, stale or misplaced. Works on a running guest and on a paused one.
 */
export async function verifyGuestMemory(
  qemu: QemuProcess,
): Promise<{ pages: number; rounds: number }> {
  const before = await qemu.guestWord(guestAddresses.rounds);
  const start = await qemu.guestWord(guestAddresses.start);
  const end = await qemu.guestWord(guestAddresses.end);
  const dump = join(qemu.directory, `${qemu.name}.memory`);
  await qemu.probe('pmemsave', { val: start, size: end - start, filename: dump });
  const after = await qemu.guestWord(guestAddresses.rounds);
  const memory = await readFile(dump);
  await rm(dump);
  if (memory.length === 0)
    throw new Error(`${qemu.name} has no working set: the guest did not start.`);
  for (let offset = 0; offset < memory.length; offset += 4096) {
    const round = memory.readUInt32LE(offset) - (start + offset);
    if (round < before || round > after + 1) {
      const page = `0x${(start + offset).toString(16)}`;
      throw new Error(
        `Page ${page} of ${qemu.name} is of round ${round}, not ${before} to ${after + 1}.`,
      );
    }
  }
  return { pages: memory.length / 4096, rounds: after };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
