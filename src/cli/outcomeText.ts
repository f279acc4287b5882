import { methodOf } from '../migration/methods/names';
import type { RunOutcome, RunRecord } from '../migration/run/types';
import { formatBytes, formatDurationMs } from '../migration/settings/units';

/** An outcome for people. */
export function outcomeLines(outcome: RunOutcome): string[] {
  return [outcome.headline, ...outcome.details, ...figures(outcome), outcome.nextStep].filter(
    (line) => line !== '',
  );
}

/** An outcome for programs. */
export function outcomeDocument(
  record: RunRecord,
  { kind, ...rest }: RunOutcome,
  paths: { readonly source: string; readonly target: string },
): Record<string, unknown> {
  return {
    outcome: kind,
    ...rest,
    run: record.journalId,
    method: methodOf(record.request),
    file: record.request.options?.file?.path,
    forceReason: record.request.force?.reason,
    source: { socket: paths.source, name: record.sourceLabel },
    target: { socket: paths.target, name: record.targetLabel },
    transport: record.request.transport,
    backendTransfer: record.request.backendTransfer,
    maxBandwidthBytesPerSecond: record.request.maxBandwidthBytesPerSecond,
    startedAt: new Date(record.startedAt).toISOString(),
  };
}

/** What the headline does not tell. */
function figures({ totalTimeMs, transferredBytes }: RunOutcome): string[] {
  const parts = [
    totalTimeMs === undefined ? undefined : `took ${formatDurationMs(totalTimeMs)}`,
    transferredBytes === undefined ? undefined : `moved ${formatBytes(transferredBytes)}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? [] : [`The migration ${parts.join(' and ')}.`];
}
