import { l10n, type Uri } from 'vscode';
import { profileOf, profileOfPair, type SavedPair } from '../../migration/profiles/apply';
import {
  ProfileFileError,
  profileNameProblem,
  withProfile,
} from '../../migration/profiles/profileFile';
import { builtinProfiles } from '../../migration/profiles/builtin';
import type { MachineHandle } from '../../vm/types';
import type { PairedSide } from '../commands/pairPicker';
import { askSteps } from '../commands/steps';
import {
  back,
  type Back,
  type FieldNote,
  type InputRequest,
  type Prompts,
  type Step,
} from '../prompts';
import { type FileProblems, placeOfName, reveal } from './fileProblems';
import { type LoadedFile, loadFile } from './profileLibrary';
import type { ProfileQuestions, Scope } from './profileQuestions';
import { shortName, writeProfilesText, schemaFor } from './profilesFile';

type Which = 'changed' | 'all';

interface Draft {
  scope: Scope;
  which: Which;
  name: string;
  description: string;
}

type TextQuestion = Pick<InputRequest, 'title' | 'prompt' | 'value' | 'placeholder' | 'validate'>;

/** Saves a machine's settings as a profile of the user's file. */
export class ProfileSaver {
  private readonly prompts: Prompts;
  private readonly problems: FileProblems;
  private readonly questions: Pick<ProfileQuestions, 'askScope'>;

  constructor(
    prompts: Prompts,
    problems: FileProblems,
    questions: Pick<ProfileQuestions, 'askScope'>,
  ) {
    this.prompts = prompts;
    this.problems = problems;
    this.questions = questions;
  }

  /**
   * @param pair the pair that the machine is in
   * @throws {Error} in words, when the file could not be written
   */
  async save(machine: MachineHandle, pair: PairedSide | undefined, uri: Uri): Promise<void> {
    const file = await loadFile(uri);
    // Whatever the answers were, they could not be written into such a file.
    const isEmpty = file.text?.trim() === '';
    const inFile = file.problems.filter(({ profile }) => profile === undefined && !isEmpty);
    const broken = l10n.t('{0} has mistakes; nothing can be saved to it as it is.', shortName(uri));
    if (this.problems.tell(uri, inFile, broken)) return;
    const draft = await this.ask(machine, pair, file);
    if (draft === undefined) return;
    const { name, description, which } = draft;
    const settings = settingsOf(machine, draft.scope === 'both' ? pair : undefined, which);
    try {
      // Read again: it may have been edited while the questions were answered.
      const { text } = await loadFile(uri);
      const extended = withProfile(
        text,
        { name, description, schema: schemaFor(uri), ...settings },
        shortName(uri),
      );
      await writeProfilesText(uri, extended);
    } catch (error) {
      if (!(error instanceof ProfileFileError)) throw error;
      const what = l10n.t('The profile "{0}" was not saved; the file is as it was.', name);
      if (!this.problems.tell(uri, error.problems, what)) throw error;
      return;
    }
    await reveal(uri, (document) => placeOfName(document, name));
    this.prompts.status(l10n.t('Saved as profile "{0}".', name));
  }

  private async ask(
    machine: MachineHandle,
    pair: PairedSide | undefined,
    file: LoadedFile,
  ): Promise<Draft | undefined> {
    const draft: Draft = {
      scope: pair === undefined ? 'one' : 'both',
      which: 'changed',
      name: '',
      description: '',
    };
    const title = l10n.t('Save Settings of {0} as Profile', machine.snapshot.label);
    const answered = await askSteps([
      {
        applies: () => pair !== undefined,
        ask: async (step) => {
          if (pair === undefined) return 'next';
          const answer = await this.questions.askScope(pair, title, draft.scope, step);
          if (answer === undefined || answer === back) return answer;
          draft.scope = answer;
          return 'next';
        },
      },
      {
        applies: () => true,
        ask: async (step) => {
          const both = draft.scope === 'both' ? pair : undefined;
          const answer = await this.askWhich(machine, both, title, draft.which, step);
          if (answer === undefined || answer === back) return answer;
          draft.which = answer;
          return 'next';
        },
      },
      {
        applies: () => true,
        ask: async (step) => {
          const question: TextQuestion = {
            title,
            prompt: l10n.t('Name of the profile'),
            placeholder: l10n.t('Such as: Nightly move'),
            value: draft.name,
            validate: (text) => nameProblem(text, file),
          };
          return this.askText(question, step, (name) => (draft.name = name.trim()));
        },
      },
      {
        applies: () => true,
        ask: async (step) => {
          const known = file.profiles.find(({ name }) => name === draft.name)?.description;
          const question: TextQuestion = {
            title,
            prompt: l10n.t('What is it for? (may be left empty)'),
            value: draft.description === '' ? (known ?? '') : draft.description,
            validate: () => undefined,
          };
          return this.askText(question, step, (text) => (draft.description = text.trim()));
        },
      },
    ]);
    if (!answered || !(await this.mayOverwrite(draft.name, file))) return undefined;
    return draft;
  }

