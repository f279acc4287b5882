import type { Unit } from './catalogueTypes';

export type QuantityResult = { ok: true; value: bigint } | { ok: false; problem: string };

/** Turns what a person types into the number QMP takes. */
export function parseQuantity(text: string, unit: Unit): QuantityResult {
  throw new Error(`Not written yet: ${text}, ${unit}`);
}

/** The shortest form that `parseQuantity` reads back as the same number. */
export function formatQuantity(value: bigint | number, unit: Unit): string {
  return `${value.toString()} ${unit}`;
}

export function formatDurationMs(ms: number | bigint): string {
  return formatQuantity(ms, 'ms');
}

export function formatBytes(bytes: number | bigint): string {
  return formatQuantity(bytes, 'bytes');
}

export function formatRate(bytesPerSecond: number | bigint): string {
  return formatQuantity(bytesPerSecond, 'bytes/s');
}
