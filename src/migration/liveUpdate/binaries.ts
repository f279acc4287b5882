import { spawn } from 'node:child_process';
import { access, constants, open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { isArray, isObject, parseJson, type JsonObject, type JsonValue } from '../../qmp/json';
import { parseGreeting } from '../../qmp/messages';
import { QmpSchema } from '../../qmp/schema';
import type { QmpVersion } from '../../qmp/connection';
import type { Capability } from '../../vm/types';
import { realPath } from '../../vm/process';

/** What a QEMU program offers, by its own account. */
export interface BinaryOffer {
  /** Absolute, as it was named. */
  readonly program: string;
  readonly version: QmpVersion;
  /** As a person writes it, such as `11.1.3`. */
  readonly versionText: string;
  /** `query-target`, such as `x86_64`. */
  readonly target: string;
  /** Names and aliases of the machine types. */
  readonly machineTypes: ReadonlySet<string>;
  readonly schema: QmpSchema;
  /** Of a fresh QEMU. */
  readonly parameters: JsonObject;
  readonly capabilities: readonly Capability[];
}

export type BinaryProblem =
  | 'not-absolute'
  | 'not-found'
  | 'not-a-file'
  | 'no-rights'
  | 'not-a-program'
  | 'other-processor'
  | 'not-qemu'
  | 'hangs'
  | 'other-guest-processor';

/** A program cannot be the new QEMU. */
export class BinaryRefusedError extends Error {
  override readonly name = 'BinaryRefusedError';
  readonly program: string;
  readonly problem: BinaryProblem;
  readonly nextStep: string;

  constructor(
    program: string,
    problem: BinaryProblem,
    message: string,
    nextStep: string,
    cause?: unknown,
  ) {
    super(message, { cause });
    this.program = program;
    this.problem = problem;
    this.nextStep = nextStep;
  }
}

const nameAnother = 'Name the absolute path of a QEMU, such as /usr/bin/qemu-system-x86_64.';

interface Known {
  readonly key: string;
  readonly offer: Promise<BinaryOffer>;
}

/** Asks programs what they offer, each build of them once. */
export class Binaries {
  private readonly known = new Map<string, Known>();
  private readonly patienceMs: number;

  constructor(patienceMs = 10_000) {
    this.patienceMs = patienceMs;
  }

  /**
   * Starts the program once without a machine, asks it, and ends it.
   *
   * @throws {BinaryRefusedError}
   */
  async ask(program: string): Promise<BinaryOffer> {
    const key = await inspect(program);
    const found = this.known.get(program);
    if (found?.key === key) return found.offer;
    const offer = question(program, this.patienceMs);
    this.known.set(program, { key, offer });
    // What failed may work the next time: a library may have been missing.
    offer.catch(() => this.known.delete(program));
    return offer;
  }
}

/** `e_machine` of ELF. */
const elfMachines: Readonly<Record<string, number>> = {
  ...{ x64: 62, arm64: 183, arm: 40, ia32: 3, s390x: 22, ppc64: 21, riscv64: 243 },
  loong64: 258,
};

/** @returns what tells one build from the next at the same path */
async function inspect(program: string): Promise<string> {
  const refuse = (problem: BinaryProblem, message: string, cause?: unknown): never => {
    throw new BinaryRefusedError(program, problem, message, nameAnother, cause);
  };
  if (!path.isAbsolute(program)) {
    return refuse('not-absolute', `${program} is not an absolute path.`);
  }
  const found = await stat(program).catch((cause: unknown) =>
    refuse('not-found', `There is no program at ${program}.`, cause),
  );
  if (!found.isFile()) return refuse('not-a-file', `${program} is not a file.`);
  await access(program, constants.X_OK).catch((cause: unknown) =>
    refuse('no-rights', `${program} may not be executed.`, cause),
  );
  const head = await readHead(program).catch((cause: unknown) =>
    // What may be executed need not be readable.
    cause instanceof Error && 'code' in cause && cause.code === 'EACCES' ? undefined : undefined,
  );
  if (head?.subarray(0, 2).toString('latin1') === '#!') {
    // Of a distribution's wrapper nobody can tell which arguments QEMU gets in the end.
    return refuse('not-a-program', `${program} is a script, not a QEMU itself.`);
  }
  if (head !== undefined) {
    if (head.subarray(0, 4).toString('latin1') !== '\u007fELF') {
      return refuse('not-a-program', `${program} is not a program for Linux.`);
    }
    const machine = head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18);
    const wanted = elfMachines[process.arch];
    if (wanted !== undefined && machine !== wanted) {
      return refuse('other-processor', `${program} is for another processor than this host's.`);
    }
  }
  // Only what says by its name that it is a QEMU is started at all.
  if (!/qemu|kvm/i.test(path.basename(await realPath(program)))) {
    return refuse('not-qemu', `${program} does not look like a QEMU.`);
  }
  return [found.dev, found.ino, found.mtimeMs, found.ctimeMs, found.size].join(' ');
}

