import type { MachineId } from '../../vm/types';
import type { ControlOffer } from '../run/controls';
import type { ConvergenceVerdict, Remedy } from '../run/pace/convergence';
import type { RunProgress, RunRecord } from '../run/types';
import { formatDurationMs, formatRate } from '../settings/units';
import { lampOf } from './lamp';
import type { ViewNode } from './nodes';

/** "guest": who may run it. */
export function lampNode(run: RunRecord, id: MachineId): ViewNode {
  const lamp = lampOf(run, id);
  return {
    id: `vm:${id}/migration/guest`,
    kind: 'lamp',
    machineId: id,
    label: 'guest',
    description: lamp.words,
    tooltip: {
      title: `Guest: ${lamp.words}`,
      note: lamp.meaning,
      fields: [
        ['Source', run.sourceLabel],
        ['Target', run.targetLabel],
      ],
    },
    icon: lamp.icon,
    expansion: 'leaf',
    tags: ['lamp', 'copyable'],
    spoken: `Guest: ${lamp.words}. ${lamp.meaning}`,
    copyText: lamp.words,
    children: [],
  };
}

/** Whether the migration comes to an end, with what could be done below it. */
export function verdictNode(verdict: ConvergenceVerdict, id: MachineId): ViewNode {
  const ends = verdict.kind === 'converging';
  const children = ends ? [] : verdict.remedies.map((remedy) => remedyNode(remedy, id));
  return {
    // VS Code keeps a row closed that had nothing below it once; another verdict is another row.
    id: `vm:${id}/migration/verdict/${verdict.kind}`,
    kind: 'verdict',
    machineId: id,
    label: ends ? 'Converging' : 'Not converging',
    description: verdict.text,
    tooltip: {
      title: ends ? 'This migration comes to an end' : 'This migration may never come to an end',
      note: verdict.text,
      ...(children.length > 0 && {
        body: 'The rows below say what can be done; Enter or a click does it, for this run.',
      }),
    },
    icon: ends
      ? { codicon: 'pass', color: 'testing.iconPassed' }
      : { codicon: 'warning', color: 'problemsWarningIcon.foreground' },
    expansion: children.length === 0 ? 'leaf' : 'expanded',
    tags: ['verdict', verdict.kind, 'copyable'],
    spoken: `${ends ? 'Converging' : 'Not converging'}: ${verdict.text}`,
    copyText: verdict.text,
    children,
  };
}

function remedyNode(remedy: Remedy, id: MachineId): ViewNode {
  const { title, explanation, parameters } = remedy;
  const names = Object.keys(parameters);
  return {
    id: `vm:${id}/migration/remedy/${remedy.id}`,
    kind: 'remedy',
    machineId: id,
    subject: remedy.id,
    label: title,
    description: explanation,
    tooltip: {
      title,
      note: explanation,
      ...(names.length > 0 && { fields: [['QMP', `migrate-set-parameters ${names.join(' ')}`]] }),
    },
    icon: { codicon: 'lightbulb' },
    expansion: 'leaf',
    tags: ['remedy'],
    spoken: `${title}. ${explanation}`,
    click: 'apply-remedy',
    children: [],
  };
}

/** What a cancel without effect needs: a row that says so, and leads to the controls. */
export function hangingNode(id: MachineId, yank: ControlOffer | undefined): ViewNode {
  const next =
    yank?.offered === true ? 'Yank cuts the connection.' : 'It takes effect once QEMU answers.';
  return {
    id: `vm:${id}/migration/cancel`,
    kind: 'hanging',
    machineId: id,
    label: 'Cancel has had no effect yet',
    description: next,
    tooltip: { title: 'Cancel has had no effect yet', note: yank?.explanation ?? next },
    icon: { codicon: 'warning', color: 'problemsWarningIcon.foreground' },
    expansion: 'leaf',
    tags: ['hanging', ...(yank?.offered === true ? ['can-yank'] : [])],
    spoken: `Cancel has had no effect yet. ${next}`,
    children: [],
  };
}

/** Figures of our own run beside those that QEMU shows to everybody. */
export function progressRows({
  dirtyBytesPerSecond,
  expectedDowntimeMs,
  downtimeLimitMs,
  throttlePercent,
  note,
}: RunProgress): readonly (readonly [label: string, value: string | undefined])[] {
  return [
    [
      'guest writes',
      dirtyBytesPerSecond === undefined ? undefined : formatRate(dirtyBytesPerSecond),
    ],
    ['pause expected', pauseText(expectedDowntimeMs, downtimeLimitMs)],
    ['guest slowed by', throttlePercent === undefined ? undefined : `${throttlePercent} %`],
    ['note', note],
  ];
}

function pauseText(expected: number | undefined, limit: number | undefined): string | undefined {
  if (expected === undefined) return undefined;
  const text = formatDurationMs(expected);
  return limit === undefined ? text : `${text} of ${formatDurationMs(limit)}`;
}

/** `can-ID` for each control that can be used now, for menus. */
export function controlTags(offers: readonly ControlOffer[] | undefined): readonly string[] {
  return (offers ?? []).flatMap(({ id, offered }) => (offered ? [`can-${id}`] : []));
}
