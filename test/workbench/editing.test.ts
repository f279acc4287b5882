import assert from 'node:assert/strict';
import { commands } from 'vscode';
import { ParameterEditor } from '../../src/ui/commands/parameterEditor';
import { CommandId } from '../../src/ui/ids';
import { FakeRefusal, type FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

for (const build of ['local', 'backend-transfer'] as const) {
  describe(`editing a parameter (${build})`, () => {
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

    function edit(name: string): Promise<void> {
      return bench.runOn(CommandId.setParameter, bench.row(server.path, 'parameter', name));
    }

    function value(name: string): unknown {
      return server.qemu.parameters[name];
    }

    function labels(index = -1): (string | undefined)[] {
      return (bench.prompts.offered.at(index) ?? []).map(({ label }) => label);
    }

    it('offers on and off for a boolean, and asks for the parameter when none is given', async () => {
      bench.prompts.willPick('cpu-throttle-tailslow').willPick('on');
      await commands.executeCommand(CommandId.setParameter, server.path);
      assert.equal(value('cpu-throttle-tailslow'), true);
      const [off, on] = bench.prompts.offered.at(-1) ?? [];
      assert.deepEqual([off?.label, off?.description], ['off', 'current · default']);
      assert.deepEqual([on?.label, on?.description], ['on', '']);
    });

    it('offers the values of an enumeration, the current one first, with marks', async () => {
      bench.prompts.willPick('legacy');
      await edit('zero-page-detection');
      assert.deepEqual(labels(), ['multifd', 'none', 'legacy']);
      assert.equal(value('zero-page-detection'), 'legacy');
      bench.prompts.willPick('none');
      await edit('zero-page-detection');
      assert.deepEqual(
        bench.prompts.offered.at(-1)?.map(({ label, description }) => [label, description]),
        [
          ['legacy', 'current'],
          ['none', ''],
          ['multifd', 'default · before the last change'],
        ],
      );
      assert.deepEqual(bench.prompts.messages, []);
    });

    it('offers a value together with what it needs', async () => {
      bench.prompts.willPick('zlib, and turn on multifd');
      await edit('multifd-compression');
      assert.equal(value('multifd-compression'), 'zlib');
      assert.equal(server.qemu.capabilities.get('multifd'), true);
      const alone = bench.prompts.offered.at(-1)?.find(({ label }) => label === 'zlib');
      assert.match(alone?.warning ?? '', /no effect unless multifd is on/);
      // One step, for it was one action.
      await commands.executeCommand(CommandId.undoSettings);
      assert.equal(value('multifd-compression'), 'none');
      assert.equal(server.qemu.capabilities.get('multifd'), false);
    });

    it('keeps the list open with QEMU’s words when QEMU refuses a choice', async () => {
      server.on('migrate-set-parameters', () => {
        throw new FakeRefusal('no such mode today');
      });
      bench.prompts.willPick('cpr-reboot', undefined);
      await edit('mode');
      assert.match(bench.prompts.problems.join(), /no such mode today\. It keeps normal\./);
      assert.deepEqual(bench.prompts.messages, []);
    });

    it('takes a number with its unit, and refuses what is out of range beside the field', async () => {
      bench.prompts.willType('soon', '3000 s', '0.5 s');
      await edit('downtime-limit');
      assert.equal(bench.prompts.problems.length, 2);
      assert.match(bench.prompts.problems[1] ?? '', /between .* and /);
      assert.equal(value('downtime-limit'), 500);
      await eventually(() =>
        assert.match(
          bench.row(server.path, 'parameter', 'downtime-limit').description ?? '',
          /500 ms/,
        ),
      );
    });

    it('says what a number means, its range and its default, and fills the default in', async () => {
      server.qemu.parameters = { ...server.qemu.parameters, 'max-bandwidth': 1073741824 };
      await commands.executeCommand(CommandId.refreshMachine, server.path);
      bench.prompts.willType('2G');
      await edit('max-bandwidth');
      const [field] = bench.prompts.inputs;
      assert.match(
        field?.prompt ?? '',
        / · a number alone is in bytes\/s · 0: no limit · default: 128 MiB\/s$/,
      );
      assert.equal(field?.value, '1 GiB/s');
      assert.deepEqual(
        field.suggestions?.map(({ text }) => text),
        ['128 MiB/s'],
      );
      assert.match(field.suggestions[0]?.tooltip ?? '', /fresh QEMU.*: 128 MiB\/s/);
      assert.equal(value('max-bandwidth'), 2147483648);
    });

    it('offers the value before the last change, whoever of ours made it', async () => {
      bench.prompts.willType('500 ms');
      await edit('downtime-limit');
      await bench.runOn(
        CommandId.resetSetting,
        await eventually(() => {
          const row = bench.row(server.path, 'parameter', 'downtime-limit');
          assert.ok(row.tags.includes('changed'));
          return row;
        }),
      );
      bench.prompts.willType('300 ms');
      await edit('downtime-limit');
      assert.deepEqual(
        bench.prompts.inputs.at(-1)?.suggestions?.map(({ text }) => text),
        ['500 ms'],
      );
    });

    it('warns of what has no effect, and takes it all the same', async () => {
      bench.prompts.willType('4');
      await edit('multifd-channels');
      assert.equal(value('multifd-channels'), 4);
      assert.equal(server.qemu.capabilities.get('multifd'), false);
      const [note] = bench.prompts.notes;
      assert.equal(note?.level, 'warning');
      assert.match(
        note.text,
        /no effect unless multifd is on.*The button above \(Shift\+Tab\) can also turn on multifd/s,
      );
    });

    it('takes a number together with what it needs, by a button of the field', async () => {
      bench.prompts.willType({ press: 'turn on multifd', text: '8' });
      await edit('multifd-channels');
      assert.equal(value('multifd-channels'), 8);
      assert.equal(server.qemu.capabilities.get('multifd'), true);
    });

    it('keeps the field open with QEMU’s words when QEMU refuses, and QEMU keeps its value', async () => {
      const before = value('max-bandwidth');
      server.on('migrate-set-parameters', () => {
        throw new FakeRefusal('max-bandwidth is out of my range');
      });
      bench.prompts.willType('1 GiB/s');
      await edit('max-bandwidth');
      assert.match(bench.prompts.problems.join(), /out of my range\. It keeps 128 MiB\/s\./);
      assert.equal(value('max-bandwidth'), before);
      assert.deepEqual(bench.prompts.messages, []);
      assert.equal(bench.access.history.last, undefined);
    });

    it('does not send what our checks refuse', async () => {
      bench.prompts.willType('99');
      const sent = server.commands.length;
      await edit('max-cpu-throttle');
      assert.deepEqual(
        server.commands.slice(sent).filter((name) => name.startsWith('migrate-set')),
        [],
      );
      bench.prompts.willType('10');
      await edit('max-cpu-throttle');
      assert.match(bench.prompts.problems.join(), /cpu-throttle-initial cannot be above/);
      assert.equal(value('max-cpu-throttle'), 99);
    });

    it('clears a text with an empty one', async () => {
      bench.prompts.willType('tls0');
      await edit('tls-creds');
      assert.equal(value('tls-creds'), 'tls0');
      assert.match(bench.prompts.inputs[0]?.prompt ?? '', /an empty text clears it/);
      bench.prompts.willType('');
      await edit('tls-creds');
      assert.equal(value('tls-creds'), '');
    });

    it('takes a structure as JSON, and says what is wrong in it and where', async () => {
      const mapping = [{ 'node-name': 'disk0', alias: 'a', bitmaps: [{ name: 'b', alias: 'c' }] }];
      bench.prompts.willType('[{"node-name": 1}]', JSON.stringify(mapping));
      await edit('block-bitmap-mapping');
      assert.match(bench.prompts.problems.join(), /node-name/);
      assert.deepEqual(value('block-bitmap-mapping'), mapping);
    });

    it('asks before it sets a command that QEMU will execute, and takes it as words', async () => {
      bench.prompts.willType('/usr/bin/qemu -name "a b"').willConfirm(false);
      await edit('cpr-exec-command');
      assert.deepEqual(value('cpr-exec-command'), []);
      assert.match(bench.prompts.confirmations[0]?.detail ?? '', /QEMU executes this command/);
      assert.match(bench.prompts.problems.join(), /was not changed/);
      assert.equal(bench.prompts.inputs[0]?.stays, true);
      bench.prompts.willType('/usr/bin/qemu -name "a b"').willConfirm(true);
      await edit('cpr-exec-command');
      assert.deepEqual(value('cpr-exec-command'), ['/usr/bin/qemu', '-name', 'a b']);
    });

    it('sets no such command from a workspace that is not trusted', async () => {
      const machine = bench.access.registry.get(server.path);
      assert.ok(machine);
      const editor = new ParameterEditor(bench.prompts, bench.access.history, () => false);
      await editor.edit(machine, 'cpr-exec-command');
      assert.match(bench.prompts.onlyMessage.text, /not set from a workspace that is not trusted/);
      assert.deepEqual(bench.prompts.asked, []);
    });

    it('marks what is unstable', async () => {
      bench.prompts.willType('10 s');
      await edit('x-checkpoint-delay');
      assert.match(bench.prompts.inputs[0]?.prompt ?? '', /^unstable · /);
    });
  });
}
