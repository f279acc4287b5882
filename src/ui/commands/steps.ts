import { back, type Back, type InputRequest, type Prompts, type Step } from '../prompts';

/** One question of several. */
export interface StepQuestion {
  /** Whether it has to be asked, as things stand. */
  readonly applies: () => boolean;
  /** Asks and keeps the answer. `undefined`: the user left. */
  readonly ask: (step: Step) => Promise<'next' | Back | undefined>;
}

/** Asks one question after the other, back and forth. Whether all were answered. */
export async function askSteps(questions: readonly StepQuestion[]): Promise<boolean> {
  const asked: StepQuestion[] = [];
  for (;;) {
    const applicable = questions.filter((question) => question.applies());
    const next = applicable.find((question) => !asked.includes(question));
    if (next === undefined) return true;
    const answer = await next.ask({
      number: asked.length + 1,
      total: applicable.length,
      back: asked.length > 0,
    });
    if (answer === undefined) return false;
    if (answer === back) asked.pop();
    else asked.push(next);
  }
}

/** Asks for a text as one of several questions. It stays while a dialog about it is open. */
export async function askField(
  prompts: Pick<Prompts, 'input'>,
  request: Omit<InputRequest, 'goBack' | 'stays'>,
): Promise<'next' | Back | undefined> {
  const ways: Back[] = [];
  const goBack = (): void => void ways.push(back);
  const taken = await prompts.input({ ...request, goBack, stays: true });
  return ways[0] ?? (taken ? 'next' : undefined);
}
