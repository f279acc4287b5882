import type { FleetEnd } from '../migration/liveUpdate/desk';
import type { LiveUpdateRecord } from '../migration/liveUpdate/updates';
import { longestPause } from '../migration/liveUpdate/several';
import type { LiveUpdatePlan, UpdateOutcome } from '../migration/liveUpdate/types';
import { fleetCells } from '../migration/view/fleetReport';
import {
  ledgerCells,
  ledgerHead,
  ledgerSummary,
  timeRows,
  updateMethodTitles,
  versionsText,
} from '../migration/view/updateWords';
import { ExitCode } from './exitCodes';
import { table } from './text';

/** How a live update ended, as a number. Where it is not proven who has the guest it is 8. */
export function updateExitCode({ kind, run }: UpdateOutcome): ExitCode {
  switch (kind) {
    case 'updated':
      return run?.kind === 'too-late-to-cancel' ? ExitCode.tooLateToCancel : ExitCode.ok;
    case 'refused':
      return ExitCode.refused;
    case 'failed':
    case 'cancelled':
      if (run !== undefined && run.owner !== 'source') return ExitCode.unknown;
      return kind === 'failed' ? ExitCode.failed : ExitCode.cancelled;
    case 'unknown':
      return ExitCode.unknown;
  }
}

/** What keeps a plan from being carried out, each with what to do. */
export function planLines({ label, findings }: LiveUpdatePlan): string[] {
  return [
    `${label} was not updated, and nothing was changed:`,
    ...findings
      .filter(({ level }) => level === 'blocks')
      .flatMap(({ what, why, nextStep }) => [
        `  ${what}`,
        ...[why, nextStep].filter((part) => part !== '').map((part) => `    ${part}`),
      ]),
  ];
}

/** An outcome for people: what happened, the times, the descriptors, what was left. */
export function updateLines(
  { plan, journalId }: LiveUpdateRecord,
  outcome: UpdateOutcome,
): string[] {
  const { headline, details, nextStep, ledger, leftovers, kind } = outcome;
  return [
    headline,
    ...details,
    ...(kind === 'updated' && plan !== undefined ? [wayText(plan)] : []),
    ...titled('Times', table(timeRows(outcome.times), '  ')),
    ...(ledger.length === 0
      ? []
      : titled(
          `Descriptors: ${ledgerSummary(ledger)}`,
          table([ledgerHead.map((word) => word.toUpperCase()), ...ledgerCells(ledger)], '  '),
        )),
    ...titled(
      'Left behind',
      leftovers.map((each) => `  ${each}`),
    ),
    ...(nextStep === '' ? [] : ['', nextStep]),
    ...(kind === 'unknown' && journalId !== undefined
      ? [`To look again:  qemu-migration resume ${journalId}`]
      : []),
  ];
}

function wayText({ sourceVersion, targetVersion, method }: LiveUpdatePlan): string {
  return `QEMU ${versionsText(sourceVersion, targetVersion)}, by ${updateMethodTitles[method]}.`;
}

function titled(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines];
}

/** For programs; see docs/automation.md. */
export function updateDocument({
  machine,
  label,
  plan,
  outcome,
  startedAt,
  journalId,
  progress,
}: LiveUpdateRecord): Record<string, unknown> {
  return {
    machine: { socket: machine, name: label },
    outcome: outcome?.kind ?? 'unknown',
    headline: outcome?.headline,
    details: outcome?.details,
    nextStep: outcome?.nextStep,
    update: journalId,
    method: plan?.method,
    why: plan?.why,
    program: plan?.start.program,
    fromVersion: plan?.sourceVersion,
    toVersion: plan?.targetVersion,
    times: outcome?.times,
    ledger: outcome?.ledger,
    leftovers: outcome?.leftovers,
    findings: outcome?.findings ?? plan?.findings,
    targetPid: outcome?.targetPid,
    migration: outcome?.run && {
      outcome: outcome.run.kind,
      owner: outcome.run.owner,
      totalTimeMs: outcome.run.totalTimeMs,
      transferredBytes: outcome.run.transferredBytes,
      sourceError: outcome.run.sourceError,
      targetError: outcome.run.targetError,
      cause: outcome.run.causeId,
    },
    phase: outcome === undefined ? progress.phase : undefined,
    forceReason: plan?.request.force?.reason,
    startedAt: new Date(startedAt).toISOString(),
  };
}

/** The gravest of all ends; a stop at the limit only where nothing worse happened. */
export function fleetExitCode({ rows, stopped, breached }: FleetEnd): ExitCode {
  const codes = rows.flatMap(({ record }) =>
    record?.outcome === undefined ? [] : [updateExitCode(record.outcome)],
  );
  const gravest = [
    ExitCode.unknown,
    ExitCode.failed,
    ExitCode.tooLateToCancel,
    ExitCode.cancelled,
    ExitCode.refused,
  ].find((code) => codes.includes(code));
  if (gravest !== undefined) return gravest;
  if (breached) return ExitCode.limit;
  return stopped === undefined ? ExitCode.ok : ExitCode.refused;
}

export function fleetLines({ rows, stopped }: FleetEnd): string[] {
  const updated = rows.filter(({ record }) => record?.outcome?.kind === 'updated').length;
  const head = `${updated} of ${rows.length} machines ${updated === 1 ? 'is' : 'are'} updated.`;
  return [
    stopped === undefined ? head : `Stopped: ${stopped} ${head}`,
    '',
    ...table([['MACHINE', 'END', 'QEMU', 'WAY', 'PAUSE', 'STOP-RESUME'], ...rows.map(fleetCells)]),
    ...rows.flatMap(({ record }) => record?.outcome?.leftovers ?? []),
    ...rows.flatMap(({ record }) =>
      record?.outcome === undefined || record.outcome.kind === 'updated'
        ? []
        : ['', record.outcome.headline, ...record.outcome.details, record.outcome.nextStep],
    ),
  ];
}

export function fleetDocument(end: FleetEnd): Record<string, unknown> {
  const { rows, stopped, breached } = end;
  return {
    stopped,
    limitExceeded: breached,
    machines: rows.map(({ plan, record, skipped }) =>
      record === undefined
        ? {
            machine: { socket: plan.request.machine, name: plan.label },
            outcome: 'not-begun',
            headline: skipped,
          }
        : {
            exitCode: record.outcome && updateExitCode(record.outcome),
            ...updateDocument(record),
            longestPauseMs: record.outcome && longestPause(record.outcome),
          },
    ),
  };
}
