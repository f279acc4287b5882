import type { FleetEnd, FleetRow } from '../liveUpdate/desk';
import type { LiveUpdatePlan } from '../liveUpdate/types';
import { plain } from './markdown';
import { blockersOf } from './updateConsent';
import { table } from './updateReport';
import { millisecondsText, updateKindWords, updateMethodTitles, versionsText } from './updateWords';

/** How several updates ended, as Markdown that reads well as it is. */
export function fleetReport({ rows, stopped }: FleetEnd): string {
  const updated = rows.filter(({ record }) => record?.outcome?.kind === 'updated').length;
  const told = rows.flatMap(({ record }) => {
    const outcome = record?.outcome;
    if (outcome === undefined) return [];
    const lines = [
      ...(outcome.kind === 'updated' ? [] : [outcome.headline, ...outcome.details]),
      ...outcome.leftovers,
      ...(outcome.kind === 'updated' ? [] : [outcome.nextStep]),
    ].filter((line) => line !== '');
    return lines.length === 0 ? [] : [`## ${plain(record?.label ?? '')}`, ...lines.map(plain)];
  });
  return `${[
    `# Live update: ${updated} of ${rows.length} machines`,
    stopped === undefined ? 'All went well.' : `**Stopped.** ${plain(stopped)}`,
    table(['Machine', 'End', 'QEMU', 'Way', 'Pause', 'STOP to RESUME'], rows.map(fleetCells)),
    ...told,
  ].join('\n\n')}\n`;
}

/** One machine as a row: what became of it, and how long it stood still. */
export function fleetCells({ plan, record, skipped }: FleetRow): readonly string[] {
  const outcome = record?.outcome;
  return [
    plan.label,
    outcome === undefined ? (skipped ?? 'under way') : updateKindWords[outcome.kind],
    versionsText(plan.sourceVersion, plan.targetVersion),
    plan.method,
    millisecondsText(outcome?.times.downtimeMs),
    millisecondsText(outcome?.times.blackoutMs),
  ];
}

/** What is going to happen to several machines: a table, then each plan. */
export function plansReport(
  plans: readonly LiveUpdatePlan[],
  document: (plan: LiveUpdatePlan) => string,
): string {
  const rows = plans.map((plan) => {
    const blockers = blockersOf(plan).length;
    const warnings = plan.findings.filter(({ level }) => level === 'warns').length;
    return [
      plan.label,
      versionsText(plan.sourceVersion, plan.targetVersion),
      updateMethodTitles[plan.method],
      [
        blockers === 0 ? undefined : `${blockers} blocking`,
        warnings === 0 ? undefined : `${warnings} to think about`,
      ]
        .filter((part) => part !== undefined)
        .join(', ') || 'ready',
    ];
  });
  return `${[
    `# Live update of ${plans.length} machines`,
    table(['Machine', 'QEMU', 'Way', 'Findings'], rows),
    ...plans.map((plan) => document(plan).trim()),
  ].join('\n\n')}\n`;
}
