import { commands as vscodeCommands, Disposable, l10n, type Uri } from 'vscode';
import {
  applyProfile,
  ProfileNotApplicableError,
  type ProfileTarget,
} from '../../migration/profiles/apply';
import type { Profile } from '../../migration/profiles/types';
import type { SettingsHistory, SettingsStep } from '../../migration/settings/history';
import type { MachineRegistry } from '../../vm/registry';
import type { MachineHandle, MachineId } from '../../vm/types';
import type { CommandRunner, CommandTarget } from '../command';
import type { Contribution } from '../contribution';
import type { SettingsDocuments } from '../documents/settingsDocuments';
import { CommandId } from '../ids';
import { FileProblems, reveal } from '../profiles/fileProblems';
import type { LoadedProfiles, ProfileLibrary } from '../profiles/profileLibrary';
import {
  countChanges,
  misfitsIn,
  namesOf,
  type PlannedSide,
  planSides,
  problemsIn,
  ProfileQuestions,
  type Scope,
  settingsIn,
  targetsOf,
} from '../profiles/profileQuestions';
import { ProfileSaver } from '../profiles/profileSaver';
import {
  currentPlace,
  exists,
  type ProfilesPlace,
  profilesPlaces,
  shortName,
  writeProfilesText,
  schemaFor,
} from '../profiles/profilesFile';
import { starterText } from '../profiles/starter';
import { back, type Prompts } from '../prompts';
import { joinWords } from '../settingWords';
import { machineItem, type MachinePicker, refuseUnlessReady } from './machinePicker';
import type { PairedSide, PairPicker } from './pairPicker';
import { askSteps, type StepQuestion } from './steps';

interface Draft {
  machine?: MachineHandle;
  scope: Scope;
  profile?: Profile;
}

/** Named sets of settings: apply, compare, save, and the file that they are in. */
export class ProfileCommands implements Contribution {
  private readonly registry: Pick<MachineRegistry, 'machines' | 'get'>;
  private readonly history: SettingsHistory;
  private readonly commands: CommandRunner;
  private readonly prompts: Prompts;
  private readonly machines: MachinePicker;
  private readonly pairs: Pick<PairPicker, 'of'>;
  private readonly library: ProfileLibrary;
  private readonly documents: Pick<SettingsDocuments, 'showDiff'>;
  private readonly questions: ProfileQuestions;
  private readonly problems: FileProblems;

  constructor(
    registry: Pick<MachineRegistry, 'machines' | 'get'>,
    history: SettingsHistory,
    commands: CommandRunner,
    prompts: Prompts,
    machines: MachinePicker,
    pairs: Pick<PairPicker, 'of'>,
    library: ProfileLibrary,
    documents: Pick<SettingsDocuments, 'showDiff'>,
  ) {
    this.registry = registry;
    this.history = history;
    this.commands = commands;
    this.prompts = prompts;
    this.machines = machines;
    this.pairs = pairs;
    this.library = library;
    this.documents = documents;
    this.problems = new FileProblems(commands, prompts);
    this.questions = new ProfileQuestions(prompts, (profile, targets) => {
      void commands.run('profile difference', () => this.showDifference(profile, targets, true));
    });
  }

  register(): Disposable {
    const { commands } = this;
    return Disposable.from(
      commands.register(CommandId.applyProfile, (target) => this.apply(target)),
      commands.register(CommandId.compareProfile, (target) => this.compare(target)),
      commands.register(CommandId.saveProfile, (target) => this.save(target)),
      commands.register(CommandId.openProfiles, () => this.open()),
    );
  }