async function readHead(file: string): Promise<Buffer> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const head = Buffer.alloc(20);
    await handle.read(head, 0, head.length, 0);
    return head;
  } finally {
    await handle.close();
  }
}

const questions = [
  'qmp_capabilities',
  'query-qmp-schema',
  'query-machines',
  'query-target',
  'query-migrate-parameters',
  'query-migrate-capabilities',
] as const;
const lastAnswer = /"id":\s*"query-migrate-capabilities"/;

const bareArgs = [
  ...['-machine', 'none', '-nodefaults', '-no-user-config', '-display', 'none'],
  ...['-S', '-qmp', 'stdio'],
];

/** One dialogue over the standard streams. */
async function question(program: string, patienceMs: number): Promise<BinaryOffer> {
  const { said, complaint, end } = await converse(program, patienceMs);
  const messages = said.split('\n').flatMap((line) => {
    try {
      const message = parseJson(line);
      return isObject(message) ? [message] : [];
    } catch {
      return [];
    }
  });
  const answer = (name: (typeof questions)[number]): JsonValue | undefined =>
    messages.find(({ id }) => id === name)?.['return'];
  const greeting = messages.find((message) => message['QMP'] !== undefined);
  const types = answer('query-machines');
  const target = answer('query-target');
  const capabilities = answer('query-migrate-capabilities');
  const parameters = answer('query-migrate-parameters');
  const schema = answer('query-qmp-schema');
  if (greeting === undefined || schema === undefined || !isObject(target) || !isArray(types)) {
    if (end === 'SIGKILL') {
      throw new BinaryRefusedError(
        ...[program, 'hangs' as const],
        `${program} does not answer within ${patienceMs / 1000} s when it is started without a machine.`,
        'Try it by hand, or take another one.',
      );
    }
    const why = complaint.trim().split('\n').at(-1) || `it ended with ${end}`;
    throw new BinaryRefusedError(
      ...[program, 'not-qemu' as const],
      `${program} does not come up as a QEMU: ${why.replace(/\.$/, '')}.`,
      nameAnother,
    );
  }
  const { version } = parseGreeting(greeting);
  return {
    program,
    version,
    versionText: `${version.major}.${version.minor}.${version.micro}`,
    target: typeof target['arch'] === 'string' ? target['arch'] : '',
    machineTypes: new Set(
      types.flatMap((type) =>
        isObject(type)
          ? [type['name'], type['alias']].filter((name) => typeof name === 'string')
          : [],
      ),
    ),
    schema: QmpSchema.parse(schema),
    parameters: isObject(parameters) ? parameters : {},
    capabilities: (isArray(capabilities) ? capabilities : []).flatMap((one) =>
      isObject(one) && typeof one['capability'] === 'string'
        ? [{ name: one['capability'], enabled: one['state'] === true }]
        : [],
    ),
  };
}

const asLine = (execute: string): string => `${JSON.stringify({ execute, id: execute })}\n`;

