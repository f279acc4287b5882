import type { MachineId, MachineSnapshot, VmFacts } from '../../vm/types';
import { isMigrating } from '../../vm/machine';
import { progressOf } from '../run/progressFigures';
import { readMigrationInfo, type MigrationInfo } from '../run/migrationInfo';
import { noProgress, progressLine } from '../run/progressText';
import type { OutcomeKind, RunOutcome, RunRecord } from '../run/types';
import { formatBytes, formatDurationMs, formatRate } from '../settings/units';
import type { NodeIcon, ViewNode } from './nodes';

/** "Migration": what goes on now, or how the last one ended. */
export function migrationNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  run: RunRecord | undefined,
): ViewNode {
  const info = readMigrationInfo(facts.migration);
  const { description, icon, tags } = lookOf(snapshot.id, facts, info, run);
  const failure = facts.failures.migration;
  const children = details(snapshot.id, info, run);
  return {
    id: `vm:${snapshot.id}/migration`,
    kind: 'migration',
    machineId: snapshot.id,
    label: 'Migration',
    description: failure === undefined ? description : 'could not be read',
    icon: failure === undefined ? icon : { codicon: 'warning' },
    tooltip: {
      title: `Migration: ${description}`,
      fields: [['QMP', 'query-migrate']],
      ...(failure !== undefined && { warnings: [failure.message] }),
    },
    expansion: children.length === 0 ? 'leaf' : 'expanded',
    tags: ['migration', ...tags],
    spoken: `Migration, ${description}`,
    children,
  };
}

/** The machine row's text while it takes part in a run. */
export function runSummary(run: RunRecord, id: MachineId): string {
  const way =
    run.request.source === id ? `to ${run.targetLabel}` : `coming from ${run.sourceLabel}`;
  return `${way} · ${progressLine(run.progress)}`;
}

interface Look {
  readonly description: string;
  readonly icon: NodeIcon;
  readonly tags: readonly string[];
}

const outcomeIcons: Readonly<Record<OutcomeKind, NodeIcon>> = {
  completed: { codicon: 'pass', color: 'testing.iconPassed' },
  refused: { codicon: 'circle-slash', color: 'problemsWarningIcon.foreground' },
  failed: { codicon: 'error', color: 'problemsErrorIcon.foreground' },
  cancelled: { codicon: 'circle-slash' },
  'too-late-to-cancel': { codicon: 'pass', color: 'problemsWarningIcon.foreground' },
  unknown: { codicon: 'question', color: 'problemsErrorIcon.foreground' },
};

function lookOf(
  id: MachineId,
  facts: VmFacts,
  info: MigrationInfo,
  run: RunRecord | undefined,
): Look {
  if (run !== undefined && run.outcome === undefined) {
    return { description: runSummary(run, id), icon: { codicon: 'sync~spin' }, tags: ['running'] };
  }
  if (isMigrating(facts.migration) && facts.runState.status !== 'inmigrate') {
    // Somebody else's: shown, and cancelled only by them.
    const line = progressLine({
      ...noProgress,
      ...progressOf(info),
      phase: 'transfer',
    });
    return {
      description: `${info.status ?? ''} · ${line}`,
      icon: { codicon: 'sync~spin' },
      tags: ['foreign'],
    };
  }
  if (run?.outcome !== undefined) {
    return {
      description: run.outcome.kind.replaceAll('-', ' '),
      icon: outcomeIcons[run.outcome.kind],
      tags: ['ended'],
    };
  }
  const status = info.status ?? 'none';
  return {
    description: status === 'none' ? 'no run yet' : status,
    icon: { codicon: 'git-compare' },
    tags: ['idle'],
  };
}

function details(
  id: MachineId,
  info: MigrationInfo,
  run: RunRecord | undefined,
): readonly ViewNode[] {
  const rows: (readonly [label: string, value: string | undefined])[] =
    run?.outcome !== undefined
      ? outcomeRows(run, run.outcome)
      : [
          ['status', info.status],
          [
            'memory left',
            info.remainingBytes === undefined ? undefined : formatBytes(info.remainingBytes),
          ],
          [
            'transferred',
            info.transferredBytes === undefined ? undefined : formatBytes(info.transferredBytes),
          ],
          [
            'speed',
            info.bytesPerSecond === undefined ? undefined : formatRate(info.bytesPerSecond),
          ],
          [
            'total time',
            info.totalTimeMs === undefined ? undefined : formatDurationMs(info.totalTimeMs),
          ],
          ['pause', info.downtimeMs === undefined ? undefined : formatDurationMs(info.downtimeMs)],
          ['error', info.errorText],
        ];
  return rows.flatMap(([label, value]) =>
    value === undefined ? [] : [detailNode(id, label, value)],
  );
}

function outcomeRows(
  run: RunRecord,
  outcome: RunOutcome,
): (readonly [string, string | undefined])[] {
  const duration = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : formatDurationMs(ms);
  return [
    ['result', outcome.headline],
    ...outcome.details.map(
      (line, index) => [index === 0 ? 'details' : `details ${index + 1}`, line] as const,
    ),
    ['next', outcome.nextStep],
    [
      'way',
      `${run.sourceLabel} → ${run.targetLabel} · ${run.request.transport === 'fd' ? 'descriptor pair' : 'UNIX socket'}`,
    ],
    ['pause', duration(outcome.downtimeMs)],
    ['total time', duration(outcome.totalTimeMs)],
    [
      'transferred',
      outcome.transferredBytes === undefined ? undefined : formatBytes(outcome.transferredBytes),
    ],
  ];
}

function detailNode(id: MachineId, label: string, value: string): ViewNode {
  return {
    id: `vm:${id}/migration/${label}`,
    kind: 'migration-detail',
    machineId: id,
    subject: label,
    label,
    description: value,
    tooltip: { title: label, fields: [[label, value]] },
    expansion: 'leaf',
    tags: ['migration-detail', 'copyable'],
    spoken: `${label}, ${value}`,
    copyText: value,
    children: [],
  };
}
