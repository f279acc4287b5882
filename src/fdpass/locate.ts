import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { runHelper } from './process';

export interface LocateOptions {
  /** The machine-scoped setting; absent or empty: not set. */
  readonly configuredPath?: string;
  /** `bin` beside the bundle. */
  readonly bundledDirectory: string;
  readonly platform: NodeJS.Platform;
  readonly arch: string;
}

export type HelperOrigin = 'configured' | 'bundled';

export type MissingReason =
  /** Descriptors can be passed on Linux only. */
  | 'unsupportedPlatform'
  | 'notAbsolute'
  | 'notFound'
  | 'notExecutable'
  /** A program for some other processor. */
  | 'wrongPlatform'
  /** It did not say its version, or not in time. */
  | 'probeFailed'
  /** It speaks another version of the protocol. */
  | 'wrongVersion';

export type HelperLocation =
  | {
      readonly kind: 'found';
      readonly origin: HelperOrigin;
      readonly path: string;
      readonly version: string;
    }
  | {
      readonly kind: 'missing';
      readonly origin: HelperOrigin;
      readonly path: string;
      readonly reason: MissingReason;
      /** Why, and what works without it. */
      readonly sentence: string;
    };

const supportedMajor = 1;
const probeTimeoutMs = 2000;
const withoutIt = 'Local migration over a UNIX socket path works without it.';

/** `e_machine` in an ELF header. */
const elfMachines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

/**
 * Finds the helper: the one that is set, else the bundled one. A set one that does not work is not
 * passed over in silence.
 */
export async function locateHelper(options: LocateOptions): Promise<HelperLocation> {
  const configured = options.configuredPath ?? '';
  const origin = configured === '' ? 'bundled' : 'configured';
  const path = configured === '' ? join(options.bundledDirectory, 'fdpass') : configured;
  const missing = (reason: MissingReason, why: string): HelperLocation => ({
    kind: 'missing',
    origin,
    path,
    reason,
    sentence: `Descriptors cannot be passed: ${why}. ${withoutIt}`,
  });

  if (options.platform !== 'linux') {
    return missing(
      'unsupportedPlatform',
      `the helper exists for Linux, not for ${options.platform}`,
    );
  }
  if (!isAbsolute(path)) return missing('notAbsolute', `the helper's path ${path} is not absolute`);
  const wrong = await inspect(path, options.arch);
  if (wrong === 'notFound' && origin === 'bundled') {
    return missing(wrong, `this build has no helper for linux-${options.arch}`);
  }
  if (wrong !== undefined) return missing(wrong, describe(wrong, path, options.arch));

  const signal = AbortSignal.timeout(probeTimeoutMs);
  const end = await runHelper(path, ['--version'], [], signal);
  const version = /^fdpass (\d+)\.\d+\.\d+\n$/.exec(end.stdout);
  if (end.exitCode !== 0 || version === null) {
    const why = signal.aborted ? `did not answer within ${probeTimeoutMs} ms` : 'is no fdpass';
    return missing('probeFailed', `${path} ${why}`);
  }
  const text = end.stdout.trim();
  if (Number(version[1]) !== supportedMajor) {
    return missing('wrongVersion', `${path} is ${text}, needed is version ${supportedMajor}`);
  }
  return { kind: 'found', origin, path, version: text.replace('fdpass ', '') };
}

type Fault = 'notFound' | 'notExecutable' | 'wrongPlatform';

function describe(fault: Fault, path: string, arch: string): string {
  switch (fault) {
    case 'notFound':
      return `there is no file ${path}`;
    case 'notExecutable':
      return `${path} may not be executed`;
    case 'wrongPlatform':
      return `${path} is not a program for ${arch}`;
  }
}

/** What is wrong with the file, found without running it. */
async function inspect(path: string, arch: string): Promise<Fault | undefined> {
  try {
    if (!(await stat(path)).isFile()) return 'notExecutable';
    await access(path, constants.X_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'notFound' : 'notExecutable';
  }
  const machine = await elfMachineOf(path);
  return machine !== undefined && machine !== elfMachines[arch] ? 'wrongPlatform' : undefined;
}

/** Undefined for what is no ELF file, such as a script, or may not be read. */
async function elfMachineOf(path: string): Promise<number | undefined> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(20), 0, 20, 0);
    const isElf = bytesRead === 20 && buffer.toString('latin1', 0, 4) === '\x7fELF';
    return isElf ? buffer.readUInt16LE(18) : undefined;
  } finally {
    await file.close();
  }
}
