import * as z from 'zod/mini';
import { parseJson, type JsonObject, type JsonValue } from '../../../qmp/json';
import { methodNames } from '../../methods/names';
import { printJson } from './printJson';
import type { MigrationRequest, RunOutcome } from '../types';

/** Raised when a program that knows only the older entries would do the wrong thing with them. */
export const journalVersion = 1;

export type SideName = 'source' | 'target';

/** One process of this host, told apart from all that had or will have its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTicks: bigint;
  /** The kernel's random id of this boot: after a restart of the host no process is left. */
  readonly boot: string;
}

/** Who carries a run out. */
export interface Driver extends ProcessIdentity {
  /** For a person: the command line, or the extension. */
  readonly program: string;
  /** Home directories may be shared by hosts, and of another host's processes we know nothing. */
  readonly host: string;
}

/** A QEMU as it was when the run began. */
export interface MachineIdentity {
  /** The same for all monitors of one QEMU, as far as `/proc` tells; good for a file's name. */
  readonly key: string;
  readonly socket: string;
  readonly label: string;
  readonly uuid?: string | undefined;
  /** Absent where `/proc` does not tell. */
  readonly process?: ProcessIdentity | undefined;
}

/** A setting that the run changed, with what it was. */
export type LoanWhat =
  | {
      readonly type: 'parameter';
      readonly name: string;
      readonly old: JsonValue;
      readonly now: JsonValue;
    }
  /** They were off and were turned on, or the other way round. */
  | {
      readonly type: 'capabilities';
      readonly names: readonly string[];
      readonly turnedOff?: boolean | undefined;
    };

export type ChannelWhat =
  /** A directory of ours with the socket in it. */
  | { readonly transport: 'unix'; readonly directory: string }
  /** The name that both QEMUs were given with `getfd`. */
  | { readonly transport: 'fd'; readonly name: string }
  /** What the target was told to listen at. */
  | { readonly transport: 'tcp'; readonly uri: string }
  /** A saved guest; removed only when a save that made it did not complete. */
  | {
      readonly transport: 'file';
      readonly path: string;
      /** The descriptor set that QEMU is given. */
      readonly fdset?: number | undefined;
      /** `device:inode` of the file that we made; absent before that, and for a restore. */
      readonly made?: string | undefined;
    };

/**
 * What a run writes down. Those that announce something ("about to") are on disk before it is done, so
 * that what is not announced was surely not done.
 */
export type JournalEntry =
  | {
      readonly kind: 'begin';
      readonly run: string;
      readonly driver: Driver;
      readonly source: MachineIdentity;
      readonly target: MachineIdentity;
      readonly request: MigrationRequest;
      readonly guestRan: boolean;
    }
  /** Another process carries the run on. */
  | { readonly kind: 'driver'; readonly driver: Driver }
  /** About to be changed. */
  | {
      readonly kind: 'loan';
      readonly loan: number;
      readonly side: SideName;
      readonly always: boolean;
      readonly what: LoanWhat;
    }
  /** It is as it was, or QEMU refused the change. */
  | { readonly kind: 'loan-end'; readonly loan: number }
  /**
   * All settings before the run changed any, for a QEMU that is replaced by another program and
   * begins with the defaults.
   */
  | {
      readonly kind: 'kept';
      /** Those that were on. */
      readonly capabilities: readonly string[];
      readonly parameters: JsonObject;
    }
  /** About to be opened. */
  | { readonly kind: 'channel'; readonly channel: ChannelWhat }
  /** About to send `migrate-incoming`. */
  | { readonly kind: 'incoming' }
  /** About to send `migrate`. */
  | { readonly kind: 'migrate' }
  /** QEMU refused `migrate`. */
  | { readonly kind: 'migrate-refused' }
  | { readonly kind: 'phase'; readonly phase: string }
  | { readonly kind: 'cancel-asked' }
  /** A person used a control; `detail`: with which values. */
  | { readonly kind: 'control'; readonly control: string; readonly detail?: string | undefined }
  /** `taking`: about to send `stop`; `releasing`: about to send `cont`. */
  | {
      readonly kind: 'hold';
      readonly side: SideName;
      readonly state: 'taking' | 'taken' | 'releasing' | 'released';
      /** Whether the guest ran before. */
      readonly guestRan: boolean;
      /** Absent: for a cancel. */
      readonly purpose?: 'switchover' | undefined;
    }
  /** About to send `migrate_cancel`. */
  | { readonly kind: 'cancel'; readonly reason: 'asked-for' | 'target-gone' }
  /** About to send `cont` to a source whose target is gone. */
  | { readonly kind: 'continue-source' }
  /** Entries before this one could not be written. */
  | { readonly kind: 'gap'; readonly why: string }
  /** Nobody watches any more, and the end is not known. */
  | { readonly kind: 'unsettled'; readonly outcome: RunOutcome }
  | { readonly kind: 'end'; readonly outcome: RunOutcome };

