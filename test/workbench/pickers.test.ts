import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { commands } from 'vscode';
import { back, type Prompts } from '../../src/ui/prompts';
import { activateExtension } from './support/extension';

/** The lists and fields of a real window, answered by their own commands. */
describe('lists and fields', () => {
  let prompts: Prompts;

  before(async () => {
    const api = await activateExtension();
    assert.ok(api.forTests);
    prompts = api.forTests.realPrompts;
  });
  afterEach(() => commands.executeCommand('workbench.action.closeQuickOpen'));

  /** Runs the command again until the question is answered: there is no event for its being drawn. */
  async function until<T>(answer: Promise<T>, command: string): Promise<T> {
    const ended = answer.then(
      () => true,
      () => true,
    );
    while (!(await Promise.race([ended, sleep(50, false)]))) {
      await commands.executeCommand(command);
    }
    return answer;
  }

  it('leave unticked what cannot be ticked', async () => {
    const answer = prompts.pickMany({
      title: 'Which?',
      placeholder: 'All that are ticked',
      items: [
        { label: 'a', value: 'a' },
        { label: 'b', value: 'b' },
        { label: 'c', value: 'c', refusal: 'Not this one.', group: 'never' },
      ],
      picked: new Set(['a', 'c']),
    });
    const chosen = await until(answer, 'workbench.action.acceptSelectedQuickOpenItem');
    assert.deepEqual([...(chosen ?? [])], ['a']);
  });

  it('tell nothing from everything unticked', async () => {
    const request = {
      title: 'Which?',
      placeholder: '',
      items: [{ label: 'a', value: 'a' }],
      picked: new Set<string>(),
    };
    const none = prompts.pickMany(request);
    const accepted = await until(none, 'workbench.action.acceptSelectedQuickOpenItem');
    assert.deepEqual(accepted, new Set());
    const left = await until(prompts.pickMany(request), 'workbench.action.closeQuickOpen');
    assert.equal(left, undefined);
  });

  it('tell what was refused also when they were left meanwhile', async () => {
    const refusedAfterLeaving = async (
      ask: (submit: () => Promise<string>) => Promise<unknown>,
    ): Promise<void> => {
      let refuse: ((why: string) => void) | undefined;
      const answer = ask(() => new Promise<string>((resolve) => (refuse = resolve)));
      answer.catch(() => undefined);
      while (refuse === undefined) {
        await commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem');
        await sleep(50);
      }
      await commands.executeCommand('workbench.action.closeQuickOpen');
      refuse('Too high.');
      await assert.rejects(answer, /^Error: Too high\.$/);
    };
    const items = [{ label: 'a', value: 'a' }];
    await refusedAfterLeaving((submit) =>
      prompts.pick({ title: 'Which?', placeholder: '', items, submit }),
    );
    await refusedAfterLeaving((submit) =>
      prompts.input({ title: 'What?', prompt: '', value: '', validate: () => undefined, submit }),
    );
  });

  it('go back a step by the keyboard', async () => {
    const step = { number: 2, total: 3, back: true };
    const items = [{ label: 'a', value: 'a' }];
    const picked = prompts.pick({ title: 'Which?', placeholder: '', items, step });
    assert.equal(await until(picked, 'workbench.action.quickInputBack'), back);
    let wentBack = false;
    const typed = prompts.input({
      title: 'What?',
      prompt: '',
      value: '',
      validate: () => undefined,
      submit: () => Promise.resolve(undefined),
      step,
      goBack: () => {
        wentBack = true;
      },
    });
    assert.equal(await until(typed, 'workbench.action.quickInputBack'), false);
    assert.ok(wentBack);
  });
});
