import type { UpdateOutcome } from '../liveUpdate/types';
import type { LiveUpdateRecord } from '../liveUpdate/updates';
import type { MachineId } from '../../vm/types';
import type { NodeIcon, ViewNode } from './nodes';
import { pauseFigures, updateKindWords, updateProgressText, versionsText } from './updateWords';

const icons: Readonly<Record<UpdateOutcome['kind'], NodeIcon>> = {
  updated: { codicon: 'pass', color: 'testing.iconPassed' },
  refused: { codicon: 'circle-slash', color: 'problemsWarningIcon.foreground' },
  failed: { codicon: 'error', color: 'problemsErrorIcon.foreground' },
  cancelled: { codicon: 'circle-slash' },
  unknown: { codicon: 'question', color: 'problemsErrorIcon.foreground' },
};

/** "Live update": how the one under way goes, or the last one ended. */
export function updateNode(id: MachineId, record: LiveUpdateRecord): ViewNode {
  const { outcome, plan, progress } = record;
  const description =
    outcome === undefined ? updateProgressText(progress) : endText(record, outcome);
  return {
    id: `vm:${id}/live-update`,
    kind: 'live-update',
    machineId: id,
    label: 'Live update',
    description,
    icon: outcome === undefined ? { codicon: 'sync~spin' } : icons[outcome.kind],
    tooltip: {
      title: `Live update: ${description}`,
      ...(outcome !== undefined && {
        note: [outcome.headline, ...outcome.leftovers, outcome.nextStep].join(' ').trim(),
      }),
      ...(plan !== undefined && { fields: [['Program', plan.start.program]] }),
    },
    expansion: 'leaf',
    tags: ['live-update', outcome === undefined ? 'updating' : 'ended', 'copyable'],
    spoken: `Live update, ${description}`,
    copyText: description,
    children: [],
  };
}

function endText({ plan }: LiveUpdateRecord, { kind, times }: UpdateOutcome): string {
  if (kind !== 'updated') return updateKindWords[kind];
  const versions = plan && versionsText(plan.sourceVersion, plan.targetVersion);
  return [versions ?? updateKindWords[kind], pauseFigures(times)]
    .filter((part) => part !== '')
    .join(' · ');
}
