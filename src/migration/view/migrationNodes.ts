import type { MachineId, MachineSnapshot, VmFacts } from '../../vm/types';
import { isMigrating } from '../../vm/machine';
import { progressOf } from '../run/progressFigures';
import { readMigrationInfo, type MigrationInfo } from '../run/migrationInfo';
import { noProgress, progressLine } from '../run/progressText';
import { isOneSided, methodOf, methodTitles } from '../methods/names';
import type { OutcomeKind, RunOutcome, RunRecord, Transport } from '../run/types';
import { formatBytes, formatDurationMs, formatRate } from '../settings/units';
import type { MachineContext, OtherDriver } from './context';
import { lampOf, lampText } from './lamp';
import type { NodeIcon, ViewNode } from './nodes';
import { controlTags, hangingNode, lampNode, progressRows, verdictNode } from './runNodes';

/** "Migration": what goes on now, or how the last one ended. */
export function migrationNode(
  snapshot: MachineSnapshot,
  facts: VmFacts,
  context: MachineContext,
): ViewNode {
  const { run, offers } = context;
  const info = readMigrationInfo(facts.migration);
  const { description, icon, tags } = lookOf(snapshot.id, facts, info, context);
  const failure = facts.failures.migration;
  const children = [
    ...driverNodes(snapshot.id, facts, context),
    ...runNodes(snapshot.id, context),
    ...details(snapshot.id, info, run),
  ];
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
    tags: ['migration', ...tags, ...controlTags(offers)],
    spoken: `Migration, ${description}`,
    children,
  };
}

/** The machine row's text while it takes part in a run: who may run the guest comes first. */
export function runSummary(run: RunRecord, id: MachineId): string {
  return `${lampText(lampOf(run, id))} · ${progressSummary(run, id)}`;
}

function progressSummary(run: RunRecord, id: MachineId): string {
  return `${wayText(run, id)} · ${progressLine(run.progress)}`;
}

/** Shortest words for what a run does with a machine. */
function wayText({ request, sourceLabel, targetLabel }: RunRecord, id: MachineId): string {
  const method = methodOf(request);
  switch (method) {
    case 'save':
      return 'to a file';
    case 'restore':
      return 'from a file';
    case 'cpr-exec':
      return 'live update in place';
    case 'cpr-reboot':
      return 'to a file, for a restart of the host';
    case 'precopy':
    case 'postcopy':
    case 'shared-ram':
    case 'cpr-transfer':
      return request.source === id ? `to ${targetLabel}` : `coming from ${sourceLabel}`;
  }
}

/** Another program that migrates this machine, as far as the journals tell. */
export function otherDriver(
  facts: VmFacts,
  { run, driver }: MachineContext,
): OtherDriver | undefined {
  const ours = run !== undefined && run.outcome === undefined;
  return ours || !isMigrating(facts.migration) ? undefined : driver;
}

export function driverText({ program, pid }: OtherDriver): string {
  return `driven by ${program}, pid ${pid}`;
}

function driverNodes(id: MachineId, facts: VmFacts, context: MachineContext): readonly ViewNode[] {
  const driver = otherDriver(facts, context);
  if (driver === undefined) return [];
  const words = `${driver.program}, pid ${driver.pid}`;
  return [
    {
      ...detailNode(id, 'driven by', words),
      kind: 'driver',
      icon: { codicon: 'account' },
      tooltip: {
        title: 'Driven by another program',
        note: 'This window only shows it: control and cancel it there. Should that program end, this window takes the migration up.',
        fields: [
          ['Program', driver.program],
          ['Process', `pid ${driver.pid}`],
          ['Run', driver.run],
        ],
      },
    },
  ];
}

/** What a run of ours tells beside figures: who has the guest, whether it ends, what hangs. */
function runNodes(id: MachineId, { run, offers }: MachineContext): readonly ViewNode[] {
  if (run === undefined) return [];
  const lamp = lampNode(run, id);
  if (run.outcome !== undefined || run.request.source !== id) return [lamp];
  const { verdict, cancelHangs } = run.progress;
  const yank = offers?.find((offer) => offer.id === 'yank');
  return [
    lamp,
    ...(cancelHangs ? [hangingNode(id, yank)] : []),
    ...(verdict === undefined ? [] : [verdictNode(verdict, id)]),
  ];
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

/** Turning while something moves, still while it waits for a person. */
export function runningIcon({ progress: { phase } }: RunRecord): NodeIcon {
  if (phase === 'held') return { codicon: 'debug-pause', color: 'charts.yellow' };
  const needsSomebody = phase === 'interrupted' || phase === 'needs-you';
  return needsSomebody
    ? { codicon: 'warning', color: 'problemsWarningIcon.foreground' }
    : { codicon: 'sync~spin' };
}

function lookOf(id: MachineId, facts: VmFacts, info: MigrationInfo, context: MachineContext): Look {
  const { run } = context;
  if (run !== undefined && run.outcome === undefined) {
    const description = progressSummary(run, id);
    return { description, icon: runningIcon(run), tags: ['running', run.progress.phase] };
  }
  if (isMigrating(facts.migration) && facts.runState.status !== 'inmigrate') {
    // Somebody else's: shown, and cancelled only by them.
    const line = progressLine({
      ...noProgress,
      ...progressOf(info),
      phase: 'transfer',
    });
    const driver = otherDriver(facts, context);
    const who = driver === undefined ? [] : [driverText(driver)];
    return {
      description: [info.status ?? '', line, ...who].join(' · '),
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
          ...(run?.request.source === id ? progressRows(run.progress) : []),
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
    ['way', outcomeWay(run)],
    ['pause', duration(outcome.downtimeMs)],
    ['total time', duration(outcome.totalTimeMs)],
    [
      'transferred',
      outcome.transferredBytes === undefined ? undefined : formatBytes(outcome.transferredBytes),
    ],
  ];
}

const transportWords: Readonly<Record<Transport, string>> = {
  fd: 'descriptor pair',
  unix: 'UNIX socket',
  tcp: 'TCP',
};

function outcomeWay({ request, sourceLabel, targetLabel }: RunRecord): string {
  const method = methodOf(request);
  const file = request.options?.file?.path;
  if (isOneSided(method)) {
    return [methodTitles[method], ...(file === undefined ? [] : [file])].join(' · ');
  }
  return [
    `${sourceLabel} → ${targetLabel}`,
    ...(method === 'precopy' ? [] : [methodTitles[method]]),
    transportWords[request.transport],
  ].join(' · ');
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
