import assert from 'node:assert/strict';
import { commands } from 'vscode';
import type { NodeKind, ViewNode } from '../../src/migration/view/nodes';
import { CommandId } from '../../src/ui/ids';
import { FakeRefusal, type FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

for (const build of ['local', 'backend-transfer'] as const) {
  describe(`undoing and resetting (${build})`, () => {
    let bench: Bench;
    let server: FakeQmpServer;

    before(async () => {
      bench = await Bench.open();
    });
    beforeEach(async () => {
      await bench.clear();
      server = await bench.connected({ build });
    });
    after(() => bench.close());

    function value(name: string): unknown {
      return server.qemu.parameters[name];
    }

    function row(kind: NodeKind, name?: string, of = server): ViewNode {
      return bench.row(of.path, kind, name);
    }

    async function set(name: string, text: string, of = server): Promise<void> {
      bench.prompts.willType(text);
      await bench.runOn(CommandId.setParameter, row('parameter', name, of));
    }

    /** The rows, once they are marked as changed. */
    function changed(of: FakeQmpServer, ...names: string[]): Promise<ViewNode[]> {
      return eventually(() =>
        names.map((name) => {
          const found = bench
            .rows(of.path)
            .find(({ subject, tags }) => subject === name && tags.includes('changed'));
          assert.ok(found, `${name} is not marked as changed`);
          return found;
        }),
      );
    }

    it('puts the value back and says which', async () => {
      await set('max-bandwidth', '1 GiB/s');
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('max-bandwidth'), 134_217_728);
      const { severity, text } = bench.prompts.onlyMessage;
      assert.equal(severity, 'information');
      assert.match(text, /^Undid max-bandwidth of .+: 128 MiB\/s again\.$/);
    });

    it('undoes one step after the other, and says when there is none', async () => {
      await set('downtime-limit', '500 ms');
      await set('multifd-zlib-level', '3');
      await commands.executeCommand(CommandId.undoSettings);
      assert.deepEqual([value('downtime-limit'), value('multifd-zlib-level')], [500, 1]);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('downtime-limit'), 300);
      await commands.executeCommand(CommandId.undoSettings);
      assert.match(bench.prompts.messages.at(-1)?.text ?? '', /^No change of settings/);
    });

    it('offers to forget a step that QEMU does not let be undone, and undoes the one before', async () => {
      await set('downtime-limit', '500 ms');
      await set('max-bandwidth', '1 GiB/s');
      server.on('migrate-set-parameters', (args, { command }) => {
        if ('max-bandwidth' in args) throw new FakeRefusal('never slower');
        return server.qemu.answer(command, args);
      });
      bench.prompts.willPress('Forget This Change');
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('max-bandwidth'), 1_073_741_824);
      const { severity, text, buttons } = bench.prompts.onlyMessage;
      assert.equal(severity, 'error');
      assert.match(text, /^max-bandwidth of .+ was not undone\. .*never slower/);
      assert.deepEqual(buttons, ['Forget This Change']);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('downtime-limit'), 300);
    });

    it('asks before it overwrites what somebody else changed since', async () => {
      await set('downtime-limit', '500 ms');
      server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 700 };
      bench.prompts.willConfirm(false);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('downtime-limit'), 700);
      const [asked] = bench.prompts.confirmations;
      assert.match(
        asked?.detail ?? '',
        /downtime-limit of .* was set to 500 ms, and is 700 ms now/,
      );
      assert.equal(asked?.action, 'Put Back Anyway');
      bench.prompts.willConfirm(true);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('downtime-limit'), 300);
    });

    it('keeps the step when QEMU refuses, for another attempt', async () => {
      await set('downtime-limit', '500 ms');
      let refusals = 1;
      server.on('migrate-set-parameters', (wanted) => {
        if (refusals-- > 0) throw new FakeRefusal('not now');
        return server.qemu.answer('migrate-set-parameters', wanted);
      });
      await commands.executeCommand(CommandId.undoSettings);
      assert.match(bench.prompts.onlyMessage.text, /not now/);
      assert.equal(value('downtime-limit'), 500);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('downtime-limit'), 300);
    });

    it('says that the settings of a QEMU end with it', async () => {
      await set('downtime-limit', '500 ms');
      await commands.executeCommand(CommandId.remove, server.path);
      await commands.executeCommand(CommandId.undoSettings);
      assert.match(bench.prompts.onlyMessage.text, /cannot be undone/);
      await commands.executeCommand(CommandId.undoSettings);
      assert.match(bench.prompts.messages.at(-1)?.text ?? '', /^No change of settings/);
    });

    it('says what QEMU keeps, because it was not set before', async () => {
      await set('block-bitmap-mapping', '[{"node-name": "d", "alias": "a", "bitmaps": []}]');
      await commands.executeCommand(CommandId.undoSettings);
      assert.deepEqual(value('block-bitmap-mapping'), []);
      assert.match(
        bench.prompts.onlyMessage.text,
        /QEMU cannot unset what was not set before; now block-bitmap-mapping: empty\./,
      );
    });

    it('resets one setting to its default', async () => {
      await set('downtime-limit', '500 ms');
      const [limit] = await changed(server, 'downtime-limit');
      await bench.runOn(CommandId.resetSetting, limit!);
      assert.equal(value('downtime-limit'), 300);
      assert.deepEqual(bench.prompts.messages, []);
      await eventually(() =>
        assert.ok(!row('parameter', 'downtime-limit').tags.includes('changed')),
      );
    });

    it('resets all selected rows, on whichever machine, as one step', async () => {
      const other = await bench.connected({ build });
      await set('downtime-limit', '500 ms');
      await set('downtime-limit', '600 ms', other);
      await bench.runOn(CommandId.toggleCapability, row('capability', 'events'));
      const [limit, events] = await changed(server, 'downtime-limit', 'events');
      const [otherLimit] = await changed(other, 'downtime-limit');
      await bench.runOn(CommandId.resetSetting, limit!, events!, otherLimit!);
      assert.equal(value('downtime-limit'), 300);
      assert.equal(server.qemu.capabilities.get('events'), false);
      assert.equal(other.qemu.parameters['downtime-limit'], 300);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('downtime-limit'), 500);
      assert.equal(server.qemu.capabilities.get('events'), true);
      assert.equal(other.qemu.parameters['downtime-limit'], 600);
      assert.match(bench.prompts.onlyMessage.text, /^Undid 3 settings of 2 machines\. Again: /);
    });

    it('resets all settings of a machine but those that are unticked, as one step', async () => {
      await set('max-bandwidth', '1 GiB/s');
      await set('downtime-limit', '500 ms');
      await bench.runOn(CommandId.toggleCapability, row('capability', 'events'));
      bench.prompts.willPickMany('max-bandwidth', 'events');
      await commands.executeCommand(CommandId.resetAllSettings, server.path);
      assert.deepEqual(
        bench.prompts.offered.at(-1)?.map(({ label, description }) => [label, description]),
        [
          ['downtime-limit', '500 ms → 300 ms'],
          ['max-bandwidth', '1 GiB/s → 128 MiB/s'],
          ['events', 'on → off'],
        ],
      );
      assert.deepEqual(bench.prompts.ticked, [['downtime-limit', 'max-bandwidth', 'events']]);
      assert.deepEqual([value('max-bandwidth'), value('downtime-limit')], [134_217_728, 500]);
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('max-bandwidth'), 1_073_741_824);
      assert.equal(server.qemu.capabilities.get('events'), true);
    });

    it('says that there is nothing to reset', async () => {
      await commands.executeCommand(CommandId.resetAllSettings, server.path);
      assert.match(bench.prompts.onlyMessage.text, /^All settings of .* have their defaults\.$/);
    });

    it('empties what is not set by default, and says that QEMU cannot unset it', async () => {
      await set('block-bitmap-mapping', '[{"node-name": "d", "alias": "a", "bitmaps": []}]');
      const [mapping] = await changed(server, 'block-bitmap-mapping');
      await bench.runOn(CommandId.resetSetting, mapping!);
      assert.deepEqual(value('block-bitmap-mapping'), []);
      assert.match(
        bench.prompts.onlyMessage.text,
        /not set; QEMU cannot unset it, so it is emptied/,
      );
    });

    it('offers to reset together what needs each other', async () => {
      bench.prompts.willPickMany('postcopy-ram', 'postcopy-preempt');
      await commands.executeCommand(CommandId.chooseCapabilities, server.path);
      const [ram] = await changed(server, 'postcopy-ram');
      bench.prompts.willPress('Also turn off postcopy-preempt');
      await bench.runOn(CommandId.resetSetting, ram!);
      assert.match(bench.prompts.onlyMessage.text, /cannot be turned off while postcopy-preempt/);
      await eventually(() => assert.equal(server.qemu.capabilities.get('postcopy-preempt'), false));
      await eventually(() => assert.equal(server.qemu.capabilities.get('postcopy-ram'), false));
    });
  });
}
