import { effectiveChange, isEmptyChange, type SettingsChange } from '../migration/settings/change';
import { checkChange, type SettingFinding } from '../migration/settings/findings';
import { mergedChange } from '../migration/settings/settingsState';
import type { VmFacts } from '../vm/types';

/** A change together with what it needs. */
export interface CompletedChange {
  readonly change: SettingsChange;
  /** What came on top of what was asked for; never empty. */
  readonly added: SettingsChange;
}

/** What is added may need something in turn; deeper than this nothing of QEMU's goes. */
const deepest = 5;

/**
 * The change with the fixes of its findings, so that QEMU would take it and it has its effect.
 * `undefined` where no finding has a fix, or where that would undo a part of the change itself.
 */
export function withFixes(facts: VmFacts, change: SettingsChange): CompletedChange | undefined {
  let whole = change;
  for (let depth = 0; depth < deepest; depth += 1) {
    const fixes = checkChange(facts, whole).flatMap(({ fix }) => fix ?? []);
    const next = mergedChange([whole, ...fixes, change]);
    const added = effectiveChange(facts, without(next, change));
    if (isEmptyChange(without(next, whole))) {
      const helps = checkChange(facts, next).every(({ level }) => level !== 'refuse');
      return isEmptyChange(added) || !helps ? undefined : { change: next, added };
    }
    whole = next;
  }
  return undefined;
}

/** The findings of a change, apart. */
export interface Verdict {
  readonly refusals: readonly SettingFinding[];
  readonly warnings: readonly SettingFinding[];
  readonly completed: CompletedChange | undefined;
}

export function judge(facts: VmFacts, change: SettingsChange): Verdict {
  const findings = checkChange(facts, change);
  return {
    refusals: findings.filter(({ level }) => level === 'refuse'),
    warnings: findings.filter(({ level }) => level === 'warn'),
    completed: findings.some(({ fix }) => fix) ? withFixes(facts, change) : undefined,
  };
}

/** The sentences of findings, each once. */
export function textOf(findings: readonly SettingFinding[]): string {
  return [...new Set(findings.map(({ text }) => text))].join(' ');
}

/** The part of `a` whose names are not in `b`. */
function without(a: SettingsChange, b: SettingsChange): SettingsChange {
  const rest = <T>(of: Readonly<Record<string, T>>, names: object): Record<string, T> =>
    Object.fromEntries(Object.entries(of).filter(([name]) => !Object.hasOwn(names, name)));
  return {
    parameters: rest(a.parameters, b.parameters),
    capabilities: rest(a.capabilities, b.capabilities),
  };
}
