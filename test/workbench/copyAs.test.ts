import assert from 'node:assert/strict';
import { commands, env } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import type { FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

for (const build of ['local', 'backend-transfer'] as const) {
  describe(`copying settings (${build})`, () => {
    let bench: Bench;
    let server: FakeQmpServer;

    before(async () => {
      bench = await Bench.open();
    });
    beforeEach(async () => {
      await bench.clear();
      await env.clipboard.writeText('');
      server = await bench.connected({ build });
    });
    after(() => bench.close());

    const row = (kind: 'parameter' | 'capability', name: string) =>
      bench.row(server.path, kind, name);

    const copied = () => env.clipboard.readText();

    /** What one line of QMP sets. */
    function qmp(line: string | undefined): unknown {
      return (JSON.parse(line ?? 'null') as { arguments: unknown } | null)?.arguments;
    }

    /** Sets what the tests look for, and waits until it is known here. */
    async function change(): Promise<void> {
      server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 500 };
      server.qemu.capabilities.set('events', true);
      await commands.executeCommand(CommandId.refreshMachine, server.path);
      await eventually(() => {
        assert.ok(row('parameter', 'downtime-limit').tags.includes('changed'));
        assert.ok(row('capability', 'events').tags.includes('changed'));
      });
    }

    it('copies one row in each form', async () => {
      const limit = row('parameter', 'downtime-limit');
      await bench.runOn(CommandId.copyAsQmp, limit);
      assert.deepEqual(qmp(await copied()), { 'downtime-limit': 300 });
      await bench.runOn(CommandId.copyAsHmp, limit);
      assert.equal(await copied(), 'migrate_set_parameter downtime-limit 300');
      await bench.runOn(CommandId.copyAsCli, limit);
      assert.match(await copied(), /^qemu-migration params \S+ downtime-limit='300 ms'$/);
      assert.deepEqual(bench.prompts.messages, []);
      assert.deepEqual(bench.prompts.statuses, [
        'Copied 1 setting as QMP.',
        'Copied 1 setting as HMP.',
        'Copied 1 setting as CLI.',
      ]);
    });

    it('copies all selected rows, and says what was left out and why', async () => {
      await bench.runOn(
        CommandId.copyAsHmp,
        row('parameter', 'downtime-limit'),
        row('parameter', 'cpr-exec-command'),
        row('capability', 'events'),
      );
      assert.equal(
        await copied(),
        'migrate_set_parameter downtime-limit 300\nmigrate_set_capability events off',
      );
      const { severity, text } = bench.prompts.onlyMessage;
      assert.equal(severity, 'information');
      assert.match(text, /^Copied 2 settings as HMP\. Left out: cpr-exec-command: HMP cannot/);
    });

    it('copies a group, all parameters and all capabilities', async () => {
      await bench.runOn(
        CommandId.copyAsQmp,
        bench.row(server.path, 'parameter-group', 'speed-and-pause'),
      );
      const group = Object.keys(qmp(await copied()) as object);
      assert.ok(group.includes('max-bandwidth') && group.length < 12, group.join());
      await bench.runOn(CommandId.copyAsQmp, bench.row(server.path, 'parameters'));
      const all = Object.keys(qmp(await copied()) as object);
      assert.deepEqual(
        all.toSorted(),
        Object.keys(server.qemu.parameters).toSorted(),
        'backend transfer is a parameter too',
      );
      await bench.runOn(CommandId.copyAsQmp, bench.row(server.path, 'capabilities'));
      const { capabilities } = qmp(await copied()) as { capabilities: unknown[] };
      assert.equal(capabilities.length, server.qemu.capabilities.size);
    });

    it('copies the changed settings of a machine, and all where none is changed', async () => {
      const machine = bench.row(server.path, 'machine');
      await bench.runOn(CommandId.copyAsQmp, machine);
      const [parameters] = (await copied()).split('\n');
      assert.ok(Object.keys(qmp(parameters) as object).length > 20);
      await change();
      await bench.runOn(CommandId.copyAsQmp, bench.row(server.path, 'machine'));
      const [changed, capabilities] = (await copied()).split('\n');
      assert.deepEqual(qmp(changed), { 'downtime-limit': 500 });
      assert.deepEqual(qmp(capabilities), {
        capabilities: [{ capability: 'events', state: true }],
      });
    });

    it('copies the same of two machines once, and what differs one after the other', async () => {
      const other = await bench.connected({ build });
      const both = [row('parameter', 'mode'), bench.row(other.path, 'parameter', 'mode')] as const;
      await bench.runOn(CommandId.copyAsHmp, ...both);
      assert.equal(await copied(), 'migrate_set_parameter mode normal');
      await bench.runOn(CommandId.copyAsCli, ...both);
      assert.equal((await copied()).split('\n').length, 2);
    });

    it('asks for machine, form and settings, with the changed ones ticked', async () => {
      await change();
      bench.prompts.willPick(bench.api.machines()[0]?.label ?? '').willPick('HMP');
      bench.prompts.willPickWhatIsTicked();
      await commands.executeCommand(CommandId.copySettingsAs);
      assert.deepEqual(bench.prompts.ticked, [['downtime-limit', 'events']]);
      assert.equal(
        await copied(),
        'migrate_set_parameter downtime-limit 500\nmigrate_set_capability events on',
      );
      const [first, second, third] = bench.prompts.offered.at(-1) ?? [];
      assert.deepEqual(
        [first?.group, second?.group, third?.group],
        ['changed', 'changed', 'default'],
      );
    });

    it('copies nothing when the question is left', async () => {
      bench.prompts.willPick('QMP').willLeaveTicking();
      await commands.executeCommand(CommandId.copySettingsAs, server.path);
      assert.equal(await copied(), '');
    });

    it('keeps the clipboard where the form cannot say it', async () => {
      await env.clipboard.writeText('kept');
      await bench.runOn(CommandId.copyAsHmp, row('parameter', 'cpr-exec-command'));
      assert.equal(await copied(), 'kept');
      assert.match(
        bench.prompts.onlyMessage.text,
        /^There is nothing to copy in this form\. Left out: /,
      );
    });
  });
}
