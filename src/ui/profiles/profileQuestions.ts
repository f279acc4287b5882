import { l10n } from 'vscode';
import {
  planProfile,
  type ProfilePlan,
  type ProfileTarget,
  sideOf,
} from '../../migration/profiles/apply';
import type { Profile } from '../../migration/profiles/types';
import {
  isEmptyChange,
  type SettingsChange,
  type SettingsState,
} from '../../migration/settings/change';
import type { MachineHandle } from '../../vm/types';
import { refuseUnlessReady } from '../commands/machinePicker';
import type { PairedSide } from '../commands/pairPicker';
import { judge } from '../fixes';
import type { Back, PromptItem, Prompts, Step } from '../prompts';
import { joinWords } from '../settingWords';
import type { LoadedProfiles } from './profileLibrary';
import { shortName } from './profilesFile';

/** What a profile would do to one machine. */
export interface PlannedSide extends ProfileTarget {
  readonly plan: ProfilePlan;
  /** What QEMU takes, but which is not as one may think. */
  readonly warnings: readonly string[];
}

/** Both sides of a pair, or one machine. */
export type Scope = 'both' | 'one';

/** A machine alone takes the side that it has in its pair, else the one that fits its state. */
export function targetsOf(
  machine: MachineHandle,
  pair: PairedSide | undefined,
  scope: Scope,
): readonly ProfileTarget[] {
  if (pair === undefined) return [{ machine, side: sideOf(machine.snapshot) }];
  if (scope === 'one') return [{ machine, side: pair.role }];
  return [
    { machine: pair.source, side: 'source' },
    { machine: pair.target, side: 'target' },
  ];
}

/** @throws {NotConnectedError} */
export function planSides(
  profile: Profile,
  targets: readonly ProfileTarget[],
): readonly PlannedSide[] {
  return targets.map(({ machine, side }) => {
    machine.connection();
    const { facts } = machine.snapshot;
    if (facts === undefined) throw new Error(l10n.t('Nothing is known of {0} yet.', machine.id));
    const plan = planProfile(profile, facts, side);
    const warnings = judge(facts, plan.change).warnings.map(({ text }) => text);
    return { machine, side, plan, warnings: [...new Set(warnings)] };
  });
}

function changedSides(sides: readonly PlannedSide[]): readonly PlannedSide[] {
  return sides.filter(({ plan }) => !isEmptyChange(plan.change));
}

/** Those that the profile cannot be applied to. */
export function misfitsIn(sides: readonly PlannedSide[]): readonly PlannedSide[] {
  return sides.filter(({ plan }) => plan.problems.length > 0);
}

/** Why, as sentences; of several machines with the name of each. */
export function problemsIn(misfits: readonly PlannedSide[]): readonly string[] {
  return misfits.flatMap(({ machine, plan }) =>
    plan.problems.map((problem) =>
      misfits.length > 1 ? l10n.t('{0}: {1}', machine.snapshot.label, problem) : problem,
    ),
  );
}

/** `web-1`, `web-1 and web-1-new`. */
export function namesOf(targets: readonly ProfileTarget[]): string {
  return joinWords(targets.map(({ machine }) => machine.snapshot.label));
}

/** The questions about profiles. */
export class ProfileQuestions {
  private readonly prompts: Prompts;
  private readonly showDifference: (profile: Profile, targets: readonly ProfileTarget[]) => void;

  constructor(
    prompts: Prompts,
    showDifference: (profile: Profile, targets: readonly ProfileTarget[]) => void,
  ) {
    this.prompts = prompts;
    this.showDifference = showDifference;
  }

  askScope(
    pair: PairedSide,
    title: string,
    active: Scope,
    step: Step,
  ): Promise<Scope | Back | undefined> {
    const { source, target, here, other, role } = pair;
    const refusal = refuseUnlessReady(other.snapshot);
    const both: PromptItem<Scope> = {
      label: l10n.t('Both sides'),
      value: 'both',
      icon: 'arrow-swap',
      description: l10n.t('{0} and {1}', source.snapshot.label, target.snapshot.label),
      ...(refusal !== undefined && {
        refusal: l10n.t('{0}: {1}', other.snapshot.label, refusal),
      }),
    };
    const one: PromptItem<Scope> = {
      label: l10n.t('This machine only'),
      value: 'one',
      icon: 'vm',
      description:
        role === 'source'
          ? l10n.t('{0}, the source', here.snapshot.label)
          : l10n.t('{0}, the target', here.snapshot.label),
    };
    return this.prompts.pick({
      title,
      placeholder: l10n.t('This machine is in a pair.'),
      items: refusal === undefined ? [both, one] : [one, both],
      active: refusal === undefined ? active : 'one',
      step,
    });
  }