/** With the time of writing, in ms since the epoch. */
export type StampedEntry = JournalEntry & { readonly at: number };

/** QMP's JSON gives small integers as numbers. */
const integer = z.pipe(
  z.union([z.int(), z.bigint()]),
  z.transform((value: number | bigint) => BigInt(value)),
);
const json = z.custom<JsonValue>((value: unknown) => value !== undefined);
export const processShape = z.object({ pid: z.int(), startTicks: integer, boot: z.string() });
/** Shared with the journals of live updates. */
export const driverShape = z.extend(processShape, { program: z.string(), host: z.string() });
const side = z.enum(['source', 'target']);
const figure = z.optional(z.number());

export const machineShape = z.object({
  key: z.string().check(z.regex(/^[\w-]+$/)),
  socket: z.string(),
  label: z.string(),
  uuid: z.optional(z.string()),
  process: z.optional(processShape),
});

const optionsShape = z.object({
  downtimeLimitMs: figure,
  multifdChannels: figure,
  multifdCompression: z.optional(z.string()),
  xbzrle: z.optional(z.boolean()),
  autoConverge: z.optional(z.boolean()),
  dirtyLimitMegabytesPerSecond: figure,
  postcopyAfterPass: figure,
  postcopyPreempt: z.optional(z.boolean()),
  holdSwitchover: z.optional(z.boolean()),
  guardSwitchover: z.optional(z.boolean()),
  tcp: z.optional(z.object({ listen: z.string(), host: z.optional(z.string()) })),
  file: z.optional(
    z.object({
      path: z.string(),
      mappedRam: z.optional(z.boolean()),
      passDescriptor: z.optional(z.boolean()),
    }),
  ),
  cprSocket: z.optional(z.string()),
  execCommand: z.optional(z.array(z.string())),
  plainTcpConsent: z.optional(z.boolean()),
  ignoreShared: z.optional(z.boolean()),
});

const requestShape = z.object({
  source: z.string(),
  target: z.string(),
  method: z.optional(z.enum(methodNames)),
  transport: z.enum(['fd', 'unix', 'tcp']),
  backendTransfer: z.enum(['as-is', 'on', 'off']),
  maxBandwidthBytesPerSecond: z.optional(integer),
  options: z.optional(optionsShape),
  force: z.optional(z.object({ reason: z.string() })),
});

const request = z.pipe(
  requestShape,
  // What is absent in JSON is absent here, too.
  z.transform((read): MigrationRequest => withoutAbsent(read) as MigrationRequest),
);

/** Without the members that are `undefined`, at any depth of plain objects. */
function withoutAbsent(value: object): object {
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]: [string, unknown]) => {
      if (member === undefined) return [];
      const isPlain = typeof member === 'object' && member !== null && !Array.isArray(member);
      return [[name, isPlain ? withoutAbsent(member) : member]];
    }),
  );
}

const outcomeShape = z.object({
  kind: z.enum(['completed', 'refused', 'failed', 'cancelled', 'too-late-to-cancel', 'unknown']),
  owner: z.enum(['source', 'target', 'neither-yet', 'file', 'nobody', 'unknown']),
  guestRunning: z.optional(z.boolean()),
  sourceError: z.optional(z.string()),
  targetError: z.optional(z.string()),
  totalTimeMs: figure,
  downtimeMs: figure,
  transferredBytes: figure,
  headline: z.string(),
  details: z.array(z.string()),
  nextStep: z.string(),
  causeId: z.optional(z.string()),
});

