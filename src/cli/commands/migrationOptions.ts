import { parseTcpAddress, TcpAddressError } from '../../migration/methods/tcpAddress';
import { isOneSided } from '../../migration/methods/names';
import { reasonProblem } from '../../migration/run/checks/force';
import type {
  MethodName,
  MigrationRequest,
  RunOptions,
  Transport,
} from '../../migration/run/types';
import type { Unit } from '../../migration/settings/catalogueTypes';
import { parseQuantity } from '../../migration/settings/units';
import { UsageError } from '../exitCodes';
import type { Session } from '../session';
import { parseBandwidth } from './bandwidth';

/** What was typed for a migration or its check; absent: as QEMU has it, or the default. */
export interface MigrationFlags {
  readonly method?: MethodName;
  readonly transport?: Transport;
  readonly backendTransfer?: boolean;
  readonly maxBandwidth?: string;
  readonly listen?: string;
  readonly host?: string;
  readonly allowPlainTcp?: true;
  readonly file?: string;
  readonly mappedRam?: true;
  readonly passDescriptor?: true;
  readonly ignoreShared?: true;
  readonly multifd?: string;
  readonly compress?: string;
  readonly xbzrle?: true;
  readonly autoConverge?: true;
  readonly dirtyLimit?: string;
  readonly downtimeLimit?: string;
  readonly postcopyAfter?: string;
  readonly preempt?: true;
  readonly holdSwitchover?: true;
  readonly guardSwitchover?: boolean;
  readonly cprSocket?: string;
  readonly execCommand?: true;
  readonly force?: string;
}

/** What a migration and its check are asked for, checked as far as that needs no QEMU. */
export interface MigrationOptions {
  readonly method: MethodName;
  /** As typed. */
  readonly source: string;
  /** The same as `source` for methods with one machine. */
  readonly target: string;
  readonly request: Omit<MigrationRequest, 'source' | 'target'>;
}

/** @throws {UsageError} */
export function migrationOptions(
  sockets: readonly string[],
  flags: MigrationFlags,
  execCommand: readonly string[] | undefined,
  session: Pick<Session, 'path'>,
): MigrationOptions {
  const { method = 'precopy' } = flags;
  const { source, target } = sidesOf(method, sockets);
  failWithoutNeeds(method, flags);
  const options = runOptions(flags, execCommand, session);
  const maxBandwidth = parseBandwidth(flags.maxBandwidth);
  return {
    ...{ method, source, target },
    request: {
      method,
      transport: transportOf(method, flags),
      backendTransfer: choice(flags.backendTransfer),
      ...(maxBandwidth !== undefined && { maxBandwidthBytesPerSecond: maxBandwidth }),
      ...(Object.keys(options).length > 0 && { options }),
      ...(flags.force !== undefined && { force: { reason: reasonOf(flags.force) } }),
    },
  };
}

function sidesOf(
  method: MethodName,
  sockets: readonly string[],
): { readonly source: string; readonly target: string } {
  const [source, target, ...more] = sockets;
  if (source === undefined) throw new UsageError('No QMP socket was named.');
  if (isOneSided(method)) {
    if (target === undefined) return { source, target: source };
    const what = method === 'restore' ? 'the QEMU that waits' : 'the QEMU that runs the guest';
    throw new UsageError(`--method ${method} takes one SOCKET: ${what}.`);
  }
  if (target === undefined) throw new UsageError(`--method ${method} needs SOURCE and TARGET.`);
  if (more.length > 0) throw new UsageError('Too many sockets: name SOURCE and TARGET.');
  return { source, target };
}

function failWithoutNeeds(method: MethodName, flags: MigrationFlags): void {
  const toFile = method === 'save' || method === 'restore' || method === 'cpr-reboot';
  if (toFile && flags.file === undefined) {
    throw new UsageError(`--method ${method} needs --file PATH.`);
  }
  if (method === 'cpr-transfer' && flags.cprSocket === undefined) {
    throw new UsageError(
      '--method cpr-transfer needs --cpr-socket PATH, the "cpr" channel of the target\'s command line.',
    );
  }
  const needs: readonly (readonly [boolean, boolean, string])[] = [
    [flags.compress !== undefined, flags.multifd !== undefined, '--compress needs --multifd N.'],
    [flags.mappedRam === true, flags.file !== undefined, '--mapped-ram needs --file PATH.'],
    [
      flags.passDescriptor === true,
      flags.file !== undefined,
      '--pass-descriptor needs --file PATH.',
    ],
    [flags.host !== undefined, flags.listen !== undefined, '--host needs --listen HOST:PORT.'],
    [
      flags.transport === 'tcp',
      flags.listen !== undefined,
      '--transport tcp needs --listen HOST:PORT, where the target is to listen.',
    ],
    [
      flags.listen !== undefined,
      (flags.transport ?? 'tcp') === 'tcp',
      `--listen is for TCP, not for --transport ${flags.transport ?? ''}.`,
    ],
  ];
  for (const [given, met, problem] of needs) if (given && !met) throw new UsageError(problem);
}