function converse(
  program: string,
  patienceMs: number,
): Promise<{ readonly said: string; readonly complaint: string; readonly end: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, bareArgs, {
      ...{ cwd: '/', stdio: 'pipe', timeout: patienceMs, killSignal: 'SIGKILL' },
    });
    const said: Buffer[] = [];
    let complaint = '';
    let tail = '';
    let told = false;
    child.stdout.on('data', (data: Buffer) => {
      said.push(data);
      tail = (tail + data.toString('latin1')).slice(-4096);
      if (told || !lastAnswer.test(tail)) return;
      // Not before: a QEMU that quits throws away what nobody has read yet, and the schema is large.
      told = true;
      child.stdin.write(asLine('quit'));
    });
    child.stderr.on('data', (data: Buffer) => (complaint += data.toString()));
    // It may be gone before it has read anything.
    child.stdin.on('error', () => undefined);
    child.stdin.write(questions.map((each) => asLine(each)).join(''));
    const done = (end: string): void =>
      resolve({ said: Buffer.concat(said).toString(), complaint, end });
    child.on('error', (error) => {
      complaint += error.message;
      done('an error');
    });
    child.on('close', (code, signal) => done(signal ?? `exit code ${code}`));
  });
}

/** A program that could be the new QEMU. */
export interface Candidate {
  readonly program: string;
  readonly origin:
    | 'running'
    /** At the path of the running one there is another program now. */
    | 'replaced'
    | 'installed'
    | 'build-tree';
  /** Of `-version`, by `Binaries.ask`; `undefined`: it could not be asked. */
  readonly versionText: string | undefined;
  /** Why it cannot be taken. */
  readonly problem: string | undefined;
}

export interface CandidateSearch {
  /** `exe` of the running QEMU, as `/proc` has it. */
  readonly executable: string;
  /** `query-target` of the running QEMU; candidates for other guests are left out. */
  readonly target?: string | undefined;
  /** `PATH` of whoever asks. */
  readonly searchPath?: string | undefined;
  /** Build trees and directories that the user named. */
  readonly directories?: readonly string[];
}

const usualDirectories = [
  '/usr/bin',
  '/usr/local/bin',
  '/usr/libexec',
  '/usr/lib/qemu',
  '/opt/qemu/bin',
];
const deletedMark = ' (deleted)';

/** The path of a running program, and whether what is there now is another one. */
export function currentProgram(executable: string): {
  readonly program: string;
  readonly replaced: boolean;
} {
  return executable.endsWith(deletedMark)
    ? { program: executable.slice(0, -deletedMark.length), replaced: true }
    : { program: executable, replaced: false };
}

/** The programs on this host that could take the guest, the running one first. */
export async function findCandidates(
  search: CandidateSearch,
  binaries: Binaries,
): Promise<readonly Candidate[]> {
  const { program: current, replaced } = currentProgram(search.executable);
  const named = search.directories ?? [];
  const places: (readonly [string, Candidate['origin']])[] = [
    ...named.flatMap((directory) =>
      ['', 'build', 'bin'].map((part): [string, Candidate['origin']] => [
        path.join(directory, part),
        'build-tree',
      ]),
    ),
    ...[
      ...(search.searchPath ?? '').split(':').filter((place) => path.isAbsolute(place)),
      ...usualDirectories,
    ].map((directory): [string, Candidate['origin']] => [directory, 'installed']),
  ];
  const basename = path.basename(current);
  const wanted = (name: string): boolean =>
    name === basename || /^qemu-system-[\w-]+$/.test(name) || name === 'qemu-kvm';
  const found = new Map<string, Candidate['origin']>([
    [current, replaced ? 'replaced' : 'running'],
  ]);
  const real = new Set([await realPath(current)]);
  for (const [directory, origin] of places) {
    const names = await readdir(directory).catch(() => []);
    for (const name of names.filter(wanted).sort()) {
      const program = path.join(directory, name);
      const target = await realPath(program);
      if (real.has(target)) continue;
      real.add(target);
      found.set(program, origin);
    }
  }
  const all = await Promise.all(
    [...found].map(async ([program, origin]): Promise<Candidate | undefined> => {
      // A distribution installs dozens; the name tells the guest's processor.
      const guest = /^qemu-system-([\w-]+)$/.exec(path.basename(program))?.[1];
      const other = guest !== undefined && search.target !== undefined && guest !== search.target;
      if (other && origin !== 'running' && origin !== 'replaced') return undefined;
      try {
        const offer = await binaries.ask(program);
        if (search.target !== undefined && offer.target !== search.target) return undefined;
        return { program, origin, versionText: offer.versionText, problem: undefined };
      } catch (error) {
        if (!(error instanceof BinaryRefusedError)) throw error;
        return { program, origin, versionText: undefined, problem: error.message };
      }
    }),
  );
  return all.filter((each) => each !== undefined);
}