  private askWhich(
    machine: MachineHandle,
    pair: PairedSide | undefined,
    title: string,
    active: Which,
    step: Step,
  ): Promise<Which | Back | undefined> {
    const names = namesIn(settingsOf(machine, pair, 'changed'));
    const all = namesIn(settingsOf(machine, pair, 'all'));
    return this.prompts.pick<Which>({
      title,
      placeholder: l10n.t('Which settings?'),
      items: [
        {
          label: l10n.t('Changed settings'),
          value: 'changed',
          icon: 'diff-modified',
          description: String(names.length),
          ...(names.length > 0
            ? { detail: names.join(', ') }
            : { refusal: l10n.t('Every setting has its default.') }),
        },
        {
          label: l10n.t('All settings'),
          value: 'all',
          icon: 'list-flat',
          description: String(all.length),
          detail: l10n.t('Also those that have their defaults'),
        },
      ],
      active: names.length > 0 ? active : 'all',
      step,
    });
  }

  private async askText(
    question: TextQuestion,
    step: Step,
    use: (text: string) => void,
  ): Promise<'next' | Back | undefined> {
    const left = { back: false };
    const done = await this.prompts.input({
      ...question,
      step,
      goBack: () => {
        left.back = true;
      },
      submit: (text) => {
        use(text);
        return Promise.resolve(undefined);
      },
    });
    if (done) return 'next';
    return left.back ? back : undefined;
  }

  private async mayOverwrite(
    name: string,
    { uri, profiles, problems }: LoadedFile,
  ): Promise<boolean> {
    // One with mistakes is not among the profiles, and would be replaced all the same.
    const taken = [
      ...profiles.map((profile) => profile.name),
      ...problems.map(({ profile }) => profile),
    ];
    if (!taken.includes(name)) return true;
    return this.prompts.confirm({
      message: l10n.t('Replace the profile "{0}"?', name),
      detail: l10n.t('{0} has a profile of that name.', shortName(uri)),
      action: l10n.t('Replace'),
      keep: l10n.t('Keep It'),
    });
  }
}

function nameProblem(text: string, file: LoadedFile): string | FieldNote | undefined {
  const name = text.trim();
  const problem = profileNameProblem(name);
  if (problem !== undefined) return problem;
  if (builtinProfiles.some((profile) => profile.name === name)) {
    return l10n.t('A profile that is built in has this name.');
  }
  return file.profiles.some((profile) => profile.name === name)
    ? {
        level: 'information',
        text: l10n.t('There is a profile of that name; it would be replaced.'),
      }
    : undefined;
}

/** What a profile of the machine, or of both sides of the pair, would have. */
function settingsOf(
  machine: MachineHandle,
  pair: PairedSide | undefined,
  which: Which,
): Pick<SavedPair, 'settings'> & Partial<SavedPair> {
  const [source, target] = [pair?.source.snapshot.facts, pair?.target.snapshot.facts];
  if (source !== undefined && target !== undefined) return profileOfPair(source, target, which);
  const { facts } = machine.snapshot;
  // Asked of a machine that answers; it has facts from then on.
  return { settings: facts === undefined ? nothing : profileOf(facts, which) };
}

const nothing: SavedPair['settings'] = { parameters: {}, capabilities: {} };

function namesIn({ settings, source, target }: ReturnType<typeof settingsOf>): readonly string[] {
  const names = [settings, source, target].flatMap((part) => [
    ...Object.keys(part?.parameters ?? {}),
    ...Object.keys(part?.capabilities ?? {}),
  ]);
  const { backendTransfer } = settings;
  const all = backendTransfer === undefined ? names : [l10n.t('backend transfer'), ...names];
  return [...new Set(all)];
}
