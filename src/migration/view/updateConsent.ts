import type { LiveUpdatePlan } from '../liveUpdate/types';
import type { Finding } from '../preflight/types';
import { isForceable } from '../run/checks/force';
import type { ObstacleId } from '../run/checks/obstacle';
import type { MigrationRequest } from '../run/types';
import { updateMethodMeanings, updateMethodTitles, versionsText } from './updateWords';

/** Whether a plan can be carried out as it is, or after a typed reason. */
export type PlanVerdict = 'ready' | 'overrulable' | 'blocked';

export function blockersOf({ findings }: Pick<LiveUpdatePlan, 'findings'>): readonly Finding[] {
  return findings.filter(({ level }) => level === 'blocks');
}

export function verdictOf(plan: LiveUpdatePlan): PlanVerdict {
  const blockers = blockersOf(plan);
  if (blockers.length === 0) return 'ready';
  const { machine } = plan.request;
  const request: MigrationRequest = { ...plan.run, source: machine, target: machine };
  const canBeForced = blockers.every(({ id }) => isForceable({ id: id as ObstacleId }, request));
  return canBeForced ? 'overrulable' : 'blocked';
}

/** What blocks, in a few sentences. */
export function blockedText(plan: LiveUpdatePlan): string {
  const blockers = blockersOf(plan);
  const [first] = blockers;
  if (first === undefined) return '';
  const more =
    blockers.length === 1 ? '' : ` There ${areMore(blockers.length - 1)}: the plan has all.`;
  const told = [first.what, first.nextStep].filter((part) => part !== '').join(' ');
  return `${plan.label} cannot be updated like this. ${told}${more}`;
}

function areMore(many: number): string {
  return many === 1 ? 'is one more obstacle' : `are ${many} more obstacles`;
}

/** The question before a live update, and in a few lines what happens to the guest. */
export function consentText(plan: LiveUpdatePlan): {
  readonly message: string;
  readonly detail: string;
} {
  const { label, method, start, request, sourceVersion, targetVersion, findings } = plan;
  const taps = [...new Set(start.adopt.flatMap(({ tap }) => tap ?? []))];
  const warnings = findings.filter(({ level }) => level === 'warns');
  return {
    message: `Put another QEMU under ${label} now? ${versionsText(sourceVersion, targetVersion)}`,
    detail: [
      `${updateMethodTitles[method]}: ${updateMethodMeanings[method]}`,
      'The guest stands still for a moment while it goes over, and keeps its memory and devices.',
      ...(taps.length === 0 ? [] : [`It keeps the very same network: ${taps.join(', ')}.`]),
      method === 'cpr-exec'
        ? 'There is no way back once the process has become the new program.'
        : `Until it has gone over, whatever fails leaves it running in its old QEMU.`,
      ...(warnings.length === 0
        ? []
        : [`To think about: ${warnings.map(({ what }) => what).join(' ')}`]),
      ...(request.force === undefined ? [] : [`Overruled, because: ${request.force.reason}`]),
    ].join('\n'),
  };
}