const outcome = z.pipe(
  outcomeShape,
  z.transform((read): RunOutcome => ({
    ...read,
    guestRunning: read.guestRunning,
    sourceError: read.sourceError,
    targetError: read.targetError,
    totalTimeMs: read.totalTimeMs,
    downtimeMs: read.downtimeMs,
    transferredBytes: read.transferredBytes,
  })),
);

const loanWhat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('parameter'), name: z.string(), old: json, now: json }),
  z.object({
    type: z.literal('capabilities'),
    names: z.array(z.string()),
    turnedOff: z.optional(z.boolean()),
  }),
]);

const channel = z.discriminatedUnion('transport', [
  z.object({ transport: z.literal('unix'), directory: z.string() }),
  z.object({ transport: z.literal('fd'), name: z.string() }),
  z.object({ transport: z.literal('tcp'), uri: z.string() }),
  z.object({
    transport: z.literal('file'),
    path: z.string(),
    fdset: z.optional(z.int()),
    made: z.optional(z.string()),
  }),
]);

export const stamp = { v: z.literal(journalVersion), at: z.number() };
const bare = <K extends string>(kind: K) => z.object({ ...stamp, kind: z.literal(kind) });

const entry = z.discriminatedUnion('kind', [
  z.extend(bare('begin'), {
    run: z.string(),
    driver: driverShape,
    source: machineShape,
    target: machineShape,
    request,
    guestRan: z.boolean(),
  }),
  z.extend(bare('driver'), { driver: driverShape }),
  z.extend(bare('loan'), { loan: z.int(), side, always: z.boolean(), what: loanWhat }),
  z.extend(bare('loan-end'), { loan: z.int() }),
  z.extend(bare('kept'), {
    capabilities: z.array(z.string()),
    parameters: z.record(z.string(), json),
  }),
  z.extend(bare('channel'), { channel }),
  bare('incoming'),
  bare('migrate'),
  bare('migrate-refused'),
  z.extend(bare('phase'), { phase: z.string() }),
  bare('cancel-asked'),
  z.extend(bare('control'), { control: z.string(), detail: z.optional(z.string()) }),
  z.extend(bare('hold'), {
    side,
    state: z.enum(['taking', 'taken', 'releasing', 'released']),
    guestRan: z.boolean(),
    purpose: z.optional(z.literal('switchover')),
  }),
  z.extend(bare('cancel'), { reason: z.enum(['asked-for', 'target-gone']) }),
  bare('continue-source'),
  z.extend(bare('gap'), { why: z.string() }),
  z.extend(bare('unsettled'), { outcome }),
  z.extend(bare('end'), { outcome }),
]);

/** One line of a journal, without its line feed. Integers of any size stay exact. */
export function printEntry(value: StampedEntry): string {
  return printJson({ v: journalVersion, ...value });
}

/** A line of a journal cannot be understood. */
export class BadEntryError extends Error {
  override readonly name = 'BadEntryError';
}

/** @throws {BadEntryError} for garbage, and for what another version wrote */
export function parseEntry(line: string): StampedEntry {
  return parseLine(line, (value) => entry.safeParse(value));
}

/**
 * Reads one line of a journal of any kind.
 *
 * @throws {BadEntryError} for garbage, and for what another version wrote
 */
export function parseLine<Entry>(
  line: string,
  shape: (value: JsonValue) => z.core.util.SafeParseResult<Entry>,
): Entry {
  let value: JsonValue;
  try {
    value = parseJson(line);
  } catch (error) {
    throw new BadEntryError('a line is not JSON', { cause: error });
  }
  const read = shape(value);
  if (read.success) return read.data;
  const version = z.object({ v: z.unknown() }).safeParse(value).data?.v;
  throw new BadEntryError(
    version === journalVersion || version === undefined
      ? `a line has an unknown form: ${z.prettifyError(read.error)}`
      : `it was written by another version (${JSON.stringify(version)})`,
  );
}

const driven = z.object({ driver: driverShape });

/** Whose journal it is, also when the rest of the line means nothing to us. */
export function peekDriver(line: string): Driver | undefined {
  try {
    return driven.safeParse(parseJson(line)).data?.driver;
  } catch {
    return undefined;
  }
}