/** Several connections need a path or a port, so a descriptor pair is no default for them. */
function transportOf(
  method: MethodName,
  { transport, listen, multifd, preempt }: MigrationFlags,
): Transport {
  if (transport !== undefined) return transport;
  if (listen !== undefined) return 'tcp';
  const several = multifd !== undefined || preempt === true || method === 'cpr-transfer';
  return several && !isOneSided(method) ? 'unix' : 'fd';
}

/** @throws {UsageError} */
export function runOptions(
  flags: Omit<MigrationFlags, 'method'>,
  execCommand: readonly string[] | undefined,
  session: Pick<Session, 'path'>,
): RunOptions {
  const { file, listen, host, cprSocket, compress } = flags;
  const multifd = count('--multifd', flags.multifd, 255);
  const postcopyAfter = count('--postcopy-after', flags.postcopyAfter, 1000);
  const downtime = quantity('--downtime-limit', flags.downtimeLimit, 'ms');
  const dirtyLimit = quantity('--dirty-limit', flags.dirtyLimit, 'MB/s');
  if (flags.execCommand === true && (execCommand === undefined || execCommand.length === 0)) {
    throw new UsageError(
      '--exec-command needs the program behind "--": ... -- PROGRAM ARGUMENT...',
    );
  }
  return {
    ...(downtime !== undefined && { downtimeLimitMs: downtime }),
    ...(multifd !== undefined && { multifdChannels: multifd }),
    ...(compress !== undefined && { multifdCompression: compress }),
    ...(flags.xbzrle && { xbzrle: true }),
    ...(flags.autoConverge && { autoConverge: true }),
    ...(dirtyLimit !== undefined && { dirtyLimitMegabytesPerSecond: dirtyLimit }),
    ...(postcopyAfter !== undefined && { postcopyAfterPass: postcopyAfter }),
    ...(flags.preempt && { postcopyPreempt: true }),
    ...(flags.holdSwitchover && { holdSwitchover: true }),
    ...(flags.guardSwitchover !== undefined && { guardSwitchover: flags.guardSwitchover }),
    ...(listen !== undefined && {
      tcp: { listen: address(listen), ...(host !== undefined && { host }) },
    }),
    ...(file !== undefined && {
      file: {
        path: session.path(file, '--file'),
        ...(flags.mappedRam && { mappedRam: true }),
        ...(flags.passDescriptor && { passDescriptor: true }),
      },
    }),
    ...(cprSocket !== undefined && { cprSocket: session.path(cprSocket, '--cpr-socket') }),
    ...(execCommand !== undefined && { execCommand }),
    ...(flags.allowPlainTcp && { plainTcpConsent: true }),
    ...(flags.ignoreShared && { ignoreShared: true }),
  };
}

function choice(flag: boolean | undefined): MigrationRequest['backendTransfer'] {
  if (flag === undefined) return 'as-is';
  return flag ? 'on' : 'off';
}

/** @throws {UsageError} */
export function reasonOf(text: string): string {
  const problem = reasonProblem(text);
  if (problem !== undefined) throw new UsageError(`--force: ${problem}`);
  return text.trim();
}

function address(text: string): string {
  try {
    parseTcpAddress(text);
    return text;
  } catch (error) {
    if (error instanceof TcpAddressError) throw new UsageError(`--listen: ${error.message}`);
    throw error;
  }
}

/** @throws {UsageError} */
export function quantity(option: string, text: string | undefined, unit: Unit): number | undefined {
  if (text === undefined) return undefined;
  const parsed = parseQuantity(text, unit);
  if (!parsed.ok) throw new UsageError(`${option}: ${parsed.problem}`);
  return Number(parsed.value);
}

/** @throws {UsageError} */
export function count(option: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new UsageError(`${option} is a number from 1 to ${most}, not "${text}".`);
}
