import assert from 'node:assert/strict';
import { commands, window } from 'vscode';
import type { UpdateDesk } from '../../src/migration/liveUpdate/desk';
import type { LiveUpdatePlan } from '../../src/migration/liveUpdate/types';
import { CommandId } from '../../src/ui/ids';
import { planScheme } from '../../src/ui/liveUpdate/planDocuments';
import { FakeDesk, type FakeUpdate } from '../support/fakeDesk';
import { outcomeOf, planOf } from '../unit/migration/liveUpdate/support';
import { Bench, eventually } from './support/extension';

const program = '/opt/qemu/bin/qemu';
const blocker = {
  id: 'machine-type-gone',
  level: 'blocks',
  what: 'The new QEMU does not know the machine.',
  nextStep: 'Choose another QEMU.',
} as unknown as LiveUpdatePlan['findings'][number];

describe('live updates from the sidebar', () => {
  let bench: Bench;
  let real: UpdateDesk;
  let desk: FakeDesk;
  let machine: string;
  let findings: LiveUpdatePlan['findings'];

  before(async () => {
    bench = await Bench.open();
    real = bench.access.desk.current;
  });
  beforeEach(async () => {
    findings = [];
    desk = new FakeDesk((request) => planOf({ request, findings }));
    const found = { program, origin: 'installed', versionText: '11.1.3', problem: undefined };
    desk.offered = [found as FakeDesk['offered'][number]];
    bench.access.desk.current = desk;
    machine = (await bench.connected({ build: '11.1-stock' })).path;
  });
  afterEach(async () => {
    await commands.executeCommand('workbench.action.closeAllEditors');
    bench.access.desk.current = real;
    await bench.clear();
  });
  after(() => bench.close());

  /** Asks for an update from the machine's row, up to the plan. */
  async function plan(): Promise<void> {
    bench.prompts.willPick('QEMU 11.1.3');
    await bench.runOn(CommandId.liveUpdate, bench.row(machine, 'machine'));
    await eventually(() => {
      assert.equal(window.activeTextEditor?.document.uri.scheme, planScheme);
    });
  }

  async function begun(): Promise<FakeUpdate> {
    await plan();
    bench.prompts.willConfirm(true);
    await commands.executeCommand(CommandId.runLiveUpdate);
    const [update] = desk.started;
    assert.ok(update, 'nothing was begun');
    return update;
  }

  it('show the plan of the chosen QEMU, and change nothing', async () => {
    await plan();
    assert.deepEqual(desk.requests, [{ machine, program, method: 'auto' }]);
    assert.match(window.activeTextEditor?.document.getText() ?? '', /# Live update of web-1/);
    assert.equal(desk.started.length, 0);
  });

  it('do not begin while a finding blocks', async () => {
    findings = [blocker];
    await plan();
    await commands.executeCommand(CommandId.runLiveUpdate);
    const { text, buttons } = bench.prompts.onlyMessage;
    assert.match(text, /cannot be updated like this\. The new QEMU does not know the machine\./);
    assert.deepEqual(buttons, []);
    assert.deepEqual(bench.prompts.confirmations, []);
    assert.equal(desk.started.length, 0);
  });

  it('do not begin without consent', async () => {
    await plan();
    bench.prompts.willConfirm(false);
    await commands.executeCommand(CommandId.runLiveUpdate);
    assert.match(bench.prompts.confirmations[0]?.message ?? '', /Put another QEMU under web-1 now/);
    assert.equal(desk.started.length, 0);
  });

  it('tell their end, with the way to all that is known', async () => {
    const update = await begun();
    bench.prompts.willPress('Show Details');
    update.end(outcomeOf());
    await eventually(() => {
      const { severity, text } = bench.prompts.onlyMessage;
      assert.equal(severity, 'information');
      assert.match(text, /web-1 runs in QEMU 11\.1\.3 now\./);
      const shown = window.activeTextEditor?.document.uri.path ?? '';
      assert.match(shown, /Live Update of web-1: Result/);
    });
  });

  it('tell a failure as one, and what to do', async () => {
    const update = await begun();
    const headline = 'web-1 still runs in QEMU 10.0.8.';
    update.end(outcomeOf({ kind: 'failed', headline, nextStep: 'Look at the log.' }));
    await eventually(() => {
      const { severity, text } = bench.prompts.onlyMessage;
      assert.equal(severity, 'error');
      assert.ok(text.includes(headline) && text.includes('Look at the log.'), text);
    });
  });

  it('are cancelled from the row, and the end is still waited for', async () => {
    const update = await begun();
    await bench.runOn(CommandId.cancelLiveUpdate, bench.row(machine, 'machine'));
    assert.equal(update.cancelled, 1);
    assert.deepEqual(bench.prompts.messages, []);
    update.end(outcomeOf({ kind: 'cancelled', headline: 'It was cancelled.' }));
    await eventually(() => assert.match(bench.prompts.onlyMessage.text, /It was cancelled\./));
  });
});