  private async apply({ machineId }: CommandTarget): Promise<void> {
    const draft = await this.newDraft(machineId, l10n.t('Apply Profile'));
    if (draft === undefined) return;
    const loaded = await this.load();
    const given = draft.machine !== undefined;
    let sides: readonly PlannedSide[] = [];
    const title = (): string =>
      draft.profile === undefined || draft.machine === undefined
        ? l10n.t('Apply Profile')
        : l10n.t('{0}: {1}', draft.profile.name, namesOf(this.targets(draft)));
    const answered = await askSteps([
      this.machineQuestion(draft, !given, l10n.t('Apply Profile')),
      {
        applies: () => this.pairOf(draft) !== undefined,
        ask: async (step) => {
          const pair = this.pairOf(draft);
          if (pair === undefined) return 'next';
          const answer = await this.questions.askScope(
            pair,
            l10n.t('Apply Profile'),
            draft.scope,
            step,
          );
          if (answer === undefined || answer === back) return answer;
          draft.scope = answer;
          return 'next';
        },
      },
      this.profileQuestion(draft, loaded, true, (targets) =>
        l10n.t('Apply Profile to {0}', namesOf(targets)),
      ),
      {
        applies: () => true,
        ask: async (step) => {
          const { profile } = draft;
          if (profile === undefined) return undefined;
          sides = planSides(profile, this.targets(draft));
          refuseMisfits(profile, sides);
          if (countChanges(sides) === 0) return 'next';
          const answer = await this.questions.confirm(profile, sides, title(), step);
          return answer === 'apply' ? 'next' : answer;
        },
      },
    ]);
    if (answered && draft.profile !== undefined) await this.carryOut(draft.profile, sides);
  }

  private async carryOut(profile: Profile, sides: readonly PlannedSide[]): Promise<void> {
    const { name } = profile;
    const step = await applyProfile(this.history, profile, sides);
    if (step === undefined) {
      void this.prompts.message(
        'information',
        l10n.t('Nothing to change: {0} has all of the profile "{1}".', namesOf(sides), name),
      );
      return;
    }
    const count = step.sides.reduce((sum, { after }) => sum + settingsIn(after), 0);
    const labels = joinWords(step.sides.map(({ label }) => label));
    const text =
      count === 1
        ? l10n.t('Profile "{0}": 1 setting of {1} changed.', name, labels)
        : l10n.t('Profile "{0}": {1} settings of {2} changed.', name, count, labels);
    const undo = l10n.t('Undo');
    void this.commands.run('profile applied', async () => {
      const button = await this.prompts.message('information', text, [undo]);
      if (button === undo) await this.undo(step);
    });
  }

  private async undo(step: SettingsStep): Promise<void> {
    if (this.history.last !== step) {
      throw new Error(
        l10n.t('Settings were changed since. Undo the later changes first, one after the other.'),
      );
    }
    await vscodeCommands.executeCommand(CommandId.undoSettings);
  }

  private async compare({ machineId }: CommandTarget): Promise<void> {
    const draft = await this.newDraft(machineId, l10n.t('Compare with Profile'));
    if (draft === undefined) return;
    draft.scope = 'one';
    const loaded = await this.load();
    const answered = await askSteps([
      this.machineQuestion(draft, draft.machine === undefined, l10n.t('Compare with Profile')),
      this.profileQuestion(draft, loaded, false, (targets) =>
        l10n.t('Compare {0} with Profile', namesOf(targets)),
      ),
    ]);
    if (answered && draft.profile !== undefined) {
      await this.showDifference(draft.profile, this.targets(draft), false);
    }
  }

  private async showDifference(
    { name, origin }: Profile,
    targets: readonly ProfileTarget[],
    preserveFocus: boolean,
  ): Promise<void> {
    for (const { machine, side } of targets) {
      await this.documents.showDiff(
        { machine: machine.id },
        { machine: machine.id, profile: { name, origin, side } },
        l10n.t('{0} ↔ {1} (profile)', machine.snapshot.label, name),
        { preserveFocus },
      );
    }
  }

  private async save(target: CommandTarget): Promise<void> {
    const uri = await this.chooseFile(l10n.t('Save Settings as Profile'));
    if (uri === undefined) return;
    const machine = await this.machines.choose(target, {
      title: l10n.t('Save Settings as Profile'),
      refuse: refuseUnlessReady,
    });
    if (machine === undefined) return;
    machine.connection();
    const saver = new ProfileSaver(this.prompts, this.problems, this.questions);
    await saver.save(machine, this.pairs.of(machine.id), uri);
  }

  private async open(): Promise<void> {
    const uri = await this.chooseFile(l10n.t('Profiles File'));
    if (uri === undefined) return;
    if (!(await exists(uri))) {
      const sure = await this.prompts.confirm({
        message: l10n.t('There is no profiles file yet.'),
        detail: l10n.t('{0} would be created, with an example to start from.', shortName(uri)),
        action: l10n.t('Create File'),
        keep: l10n.t('Leave It'),
      });
      if (!sure) return;
      await writeProfilesText(uri, starterText(schemaFor(uri)));
    }
    await reveal(uri, () => undefined);
  }

