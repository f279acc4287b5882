import { methodOf } from '../migration/methods/names';
import type { RunOutcome, RunRecord } from '../migration/run/types';
import { formatBytes, formatDurationMs } from '../migration/settings/units';

/** An outcome for people. */
export function outcomeLines(outcome: RunOutcome): string[] {
  const { headline, details, nextStep } = outcome;
  return [headline, ...details, ...figures(outcome), nextStep, ...hints(outcome)].filter(
    (line) => line !== '',
  );
}

/** What of a refusal is an option of this program. */
function hints({ obstacles = [], canBeForced }: RunOutcome): string[] {
  return [
    ...(obstacles.some(({ id }) => id === 'tcp-consent')
      ? ['To agree to TCP without TLS for this run, add --allow-plain-tcp.']
      : []),
    ...(canBeForced === true
      ? ['To go on all the same, add --force "REASON"; the reason is kept in the journal.']
      : []),
  ];
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
