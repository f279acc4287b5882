import { access, constants, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod/mini';
import { readDescriptors, type Descriptor } from '../../vm/descriptors';
import { readInventory } from '../../vm/inventory';
import { readCwd, readProcess, realPath } from '../../vm/process';
import type { MachineHandle } from '../../vm/types';
import type { RunOptions } from '../run/types';
import { filesIn, isSameCommand, keptOptions, readCommandLine } from './commandLine';
import { rehearse, type Rehearsal } from './rehearsal';

export interface ExecProgram {
  /** Absolute. */
  readonly path: string;
  /** It is not the program that runs: another path, or replaced on disk. */
  readonly isOther: boolean;
  /** Why it cannot be started, as a sentence. */
  readonly problem: string | undefined;
}

/** What `cpr-exec` needs to know of a QEMU beside its snapshot. */
export interface ExecFacts {
  readonly label: string;
  /** Of our own connection: QEMU waits for us there. */
  readonly socketPath: string;
  readonly uid: number;
  readonly root: string | undefined;
  readonly cwd: string;
  readonly program: ExecProgram;
  /** The options now, without the program. */
  readonly running: readonly string[];
  /** The options that are wanted, without the program; the same unless the user wants others. */
  readonly wanted: readonly string[];
  readonly machineType: string | undefined;
  /** `undefined`: we may not see them. */
  readonly descriptors: readonly Descriptor[] | undefined;
  /** Files that the options name and that are not there. */
  readonly missing: readonly string[];
  readonly live: LiveParts;
  /** Whether the new program takes the options; absent where the same program runs them now. */
  readonly rehearsal: Rehearsal | undefined;
}

/** What the machine has now, wherever it came from; `undefined`: QEMU did not tell. */
export interface LiveParts {
  readonly devices: readonly { readonly id: string; readonly named: boolean }[] | undefined;
  readonly objects: readonly string[] | undefined;
  readonly chardevs: readonly string[] | undefined;
  /** Images in use, and whether the options name them. */
  readonly images: readonly { readonly file: string; readonly named: boolean }[] | undefined;
  readonly blockJobs: readonly string[] | undefined;
  /** Id of the main memory. */
  readonly mainMemory: string | undefined;
}

const chardevShape = z.array(z.looseObject({ label: z.string() }));

/**
 * Reads it from `/proc` and by queries; changes nothing. `undefined` where the process cannot be
 * told or has ended.
 *
 * @throws {QmpError} the connection ended meanwhile
 */
export async function readExecFacts(
  machine: MachineHandle,
  options: RunOptions | undefined,
): Promise<ExecFacts | undefined> {
  const known = machine.snapshot.process ?? (await machine.identify());
  // Anew: another program may run in the same process since.
  const qemu = known && (await readProcess(known.pid));
  if (qemu === undefined || qemu.executable === undefined || qemu.args.length === 0) {
    return undefined;
  }
  const { label, socketPath, facts } = machine.snapshot;
  const running = qemu.args.slice(1);
  const [wish, ...wishedArgs] = options?.execCommand ?? [];
  const wanted = wish === undefined ? running : wishedArgs;
  const cwd = await readCwd(qemu.pid);
  const program = await readProgram(qemu.executable, wish);
  const isOther = program.isOther || !isSameCommand(running, wanted);
  const [descriptors, missing, live, rehearsal] = await Promise.all([
    readDescriptors(qemu.pid),
    missingFiles(wanted, cwd),
    readLiveParts(machine, wanted, cwd),
    isOther && program.problem === undefined
      ? rehearse({ pid: qemu.pid, uid: qemu.uid, cwd, program: program.path, args: wanted })
      : undefined,
  ]);
  return {
    ...{ label, socketPath, uid: qemu.uid, root: qemu.root, cwd, program, running, wanted },
    machineType: facts?.machineType,
    ...{ descriptors, missing, live, rehearsal },
  };
}

const deleted = ' (deleted)';

async function readProgram(executable: string, wish: string | undefined): Promise<ExecProgram> {
  const isReplaced = executable.endsWith(deleted);
  const current = isReplaced ? executable.slice(0, -deleted.length) : executable;
  const file = wish ?? current;
  const isOther = isReplaced || (await realPath(file)) !== (await realPath(current));
  return { path: file, isOther, problem: await programProblem(file) };
}

/** Why a program cannot be started as a QEMU, as a sentence. */
export async function programProblem(file: string): Promise<string | undefined> {
  // QEMU itself would look through PATH for a bare name.
  if (!path.isAbsolute(file)) return `${file} is not an absolute path.`;
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return `There is no program at ${file}.`;
  if (!found.isFile()) return `${file} is not a file.`;
  // When we are root this tells whether anybody may; QEMU's own rights show in its error.
  const may = await access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!may) return `${file} may not be executed.`;
  if (!/qemu|kvm/.test(path.basename(await realPath(file)))) {
    return `${file} does not look like a QEMU.`;
  }
  return undefined;
}

async function missingFiles(args: readonly string[], cwd: string): Promise<readonly string[]> {
  const files = [...new Set(filesIn(keptOptions(args)))];
  const there = await Promise.all(
    files.map((file) =>
      stat(path.resolve(cwd, file)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return files.filter((_, at) => there[at] === false);
}

async function readLiveParts(
  machine: MachineHandle,
  args: readonly string[],
  cwd: string,
): Promise<LiveParts> {
  const connection = machine.connection();
  const [inventory, answer] = await Promise.all([
    readInventory(connection),
    connection.execute('query-chardev'),
  ]);
  const chardevs = z.safeParse(chardevShape, answer).data?.map(({ label }) => label);
  const resolved = (file: string): Promise<string> => realPath(path.resolve(cwd, file));
  const named = new Set(await Promise.all(imagesIn(args).map(resolved)));
  const images =
    inventory.disks &&
    (await Promise.all(
      inventory.disks.flatMap(({ file }) =>
        file === undefined
          ? []
          : [resolved(file).then((real) => ({ file, named: named.has(real) }))],
      ),
    ));
  const { devices, objects, blockJobs, mainMemory } = inventory;
  return { devices, objects, chardevs, images, blockJobs, mainMemory };
}

function imagesIn(args: readonly string[]): readonly string[] {
  const options = readCommandLine(args);
  const bare = options.flatMap(({ name, value }) => (name === '' && value ? [value] : []));
  return [...bare, ...filesIn(options)];
}

/** The last lines that a process wrote to its standard error, where that is a file. */
export async function readTail(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const text = await readFile(file, 'utf8').catch(() => '');
  const lines = text.trimEnd().split('\n').slice(-5).join('\n').slice(-1000);
  return lines === '' ? undefined : lines;
}

/** The file that is a process's standard error; `undefined` where it is none. */
export async function stderrFile(pid: number): Promise<string | undefined> {
  const target = await readlink(`/proc/${pid}/fd/2`).catch(() => undefined);
  if (target === undefined || !path.isAbsolute(target)) return undefined;
  const found = await stat(target).catch(() => undefined);
  // Logs of months are not worth reading whole, nor is a terminal.
  return found?.isFile() === true && found.size < 16 * 1024 * 1024 ? target : undefined;
}