  /** @param toApply those that do not fit are refused, not only marked, and stand last */
  askProfile(
    { file, builtin, place }: LoadedProfiles,
    targets: readonly ProfileTarget[],
    title: string,
    step: Step,
    active: Profile | undefined,
    toApply: boolean,
  ): Promise<Profile | Back | undefined> {
    const own = file?.profiles ?? [];
    const itemsOf = (profiles: readonly Profile[], group: string): PromptItem<Profile>[] =>
      profiles
        .map((profile) => this.profileItem(profile, targets, group, toApply))
        .sort((a, b) => Number('refusal' in a) - Number('refusal' in b));
    return this.prompts.pick({
      title,
      placeholder: place.kind === 'none' ? place.reason : l10n.t('Which profile?'),
      items: [
        ...itemsOf(own, file === undefined ? '' : shortName(file.uri)),
        ...itemsOf(builtin, l10n.t('built in')),
      ],
      active: [...own, ...builtin].find(
        ({ name, origin }) => name === active?.name && origin === active.origin,
      ),
      step,
    });
  }

  private profileItem(
    profile: Profile,
    targets: readonly ProfileTarget[],
    group: string,
    toApply: boolean,
  ): PromptItem<Profile> {
    const sides = planSides(profile, targets);
    const misfits = misfitsIn(sides);
    const count = countChanges(sides);
    return {
      label: profile.name,
      value: profile,
      group,
      icon: profile.origin === 'file' ? 'bookmark' : 'book',
      description:
        misfits.length > 0 ? l10n.t('does not fit {0}', namesOf(misfits)) : changesText(count),
      ...(profile.description !== undefined && { detail: profile.description }),
      ...(toApply && misfits.length > 0 && { refusal: problemsIn(misfits).join(' ') }),
      button: {
        icon: 'diff',
        tooltip: l10n.t('Show the Difference'),
        press: () => this.showDifference(profile, targets),
      },
    };
  }

  /** Shows what would change; only then anything is. */
  async confirm(
    profile: Profile,
    sides: readonly PlannedSide[],
    title: string,
    step: Step,
  ): Promise<'apply' | Back | undefined> {
    const changed = changedSides(sides);
    for (;;) {
      const answer = await this.prompts.pick<'apply' | 'diff' | 'row'>({
        title,
        placeholder: l10n.t('This would change. Enter applies it.'),
        items: [
          {
            label: l10n.t('Apply {0} to {1}', changesText(countChanges(sides)), namesOf(changed)),
            value: 'apply',
            icon: 'check',
            always: true,
          },
          { label: l10n.t('Open as Diff'), value: 'diff', icon: 'diff', always: true },
          ...sides.flatMap(warningItems),
          ...changed.flatMap(changeItems),
          ...sides.flatMap(skippedItems),
        ],
        step,
      });
      if (answer === 'diff') this.showDifference(profile, changed);
      // A row tells something; there is nothing to do with it.
      else if (answer !== 'row') return answer;
    }
  }
}

/** `no change`, `1 change`, `7 changes`. */
function changesText(count: number): string {
  if (count === 0) return l10n.t('no change');
  return count === 1 ? l10n.t('1 change') : l10n.t('{0} changes', count);
}

export function countChanges(sides: readonly PlannedSide[]): number {
  return sides.reduce((sum, { plan }) => sum + settingsIn(plan.change), 0);
}

/** How many settings a change, or a state, has. */
export function settingsIn({ parameters, capabilities }: SettingsChange | SettingsState): number {
  return Object.keys(parameters).length + Object.keys(capabilities).length;
}

function changeItems({ machine, plan }: PlannedSide): PromptItem<'row'>[] {
  return plan.rows
    .filter(({ equal, skipped }) => !equal && !skipped)
    .map(({ name, now, wanted }) => ({
      label: l10n.t('{0}: {1} → {2}', name, now, wanted),
      value: 'row',
      group: machine.snapshot.label,
    }));
}

function warningItems({ machine, warnings }: PlannedSide): PromptItem<'row'>[] {
  return warnings.map((warning) => ({
    label: warning,
    value: 'row',
    icon: 'warning',
    group: l10n.t('worth knowing about {0}', machine.snapshot.label),
  }));
}

function skippedItems({ machine, plan }: PlannedSide): PromptItem<'row'>[] {
  return plan.rows
    .filter(({ skipped }) => skipped)
    .map(({ name, now }) => ({
      label: l10n.t('{0}: {1}', name, now),
      value: 'row',
      icon: 'circle-slash',
      group: l10n.t('left out on {0}', machine.snapshot.label),
    }));
}