  /** The file to write to; asks where there are several places and none has a file yet. */
  private async chooseFile(title: string): Promise<Uri | undefined> {
    const place = await currentPlace();
    if (place.kind === 'none') {
      this.tellNoPlace(place);
      return undefined;
    }
    const places = profilesPlaces().flatMap((one) => (one.kind === 'file' ? [one] : []));
    if (places.length < 2 || (await exists(place.uri))) return place.uri;
    const chosen = await this.prompts.pick({
      title,
      placeholder: l10n.t('Which folder is to have the file?'),
      items: places.map(({ uri, folder }) => ({
        label: folder ?? uri.fsPath,
        value: uri,
        icon: 'folder',
        description: uri.fsPath,
      })),
    });
    return chosen === back ? undefined : chosen;
  }

  private tellNoPlace({ reason, trust }: Extract<ProfilesPlace, { kind: 'none' }>): void {
    const button = trust ? l10n.t('Manage Workspace Trust') : l10n.t('Open Settings');
    void this.prompts.message('warning', reason, [button]).then((pressed) => {
      if (pressed !== button) return;
      const id = trust ? 'workbench.trust.manage' : CommandId.openSettings;
      void vscodeCommands.executeCommand(id);
    });
  }

  /** All profiles; what is wrong in the file is told, and what is right can be used all the same. */
  private async load(): Promise<LoadedProfiles> {
    const loaded = await this.library.load();
    const { file, failure } = loaded;
    if (failure !== undefined) this.commands.showError('profiles file', failure);
    if (file === undefined) return loaded;
    const what =
      file.profiles.length === 0
        ? l10n.t('None of your profiles can be used.')
        : l10n.t('Some of your profiles cannot be used.');
    this.problems.tell(file.uri, file.problems, what);
    return loaded;
  }

  /** `undefined`: no machine can be chosen, and that was said. */
  private async newDraft(
    machineId: MachineId | undefined,
    title: string,
  ): Promise<Draft | undefined> {
    if (machineId === undefined) {
      const some = this.registry.machines.some(
        ({ snapshot }) => refuseUnlessReady(snapshot) === undefined,
      );
      if (!some) await this.machines.choose({}, { title, refuse: refuseUnlessReady });
      return some ? { scope: 'both' } : undefined;
    }
    const machine = this.registry.get(machineId);
    if (machine === undefined) {
      throw new Error(l10n.t('The machine at {0} is not in the list any more.', machineId));
    }
    machine.connection();
    return { machine, scope: 'both' };
  }

  private pairOf({ machine }: Draft): PairedSide | undefined {
    return machine && this.pairs.of(machine.id);
  }

  private targets(draft: Draft): readonly ProfileTarget[] {
    const { machine, scope } = draft;
    return machine === undefined ? [] : targetsOf(machine, this.pairOf(draft), scope);
  }

  private machineQuestion(draft: Draft, applies: boolean, title: string): StepQuestion {
    return {
      applies: () => applies,
      ask: async (step) => {
        const answer = await this.prompts.pick({
          title,
          placeholder: l10n.t('Which machine?'),
          items: this.registry.machines
            .map(({ snapshot }) => machineItem(snapshot, refuseUnlessReady(snapshot)))
            .sort((a, b) => Number('refusal' in a) - Number('refusal' in b)),
          active: draft.machine?.id,
          step,
        });
        if (answer === undefined || answer === back) return answer;
        const machine = this.registry.get(answer);
        if (machine === undefined) return undefined;
        draft.machine = machine;
        return 'next';
      },
    };
  }

  private profileQuestion(
    draft: Draft,
    loaded: LoadedProfiles,
    toApply: boolean,
    title: (targets: readonly ProfileTarget[]) => string,
  ): StepQuestion {
    return {
      applies: () => true,
      ask: async (step) => {
        const targets = this.targets(draft);
        const { profile } = draft;
        const answer = await this.questions.askProfile(
          loaded,
          targets,
          title(targets),
          step,
          profile,
          toApply,
        );
        if (answer === undefined || answer === back) return answer;
        draft.profile = answer;
        return 'next';
      },
    };
  }
}

/** @throws {ProfileNotApplicableError} when it cannot be applied to all of them */
function refuseMisfits({ name }: Profile, sides: readonly PlannedSide[]): void {
  const misfits = misfitsIn(sides);
  if (misfits.length === 0) return;
  throw new ProfileNotApplicableError(name, namesOf(misfits), problemsIn(misfits));
}
