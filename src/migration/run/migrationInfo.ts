import * as z from 'zod/mini';
import type { JsonObject } from '../../qmp/json';

/** One odd field must not hide the others: QEMU's reasons and errors above all. */
function lenient<T>(type: z.ZodMiniType<T>): z.ZodMiniType<T | undefined> {
  return z.catch(z.optional(type), undefined);
}

/** QMP integers may come as bigint; these figures are shown, not sent, so a double will do. */
const figure = lenient(z.pipe(z.union([z.number(), z.bigint()]), z.transform(Number)));

const ramShape = z.looseObject({
  total: figure,
  remaining: figure,
  transferred: figure,
  mbps: figure,
  'dirty-sync-count': figure,
  'dirty-pages-rate': figure,
  'page-size': figure,
});

const shape = z.looseObject({
  status: lenient(z.string()),
  'total-time': figure,
  downtime: figure,
  'expected-downtime': figure,
  'error-desc': lenient(z.string()),
  'cpu-throttle-percentage': figure,
  'blocked-reasons': lenient(z.array(z.string())),
  ram: lenient(ramShape),
});

/** QAPI `MigrationInfo`, the part that is shown; units in the names. */
export interface MigrationInfo {
  /** QAPI `MigrationStatus`; `undefined` before any migration. Unknown values may come. */
  readonly status: string | undefined;
  readonly totalTimeMs: number | undefined;
  readonly downtimeMs: number | undefined;
  readonly expectedDowntimeMs: number | undefined;
  /** For showing, never for branching on. */
  readonly errorText: string | undefined;
  readonly blockedReasons: readonly string[];
  readonly totalBytes: number | undefined;
  readonly remainingBytes: number | undefined;
  readonly transferredBytes: number | undefined;
  readonly bytesPerSecond: number | undefined;
  readonly dirtyBytesPerSecond: number | undefined;
  readonly pass: number | undefined;
  /** By how much the guest is slowed down, 1..99. */
  readonly throttlePercent: number | undefined;
}

/** Reads an answer of `query-migrate`. What has an unexpected type is left out, never fatal. */
export function readMigrationInfo(answer: JsonObject): MigrationInfo {
  const info = z.parse(shape, answer);
  const { ram } = info;
  const dirtyPages = ram?.['dirty-pages-rate'];
  const pageSize = ram?.['page-size'];
  return {
    status: info.status,
    totalTimeMs: info['total-time'],
    downtimeMs: info.downtime,
    expectedDowntimeMs: info['expected-downtime'],
    errorText: info['error-desc'],
    blockedReasons: info['blocked-reasons'] ?? [],
    totalBytes: ram?.total,
    remainingBytes: ram?.remaining,
    transferredBytes: ram?.transferred,
    // QEMU's mbps are megabits, 10^6.
    bytesPerSecond: ram?.mbps === undefined ? undefined : (ram.mbps * 1e6) / 8,
    dirtyBytesPerSecond:
      dirtyPages === undefined || pageSize === undefined ? undefined : dirtyPages * pageSize,
    pass: ram?.['dirty-sync-count'],
    throttlePercent: info['cpu-throttle-percentage'],
  };
}

/** Where a `MigrationStatus` stands in the course of a migration, seen from the source. */
export type StatusStage =
  | 'none'
  /** Data flows; the guest runs on the source. */
  | 'moving'
  /** The guest is stopped, all can still be undone without the target's word. */
  | 'paused-before-switchover'
  /** The guest may be in the target's hands: nothing may be undone without the target's word. */
  | 'point-of-no-return'
  | 'ending'
  | 'completed'
  | 'failed'
  | 'cancelled';

/** Unknown statuses of later QEMUs count as beyond the point of no return: the careful reading. */
export function stageOf(status: string | undefined): StatusStage {
  switch (status) {
    case undefined:
    case 'none':
      return 'none';
    case 'setup':
    case 'active':
    case 'wait-unplug':
      return 'moving';
    case 'pre-switchover':
      return 'paused-before-switchover';
    case 'cancelling':
    case 'failing':
      return 'ending';
    case 'completed':
      return 'completed';
    case 'failed':
      return 'failed';
    case 'cancelled':
      return 'cancelled';
    default:
      return 'point-of-no-return';
  }
}
