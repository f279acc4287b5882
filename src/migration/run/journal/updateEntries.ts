import * as z from 'zod/mini';
import {
  driverShape,
  journalVersion,
  machineShape,
  parseLine,
  processShape,
  stamp,
  type Driver,
  type MachineIdentity,
  type ProcessIdentity,
} from './entries';
import { printJson } from './printJson';

/** A file as it was found: the same name may lead to another one later. */
export interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

/** What of a live update's plan is needed by whoever takes the update up. */
export interface JournalledPlan {
  readonly label: string;
  readonly method: string;
  readonly program: string;
  /** The target's QMP socket while both are there; nothing was at that path before. */
  readonly qmpSocket: string;
  readonly cprSocket?: string | undefined;
  readonly logFile: string;
  readonly moves: readonly {
    readonly what: string;
    readonly from: string;
    readonly to: string;
    /** What was at `to` when the update began. */
    readonly old?: FileIdentity | undefined;
  }[];
  readonly pidFile?:
    | {
        readonly path: string;
        /** As it was; QEMU removes it when it ends. */
        readonly mode: number;
        readonly uid: number;
        readonly gid: number;
      }
    | undefined;
  readonly late: readonly {
    readonly what: string;
    readonly command: string;
    /** As JSON text. */
    readonly args: string;
  }[];
  /** The reason of who overruled findings. */
  readonly forced?: string | undefined;
}

/** The end of a live update, as far as it is written down. */
export interface JournalledUpdateEnd {
  readonly kind: 'updated' | 'refused' | 'failed' | 'cancelled' | 'unknown';
  readonly headline: string;
  readonly details: readonly string[];
  readonly nextStep: string;
  readonly leftovers: readonly string[];
  readonly downtimeMs?: number | undefined;
  readonly blackoutMs?: number | undefined;
}

/**
 * What a live update writes down, beside the journal of its run. Those that announce something
 * ("about to") are on disk before it is done.
 */
export type UpdateEntry =
  | {
      readonly kind: 'begin';
      readonly update: string;
      readonly driver: Driver;
      readonly machine: MachineIdentity;
      readonly plan: JournalledPlan;
      readonly guestRan: boolean;
    }
  /** Another process carries the update on. */
  | { readonly kind: 'driver'; readonly driver: Driver }
  /** About to watch over the source's TAPs. */
  | { readonly kind: 'guard' }
  /** About to start the target; its QMP socket's path tells it from all other processes. */
  | { readonly kind: 'launch' }
  | { readonly kind: 'launched'; readonly process: ProcessIdentity }
  /** About to begin the run. */
  | { readonly kind: 'run' }
  /** Its name in the journals of runs. */
  | { readonly kind: 'run-id'; readonly run: string }
  /** About to add a NIC to the target. */
  | { readonly kind: 'device'; readonly device: string }
  /** The target has the guest, and the source none: about to tell the source to quit. */
  | { readonly kind: 'quit-source' }
  | { readonly kind: 'source-gone' }
  /** About to give a path of the target its old name. */
  | { readonly kind: 'move'; readonly from: string; readonly to: string }
  | { readonly kind: 'moved'; readonly from: string; readonly to: string }
  /** About to write the target's process id. */
  | { readonly kind: 'pid-file' }
  /** About to put everything back. */
  | { readonly kind: 'roll-back'; readonly why: string }
  /** About to end the target, which has no guest. */
  | { readonly kind: 'end-target' }
  | { readonly kind: 'gap'; readonly why: string }
  /** Nobody carries it on any more, and it has not ended. */
  | { readonly kind: 'unsettled'; readonly outcome: JournalledUpdateEnd }
  | { readonly kind: 'end'; readonly outcome: JournalledUpdateEnd };

/** With the time of writing, in ms since the epoch. */
export type StampedUpdateEntry = UpdateEntry & { readonly at: number };

const fileShape = z.object({ dev: z.number(), ino: z.number() });

const planShape = z.object({
  label: z.string(),
  method: z.string(),
  program: z.string(),
  qmpSocket: z.string(),
  cprSocket: z.optional(z.string()),
  logFile: z.string(),
  moves: z.array(
    z.object({ what: z.string(), from: z.string(), to: z.string(), old: z.optional(fileShape) }),
  ),
  pidFile: z.optional(z.object({ path: z.string(), mode: z.int(), uid: z.int(), gid: z.int() })),
  late: z.array(z.object({ what: z.string(), command: z.string(), args: z.string() })),
  forced: z.optional(z.string()),
});

const endShape = z.object({
  kind: z.enum(['updated', 'refused', 'failed', 'cancelled', 'unknown']),
  headline: z.string(),
  details: z.array(z.string()),
  nextStep: z.string(),
  leftovers: z.array(z.string()),
  downtimeMs: z.optional(z.number()),
  blackoutMs: z.optional(z.number()),
});

const bare = <K extends string>(kind: K) => z.object({ ...stamp, kind: z.literal(kind) });

const entry = z.discriminatedUnion('kind', [
  z.extend(bare('begin'), {
    update: z.string(),
    driver: driverShape,
    machine: machineShape,
    plan: planShape,
    guestRan: z.boolean(),
  }),
  z.extend(bare('driver'), { driver: driverShape }),
  bare('guard'),
  bare('launch'),
  z.extend(bare('launched'), { process: processShape }),
  bare('run'),
  z.extend(bare('run-id'), { run: z.string() }),
  z.extend(bare('device'), { device: z.string() }),
  bare('quit-source'),
  bare('source-gone'),
  z.extend(bare('move'), { from: z.string(), to: z.string() }),
  z.extend(bare('moved'), { from: z.string(), to: z.string() }),
  bare('pid-file'),
  z.extend(bare('roll-back'), { why: z.string() }),
  bare('end-target'),
  z.extend(bare('gap'), { why: z.string() }),
  z.extend(bare('unsettled'), { outcome: endShape }),
  z.extend(bare('end'), { outcome: endShape }),
]);

/** One line of a journal, without its line feed. */
export function printUpdateEntry(value: StampedUpdateEntry): string {
  return printJson({ v: journalVersion, ...value });
}

/** @throws {BadEntryError} for garbage, and for what another version wrote */
export function parseUpdateEntry(line: string): StampedUpdateEntry {
  return parseLine(line, (value) => entry.safeParse(value));
}
