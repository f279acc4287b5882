import type { LiveUpdatePlan } from './types';

/** The plan in a few lines, until its document is there. */
export function planText(plan: LiveUpdatePlan): string {
  return [
    `# Live update of ${plan.label}`,
    `${plan.sourceVersion} → ${plan.targetVersion ?? '?'}, ${plan.method}: ${plan.why}`,
    ...plan.findings.map(({ level, what, nextStep }) => `- ${level}: ${what} ${nextStep}`),
    ...plan.steps.map(
      ({ phase, side, what, line }) => `- ${phase}, ${side}: ${what} ${line ?? ''}`,
    ),
  ].join('\n');
}
