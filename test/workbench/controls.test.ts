import assert from 'node:assert/strict';
import { commands, Disposable } from 'vscode';
import { ControlRefusedError } from '../../src/migration/run/controls';
import type { Remedy } from '../../src/migration/run/pace/convergence';
import type { RunRecord } from '../../src/migration/run/types';
import { Emitter } from '../../src/qmp/emitter';
import type { CommandBody, CommandRunner, CommandTarget } from '../../src/ui/command';
import { ControlCommands } from '../../src/ui/commands/controlCommands';
import { LimitEditor } from '../../src/ui/commands/limitEditor';
import { MachinePicker } from '../../src/ui/commands/machinePicker';
import { RunPicker } from '../../src/ui/commands/runPicker';
import { ConvergenceNotices } from '../../src/ui/convergenceNotices';
import { CommandId } from '../../src/ui/ids';
import { Bench, eventually } from './support/extension';
import { FakeRun } from './support/fakeRun';
import { ScriptedPrompts } from './support/scriptedPrompts';

const longerPause: Remedy = {
  id: 'longer-pause',
  title: 'Allow a pause of 600 ms',
  explanation: 'The guest stands still for longer.',
  parameters: { 'downtime-limit': 600 },
};
const goOver: Remedy = {
  id: 'start-postcopy',
  title: 'Start postcopy',
  explanation: 'Needs both.',
  parameters: {},
};
const notConverging = {
  kind: 'not-converging',
  text: 'guest writes 300 MB/s, channel moves 250: not converging',
  remedies: [longerPause, goOver],
} as const;

