/** Prints what was measured, and says of each goal whether it was met. */

export interface Row {
  readonly what: string;
  readonly measured: string;
  /** In words, such as `>= 0.95`; absent where there is no goal. */
  readonly goal?: string;
  readonly met?: boolean;
}

export function printTable(title: string, rows: readonly Row[]): void {
  const cells = rows.map((row) => [row.what, row.measured, row.goal ?? '', verdict(row)]);
  const widths = [0, 1, 2].map((column) =>
    Math.max(...cells.map((line) => (line[column] ?? '').length)),
  );
  process.stdout.write(`\n${title}\n`);
  for (const line of cells) {
    const text = line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
    process.stdout.write(`  ${text.trimEnd()}\n`);
  }
}

function verdict({ met }: Row): string {
  if (met === undefined) return '';
  return met ? 'met' : 'MISSED';
}

/** The value below which `share` (0..1) of all values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor(share * sorted.length));
  return sorted[index] ?? NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}
