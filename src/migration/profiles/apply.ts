import type { FactPart, MachineHandle } from '../../vm/types';
import { isEmptyChange, type ChangeRequest } from '../settings/change';
import type { SettingsHistory, SettingsStep } from '../settings/history';
import { readAgain } from '../settings/sendChange';
import { planProfile } from './plan';
import type { Profile, ProfileSide } from './types';

export { profileOf, profileOfPair, type SavedPair } from './capture';
export { planProfile, sideOf, type ProfilePlan, type ProfileRow } from './plan';

/** The profile does not fit a machine; nothing was changed. */
export class ProfileNotApplicableError extends Error {
  override readonly name = 'ProfileNotApplicableError';
  readonly profile: string;
  /** Of the machine, or of all that it does not fit. */
  readonly label: string;
  /** Whole sentences; each begins with the machine's label where there are several. */
  readonly problems: readonly string[];

  constructor(profile: string, label: string, problems: readonly string[]) {
    super(problems.join(' '));
    this.profile = profile;
    this.label = label;
    this.problems = problems;
  }
}

/** A machine with the side of a profile that it takes; see `sideOf`. */
export interface ProfileTarget {
  readonly machine: MachineHandle;
  readonly side: ProfileSide;
}

/** What a plan is made of. */
const judgedBy: readonly FactPart[] = ['status', 'parameters', 'capabilities', 'migration'];

/**
 * Applies a profile to all of the machines or to none, as one step of the history. All are looked at
 * anew and planned before anything is sent.
 *
 * @returns the step; `undefined` when every machine has all of it already
 * @throws {ProfileNotApplicableError} before anything was sent
 * @throws {NotConnectedError} before anything was sent
 * @throws {QmpError} when a machine did not tell its settings; nothing was sent
 * @throws whatever `SettingsHistory.perform` throws
 */
export function applyProfile(
  history: SettingsHistory,
  profile: Profile,
  sides: readonly ProfileTarget[],
): Promise<SettingsStep | undefined> {
  return history.performPlanned(() => planAll(profile, sides));
}

async function planAll(
  profile: Profile,
  sides: readonly ProfileTarget[],
): Promise<{ readonly title: string; readonly requests: readonly ChangeRequest[] }> {
  const planned = await Promise.all(
    sides.map(async ({ machine, side }) => {
      const facts = await readAgain(machine, judgedBy);
      return { machine, ...planProfile(profile, facts, side) };
    }),
  );
  const unfit = planned.filter(({ problems }) => problems.length > 0);
  if (unfit.length > 0) throw notApplicable(profile, unfit);
  const requests: readonly ChangeRequest[] = planned.filter(({ change }) => !isEmptyChange(change));
  return { title: `profile ${profile.name} on ${labels(requests)}`, requests };
}

function notApplicable(
  profile: Profile,
  unfit: readonly { readonly machine: MachineHandle; readonly problems: readonly string[] }[],
): ProfileNotApplicableError {
  const problems = unfit.flatMap(({ machine, problems: own }) =>
    own.map((problem) => (unfit.length === 1 ? problem : `${machine.snapshot.label}: ${problem}`)),
  );
  return new ProfileNotApplicableError(profile.name, labels(unfit), problems);
}

function labels(sides: readonly { readonly machine: MachineHandle }[]): string {
  return sides.map(({ machine }) => machine.snapshot.label).join(' and ');
}