describe('controls of a migration under way', () => {
  let bench: Bench;
  let source: string;
  let prompts: ScriptedPrompts;
  const bodies = new Map<CommandId, CommandBody>();

  before(async () => {
    bench = await Bench.open();
  });
  beforeEach(async () => {
    prompts = new ScriptedPrompts();
    const server = await bench.server({ build: '11.1-stock' });
    server.qemu.capabilities.set('postcopy-ram', true);
    server.setMigration({ status: 'active' });
    await commands.executeCommand(CommandId.connect, server.path);
    source = server.path;
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  /** The commands as they are, of a run that is not real. */
  function commandsOf(run: FakeRun): ControlCommands {
    const { registry } = bench.access;
    const runner = {
      register: (id: CommandId, body: CommandBody): Disposable => {
        bodies.set(id, body);
        return new Disposable(() => undefined);
      },
    } as unknown as CommandRunner;
    const isOf = (id: string): boolean => [source, run.record.request.target].includes(id);
    const runs = {
      active: (id: string) => (isOf(id) && run.record.outcome === undefined ? run : undefined),
      last: (id: string): RunRecord | undefined => (isOf(id) ? run.record : undefined),
    };
    const picker = new RunPicker(registry, runs, prompts, new MachinePicker(registry, prompts));
    const limits = new LimitEditor(registry, prompts);
    const controls = new ControlCommands(registry, runs, runner, prompts, picker, limits);
    controls.register();
    return controls;
  }

  async function call(id: CommandId, target: CommandTarget = { machineId: source }): Promise<void> {
    const body = bodies.get(id);
    assert.ok(body, id);
    await body(target, [target]);
  }

  function runIn(progress: ConstructorParameters<typeof FakeRun>[0], method?: 'postcopy'): FakeRun {
    const run = new FakeRun(progress, { source, ...(method !== undefined && { method }) });
    commandsOf(run);
    return run;
  }

  it('are listed all, those that cannot be used now with the reason', async () => {
    const run = runIn({ phase: 'held' });
    prompts.willPick('Release switchover');
    await call(CommandId.controls, {});
    const items = prompts.offered[0] ?? [];
    assert.equal(items.length, 7);
    for (const { label, detail, refusal, group } of items) {
      assert.ok((detail ?? '').length > 20, `${label} explains nothing`);
      const expected = refusal === undefined ? 'can be done now' : 'not possible now';
      assert.equal(group, expected, label);
    }
    const refused = items.map(({ refusal }) => refusal !== undefined);
    assert.deepEqual(refused, [...refused].sort(), 'what can be done comes first');
    assert.deepEqual(run.used, [{ id: 'release-switchover' }]);
    assert.deepEqual(prompts.confirmations, []);
  });

  it('that cannot be taken back are asked about first, with what they do', async () => {
    const run = runIn({ phase: 'transfer', cancelHangs: true }, 'postcopy');
    for (const id of [CommandId.startPostcopy, CommandId.cancelMigration]) {
      prompts.willConfirm(false);
      await call(id);
      assert.deepEqual(prompts.messages, []);
      assert.ok((prompts.confirmations.at(-1)?.detail ?? '').length > 40, id);
    }
    assert.deepEqual(run.used, []);
    prompts.willConfirm(true);
    await call(CommandId.startPostcopy);
    assert.deepEqual(run.used, [{ id: 'start-postcopy' }]);
  });

  it('that cannot be used now say why, and send nothing', async () => {
    const run = runIn({ phase: 'transfer' });
    await call(CommandId.releaseSwitchover);
    assert.equal(prompts.onlyMessage.severity, 'warning');
    assert.ok(prompts.onlyMessage.text.length > 20);
    assert.deepEqual(run.used, []);
  });

  it('say what the run itself refused, and what to do', async () => {
    const run = runIn({ phase: 'held' });
    run.refusal = new ControlRefusedError('release-switchover', 'It went on.', 'Wait.');
    await call(CommandId.releaseSwitchover);
    assert.deepEqual(prompts.onlyMessage, {
      severity: 'warning',
      text: 'It went on. Wait.',
      buttons: [],
    });
    run.refusal = new Error('QEMU said no');
    await assert.rejects(call(CommandId.releaseSwitchover), /QEMU said no/);
  });

  it('change a limit of the run with the checks of the parameter editor', async () => {
    const run = runIn({ phase: 'transfer' });
    prompts.willPick('downtime-limit').willType('3000 s', '0.5 s');
    await call(CommandId.changeLimits);
    assert.deepEqual(run.used, [{ id: 'set-parameters', parameters: { 'downtime-limit': 500n } }]);
    assert.match(prompts.problems[0] ?? '', /between/);
    const offered = (prompts.offered[0] ?? []).map(({ value }) => value);
    assert.deepEqual(offered.slice(0, 2), ['max-bandwidth', 'downtime-limit']);
    assert.ok(!offered.includes('multifd-channels'), 'it acts on the next migration only');
  });

  it('carry out a remedy by its row, and ask before postcopy', async () => {
    const run = runIn({ phase: 'transfer', verdict: notConverging }, 'postcopy');
    await call(CommandId.applyRemedy, { machineId: source, subject: 'longer-pause' });
    assert.deepEqual(run.used, [{ id: 'set-parameters', parameters: { 'downtime-limit': 600 } }]);
    assert.match(prompts.statuses[0] ?? '', /Allow a pause of 600 ms/);
    prompts.willConfirm(false);
    await call(CommandId.applyRemedy, { machineId: source, subject: 'start-postcopy' });
    assert.equal(run.used.length, 1);
    await call(CommandId.applyRemedy, { machineId: source, subject: 'slow-the-guest' });
    assert.equal(prompts.messages.at(-1)?.severity, 'information');
  });

  it('tell once a run that it will not end, with the remedies as buttons', async () => {
    const run = new FakeRun({ phase: 'transfer' }, { source });
    const controls = commandsOf(run);
    const changes = new Emitter<RunRecord>();
    const runs = { active: () => run, onDidChange: changes.event };
    const runner = {
      run: async (_: string, action: () => unknown) => {
        await action();
      },
    };
    const notices = new ConvergenceNotices(runs, runner, prompts, controls).register();
    changes.fire(run.record);
    assert.deepEqual(prompts.messages, []);
    run.record = { ...run.record, progress: { ...run.record.progress, verdict: notConverging } };
    prompts.willPress('Allow a pause of 600 ms');
    changes.fire(run.record);
    changes.fire(run.record);
    await eventually(() => assert.equal(run.used.length, 1));
    assert.match(prompts.onlyMessage.text, /web-1 may never end: guest writes 300 MB\/s/);
    assert.deepEqual(prompts.onlyMessage.buttons, ['Start postcopy', 'Allow a pause of 600 ms']);
    notices.dispose();
  });
});
