import assert from 'node:assert/strict';
import {
  commands,
  type CompletionList,
  ConfigurationTarget,
  extensions,
  languages,
  Range,
  TabInputTextDiff,
  Uri,
  window,
  workspace,
  WorkspaceEdit,
} from 'vscode';
import { parseProfileFile } from '../../src/migration/profiles/profileFile';
import { CommandId, SettingId } from '../../src/ui/ids';
import { FakeRefusal, type FakeQmpServer } from '../support/fakeQmpServer';
import type { Build } from '../support/recordings';
import { Bench, eventually } from './support/extension';

const good = `// Kept.
{
  "version": 1,
  "profiles": {
    // Kept too.
    "Quick": {
      "description": "Fast and short",
      "backendTransfer": true,
      "parameters": { "downtime-limit": "0.5 s" },
      "capabilities": { "events": true },
      "source": { "parameters": { "max-bandwidth": "1 GiB/s" } }
    }
  }
}
`;

describe('profiles', () => {
  let bench: Bench;
  let folder: Uri;
  let file: Uri;
  let count = 0;

  before(async () => {
    bench = await Bench.open();
    const first = workspace.workspaceFolders?.[0];
    assert.ok(first, 'the tests have a workspace folder');
    folder = first.uri;
  });
  beforeEach(async () => {
    // VS Code keeps documents for a while after they are closed: each test has a file of its own.
    count += 1;
    const path = `profiles/${count}.qemu-migration.json`;
    file = Uri.joinPath(folder, path);
    await configure(path);
  });
  afterEach(async () => {
    await workspace.saveAll();
    await commands.executeCommand('workbench.action.closeAllEditors');
    const { pairs, history } = bench.access;
    for (const { source } of pairs.all) await pairs.remove(source);
    while (history.last !== undefined) await history.undo({ evenIfChanged: true }).catch(() => 0);
    await bench.clear();
  });
  after(async () => {
    await configure(undefined);
    await bench.close();
  });

  async function machine(name: string, build: Build = 'local', waits = false) {
    const server = await bench.server({ build, overrides: { 'query-name': { name } } });
    if (waits) server.qemu.status = { status: 'inmigrate', running: false };
    await commands.executeCommand(CommandId.connect, server.path);
    return server;
  }

  async function pair(targetBuild: Build = 'local') {
    const source = await machine('web-1');
    const target = await machine('web-1-new', targetBuild, true);
    await bench.access.pairs.set(source.path, target.path);
    return { source, target };
  }

  async function write(text: string, uri = file) {
    await workspace.fs.writeFile(uri, Buffer.from(text));
  }

  async function read(uri = file): Promise<string> {
    return Buffer.from(await workspace.fs.readFile(uri)).toString();
  }

  function offered(index = -1) {
    return bench.prompts.offered.at(index) ?? [];
  }

  /** Everything that a QEMU can be asked for, to prove that nothing was touched. */
  function settingsOf({ qemu }: FakeQmpServer) {
    return JSON.stringify([qemu.parameters, [...qemu.capabilities]]);
  }

  describe('applying one', () => {
    it('shows what would change before it changes it, and offers the way back', async () => {
      await write(good);
      const server = await machine('web-1');
      const before = settingsOf(server);
      bench.prompts.willPick('Quick').willPick('Apply').willPress('Undo');
      await commands.executeCommand(CommandId.applyProfile, server.path);
      assert.deepEqual(
        offered().map(({ label }) => label),
        [
          'Apply 4 changes to web-1',
          'Open as Diff',
          'local: off → on',
          'downtime-limit: 300 ms → 500 ms',
          'max-bandwidth: 128 MiB/s → 1 GiB/s',
          'events: off → on',
        ],
      );
      assert.match(bench.prompts.messages[0]?.text ?? '', /"Quick": 4 settings of web-1 changed/);
      // The button undid it, in one step.
      await eventually(() => assert.equal(settingsOf(server), before));
      assert.equal(bench.access.history.last, undefined);
      const sent = server.transcript.filter(({ command }) => command.startsWith('migrate-set'));
      assert.deepEqual(sent[0]?.arguments['downtime-limit'], 500);
    });

    it('gives each side of a pair what is for it, as one step', async () => {
      await write(good);
      const { source, target } = await pair('backend-transfer');
      const before = [settingsOf(source), settingsOf(target)];
      bench.prompts.willPick('Both sides').willPick('Quick').willPick('Apply 7 changes');
      await commands.executeCommand(CommandId.applyProfile, target.path);
      assert.equal(source.qemu.parameters['local'], true);
      assert.equal(target.qemu.parameters['backend-transfer'], true);
      assert.equal(source.qemu.parameters['max-bandwidth'], 1 << 30);
      assert.equal(target.qemu.parameters['max-bandwidth'], 134_217_728);
      assert.equal(target.qemu.parameters['downtime-limit'], 500);
      assert.match(bench.prompts.onlyMessage.text, /7 settings of web-1 and web-1-new/);
      await commands.executeCommand(CommandId.undoSettings);
      assert.deepEqual([settingsOf(source), settingsOf(target)], before);
    });

    it('is for one machine of a pair alone when asked so, in its role', async () => {
      await write(good);
      const { source, target } = await pair();
      const before = settingsOf(source);
      bench.prompts.willPick('This machine only').willPick('Quick').willPick('Apply');
      await commands.executeCommand(CommandId.applyProfile, target.path);
      assert.equal(settingsOf(source), before);
      assert.equal(target.qemu.parameters['max-bandwidth'], 134_217_728);
      assert.equal(target.qemu.parameters['downtime-limit'], 500);
    });

    it('asks for the machine from the palette, and counts the steps', async () => {
      const server = await machine('web-1');
      bench.prompts.willPick('web-1').willPick('Lowest downtime').willPick('Apply');
      await commands.executeCommand(CommandId.applyProfile);
      assert.equal(server.qemu.parameters['downtime-limit'], 50);
      assert.deepEqual(
        bench.prompts.picks.map(({ step }) => [step?.number, step?.total, step?.back]),
        [
          [1, 3, false],
          [2, 3, true],
          [3, 3, true],
        ],
      );
    });

    it('says that no machine is there to apply it to', async () => {
      await commands.executeCommand(CommandId.applyProfile);
      assert.match(bench.prompts.onlyMessage.text, /Connect to a QEMU first/);
    });

    it('changes nothing when it is left at the list of changes', async () => {
      const server = await machine('web-1');
      const before = settingsOf(server);
      bench.prompts.willPick('Lowest downtime').willPick(undefined);
      await commands.executeCommand(CommandId.applyProfile, server.path);
      assert.equal(settingsOf(server), before);
      assert.deepEqual(bench.prompts.messages, []);
    });

    it('says when there is nothing to change', async () => {
      await write(good);
      const server = await machine('web-1');
      bench.prompts.willPick('Quick').willPick('Apply').willPick('Quick');
      await commands.executeCommand(CommandId.applyProfile, server.path);
      await commands.executeCommand(CommandId.applyProfile, server.path);
      assert.equal(offered()[0]?.description, 'no change');
      assert.match(bench.prompts.messages.at(-1)?.text ?? '', /Nothing to change: web-1/);
    });

    it('cannot be chosen when it does not fit one side, and says why', async () => {
      await write(good);
      const { source, target } = await pair('11.1-stock');
      const before = [settingsOf(source), settingsOf(target)];
      bench.prompts.willPick('Both sides').willPick(undefined);
      await commands.executeCommand(CommandId.applyProfile, source.path);
      const quick = offered().find(({ label }) => label === 'Quick');
      assert.equal(quick?.description, 'does not fit web-1-new');
      assert.match(quick.refusal ?? '', /no backend transfer/);
      assert.deepEqual([settingsOf(source), settingsOf(target)], before);
      // A difference can be looked at all the same.
      bench.prompts.willPick(undefined);
      await commands.executeCommand(CommandId.compareProfile, target.path);
      assert.equal(offered().find(({ label }) => label === 'Quick')?.refusal, undefined);
    });

    it('puts everything back when QEMU refuses a part', async () => {
      await write(good);
      const { source, target } = await pair();
      const before = [settingsOf(source), settingsOf(target)];
      target.on('migrate-set-parameters', () => {
        throw new FakeRefusal('not today');
      });
      bench.prompts.willPick('Both sides').willPick('Quick').willPick('Apply');
      await commands.executeCommand(CommandId.applyProfile, source.path);
      assert.deepEqual([settingsOf(source), settingsOf(target)], before);
      assert.match(bench.prompts.onlyMessage.text, /not today/);
      assert.equal(bench.access.history.last, undefined);
    });

    it('does not undo something else when its button is pressed late', async () => {
      await write(good);
      const server = await machine('web-1');
      const { history, registry } = bench.access;
      // Something is changed while the message stands there.
      const show = bench.prompts.message.bind(bench.prompts);
      bench.prompts.message = async (severity, text, buttons) => {
        const shown = registry.get(server.path);
        if (buttons?.includes('Undo') === true && shown !== undefined) {
          const change = { parameters: { 'downtime-limit': 900 }, capabilities: {} };
          await history.perform('later', [{ machine: shown, change }]);
        }
        return show(severity, text, buttons);
      };
      bench.prompts.willPick('Quick').willPick('Apply').willPress('Undo');
      await commands.executeCommand(CommandId.applyProfile, server.path);
      await eventually(() => assert.match(bench.prompts.messages[1]?.text ?? '', /changed since/));
      assert.equal(server.qemu.parameters['downtime-limit'], 900);
      assert.equal(history.last?.title, 'later');
    });

    it('shows the difference from the list of profiles and from the list of changes', async () => {
      await write(good);
      const server = await machine('web-1');
      bench.prompts.willPick('Quick').willPick('Open as Diff').willPick(undefined);
      await commands.executeCommand(CommandId.applyProfile, server.path);
      await eventually(() => assert.equal(diffLabel(), 'web-1 ↔ Quick (profile)'));
      await commands.executeCommand('workbench.action.closeAllEditors');
      bench.prompts.willPick(undefined);
      await commands.executeCommand(CommandId.applyProfile, server.path);
      offered()[0]?.button?.press();
      await eventually(() => assert.equal(diffLabel(), 'web-1 ↔ Quick (profile)'));
    });
  });

  /** The file in the editor. */
  function inFront(): string | undefined {
    return window.activeTextEditor?.document.uri.toString();
  }

  function diffLabel(): string | undefined {
    const tab = window.tabGroups.activeTabGroup.activeTab;
    return tab?.input instanceof TabInputTextDiff ? tab.label : undefined;
  }

  it('are compared with a machine in the diff editor, which follows the file', async () => {
    await write(good);
    const server = await machine('web-1');
    bench.prompts.willPick('Quick');
    await commands.executeCommand(CommandId.compareProfile, server.path);
    const text = (side: 'original' | 'modified'): string => {
      const tab = window.tabGroups.activeTabGroup.activeTab;
      const uri = tab?.input instanceof TabInputTextDiff ? tab.input[side] : undefined;
      const found = workspace.textDocuments.find((one) => one.uri.toString() === uri?.toString());
      return found?.getText() ?? '';
    };
    await eventually(() => {
      assert.match(text('original'), /"downtime-limit": "300 ms"/);
      assert.match(text('modified'), /"downtime-limit": "500 ms"/);
    });
    assert.equal(server.qemu.parameters['downtime-limit'], 300);
    const document = await workspace.openTextDocument(file);
    await replace(document.uri, '0.5 s', '0.7 s');
    await eventually(() => assert.match(text('modified'), /"downtime-limit": "700 ms"/));
  });

  async function replace(uri: Uri, before: string, after: string) {
    const document = await workspace.openTextDocument(uri);
    const offset = document.getText().indexOf(before);
    assert.ok(offset >= 0, before);
    const edit = new WorkspaceEdit();
    const [start, end] = [document.positionAt(offset), document.positionAt(offset + before.length)];
    edit.replace(uri, new Range(start, end), after);
    await workspace.applyEdit(edit);
  }

  describe('saving one', () => {
    it('makes the file, with the changed settings, and shows it', async () => {
      const server = await machine('web-1');
      server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 700, local: true };
      server.qemu.capabilities.set('events', true);
      await bench.access.registry.get(server.path)?.refresh();
      bench.prompts.willPick('Changed settings').willType('Mine').willType('For the night');
      await commands.executeCommand(CommandId.saveProfile, server.path);
      const { profiles, problems } = parseProfileFile(await read());
      assert.deepEqual(problems, []);
      const [saved] = profiles;
      assert.equal(saved?.name, 'Mine');
      assert.equal(saved.description, 'For the night');
      assert.equal(saved.backendTransfer, true);
      assert.equal(saved.both.parameters['downtime-limit'], '700 ms');
      assert.equal(saved.both.capabilities['events'], true);
      const editor = window.activeTextEditor;
      assert.equal(editor?.document.uri.toString(), file.toString());
      assert.equal(editor.document.getText(editor.selection), '"Mine"');
      assert.deepEqual(bench.prompts.messages, []);
    });

    it('saves what both sides of a pair have, each its own', async () => {
      const { source, target } = await pair();
      for (const { qemu } of [source, target]) qemu.capabilities.set('events', true);
      source.qemu.parameters = { ...source.qemu.parameters, 'downtime-limit': 700 };
      for (const { path } of [source, target]) await bench.access.registry.get(path)?.refresh();
      bench.prompts
        .willPick('Both sides')
        .willPick('Changed settings')
        .willType('Mine')
        .willType('');
      await commands.executeCommand(CommandId.saveProfile, target.path);
      const [saved] = parseProfileFile(await read()).profiles;
      assert.equal(saved?.both.capabilities['events'], true);
      assert.equal(saved.source.parameters['downtime-limit'], '700 ms');
    });

    it('keeps the rest of the file, unsaved edits among it', async () => {
      await write(good);
      await replace(file, 'Fast and short', 'Not on the disk yet');
      const server = await machine('web-1');
      bench.prompts.willPick('All settings').willType('Everything').willType('');
      await commands.executeCommand(CommandId.saveProfile, server.path);
      const text = await read();
      assert.match(text, /^\/\/ Kept\./);
      assert.match(text, /\/\/ Kept too\./);
      assert.match(text, /Not on the disk yet/);
      assert.deepEqual(
        parseProfileFile(text).profiles.map(({ name }) => name),
        ['Quick', 'Everything'],
      );
    });

    it('refuses names that cannot be, and asks before it replaces', async () => {
      await write(good);
      const server = await machine('web-1');
      const answer = (): void => {
        bench.prompts
          .willPick('All settings')
          .willType('  ', 'Lowest downtime', 'Quick')
          .willType('Now other');
      };
      answer();
      bench.prompts.willConfirm(false);
      await commands.executeCommand(CommandId.saveProfile, server.path);
      assert.equal(bench.prompts.problems.length, 2);
      assert.match(bench.prompts.notes[0]?.text ?? '', /would be replaced/);
      assert.equal(bench.prompts.inputs.at(-1)?.value, 'Fast and short');
      assert.match(bench.prompts.confirmations[0]?.message ?? '', /Replace.*Quick/);
      assert.equal(await read(), good);
      answer();
      bench.prompts.willConfirm(true);
      await commands.executeCommand(CommandId.saveProfile, server.path);
      const [saved, ...others] = parseProfileFile(await read()).profiles;
      assert.deepEqual([saved?.description, others], ['Now other', []]);
    });

    it('says in plain words that it could not be written', async () => {
      const server = await machine('web-1');
      const blocked = Uri.joinPath(folder, 'blocked');
      await write('a file', blocked);
      await configure('blocked/qemu-migration.json');
      try {
        bench.prompts.willPick('All settings').willType('Mine').willType('');
        await commands.executeCommand(CommandId.saveProfile, server.path);
        const { severity, text } = bench.prompts.onlyMessage;
        assert.equal(severity, 'error');
        assert.match(text, /blocked\/qemu-migration\.json/);
        assert.doesNotMatch(text, /E[A-Z]{4,}|Error:/);
        assert.equal(await read(blocked), 'a file');
      } finally {
        await workspace.fs.delete(blocked);
      }
    });

    it('loses nothing when an existing file cannot be saved', async () => {
      await write(good);
      const server = await machine('web-1');
      const files = workspace.getConfiguration('files');
      const { Workspace } = ConfigurationTarget;
      await files.update('readonlyInclude', { [`**/${count}.*.json`]: true }, Workspace);
      try {
        bench.prompts.willPick('All settings').willType('Mine').willType('');
        await commands.executeCommand(CommandId.saveProfile, server.path);
        assert.match(bench.prompts.onlyMessage.text, /could not be (saved|changed)/);
        assert.equal(await read(), good);
      } finally {
        await files.update('readonlyInclude', undefined, Workspace);
      }
    });

    it('fills a file that is empty', async () => {
      await write('\n');
      const server = await machine('web-1');
      bench.prompts.willPick('All settings').willType('Mine').willType('');
      await commands.executeCommand(CommandId.saveProfile, server.path);
      assert.equal(parseProfileFile(await read()).profiles[0]?.name, 'Mine');
    });

    it('asks for the folder where there are several and none has the file', async () => {
      const server = await machine('web-1');
      const folders = ['one', 'two'].map((name, index) => {
        return { uri: Uri.joinPath(folder, 'roots', name), name, index };
      });
      await configure('mine.json');
      await pretend('workspaceFolders', folders, async () => {
        bench.prompts.willPick('two').willPick('All settings').willType('Mine').willType('');
        await commands.executeCommand(CommandId.saveProfile, server.path);
        await read(Uri.joinPath(folder, 'roots/two/mine.json'));
        // From now on that is the file.
        bench.prompts.willPick(undefined);
        await commands.executeCommand(CommandId.applyProfile, server.path);
        assert.equal(offered()[0]?.label, 'Mine');
      });
    });

    it('leaves a file that it cannot extend as it is, before it asks anything', async () => {
      const broken = '{ "version": 1, "profiles": { ';
      await write(broken);
      const server = await machine('web-1');
      await commands.executeCommand(CommandId.saveProfile, server.path);
      assert.deepEqual(bench.prompts.asked, []);
      assert.match(bench.prompts.onlyMessage.text, /qemu-migration\.json:1:\d+: /);
      assert.equal(await read(), broken);
    });
  });

  async function configure(path: string | undefined) {
    const configuration = workspace.getConfiguration();
    await configuration.update(SettingId.profilesFile, path, ConfigurationTarget.Workspace);
  }

  describe('in a file with mistakes', () => {
    const unknown = good.replace('"downtime-limit"', '"downtime-limti"');
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ['that is not JSON', good.replace('"version": 1,', '"version": 1'), /:4:3: .*comma/i],
      ['with an unknown member', good.replace('"source"', '"sauce"'), /:11:7: .*"sauce"/],
      [
        'with a value of the wrong type',
        good.replace('"events": true', '"events": "yes"'),
        /:10:35: .*events/,
      ],
      ['of another version', good.replace('"version": 1', '"version": 2'), /:3:14: .*newer/],
    ];
    for (const [what, text, expected] of cases) {
      it(`${what}, says where and changes nothing`, async () => {
        await write(text);
        const server = await machine('web-1');
        const before = settingsOf(server);
        bench.prompts.willPress('Open File').willPick(undefined);
        await commands.executeCommand(CommandId.applyProfile, server.path);
        const { severity, text: shown, buttons } = bench.prompts.onlyMessage;
        assert.equal(severity, 'error');
        assert.match(shown, expected);
        assert.match(
          shown,
          /^None of your profiles can be used\. profiles\/\d+\.qemu-migration\.json:/,
        );
        assert.deepEqual(buttons, ['Open File']);
        assert.ok(!offered().some(({ label }) => label === 'Quick'));
        assert.ok(
          offered().some(({ label }) => label === 'Lowest downtime'),
          'built-in ones stay',
        );
        assert.equal(settingsOf(server), before);
        const [, line] = /:(\d+):\d+: /.exec(shown) ?? [];
        await eventually(() => {
          const editor = window.activeTextEditor;
          assert.equal(editor?.document.uri.toString(), file.toString());
          assert.equal(editor.selection.start.line, Number(line) - 1);
        });
      });
    }

    it('keeps the good profiles usable', async () => {
      const two = good.replace('"profiles": {', '"profiles": {\n    "Bad": { "parameters": 7 },');
      await write(two);
      const server = await machine('web-1');
      bench.prompts.willPick('Quick').willPick('Apply');
      await commands.executeCommand(CommandId.applyProfile, server.path);
      assert.match(bench.prompts.messages[0]?.text ?? '', /^Some of your profiles cannot be used/);
      assert.equal(server.qemu.parameters['downtime-limit'], 500);
    });

    it('says which name a QEMU does not have', async () => {
      await write(unknown);
      const server = await machine('web-1');
      const before = settingsOf(server);
      bench.prompts.willPick('Quick');
      await commands.executeCommand(CommandId.applyProfile, server.path);
      assert.match(bench.prompts.onlyMessage.text, /downtime-limti.*downtime-limit/);
      assert.equal(settingsOf(server), before);
    });
  });

  describe('in the editor', () => {
    function own(uri = file) {
      return languages.getDiagnostics(uri).filter(({ source }) => source === 'QEMU Migration');
    }

    it('has squiggles where only QEMU’s rules are broken, and loses them when mended', async () => {
      await write(good.replace('"downtime-limit"', '"downtime-limti"'));
      await window.showTextDocument(await workspace.openTextDocument(file));
      const found = await eventually(() => {
        const [first, ...others] = own();
        assert.ok(first !== undefined && others.length === 0, String(others.length));
        return first;
      });
      const document = await workspace.openTextDocument(file);
      assert.match(document.getText(found.range), /downtime-limti/);
      assert.match(found.message, /downtime-limit/);
      await replace(file, 'downtime-limti', 'downtime-limit');
      await eventually(() => assert.deepEqual(own(), []));
    });

    for (const [what, text] of [
      ['of a wrong type', good.replace('"events": true', '"events": "yes"')],
      ['of an unknown member', good.replace('"source"', '"sauce"')],
      ['of what is no JSON', good.replace('"version": 1,', '"version": 1')],
      ['of an end that is missing', '{ "version": 1, "profiles": { '],
    ] as const) {
      it(`does not say again what the JSON editor says ${what}`, async () => {
        await write(text);
        await window.showTextDocument(await workspace.openTextDocument(file));
        await eventually(() => {
          const all = languages.getDiagnostics(file);
          const said = all.map(({ message, source, range }) =>
            [source, message, range.start.line, range.start.character].join(' '),
          );
          assert.ok(
            all.some(({ source }) => source !== 'QEMU Migration'),
            said.join('\n'),
          );
          assert.deepEqual(own(), [], said.join('\n'));
        });
      });
    }

    it('is looked at by its name, and by the setting; other files are left alone', async () => {
      const text = good.replace('"downtime-limit"', '"downtime-limti"');
      const [named, other] = [
        Uri.joinPath(folder, 'nightly.qemu-migration.json'),
        Uri.joinPath(folder, 'other.json'),
      ];
      try {
        await write(text, named);
        await write(text, other);
        for (const uri of [named, other]) await workspace.openTextDocument(uri);
        await eventually(() => assert.equal(own(named).length, 1));
        assert.equal(own(other).length, 0);
        await configure('other.json');
        await eventually(() => assert.equal(own(other).length, 1));
      } finally {
        for (const uri of [named, other]) await workspace.fs.delete(uri);
      }
    });

    it('completes names by its schema', async () => {
      assert.ok(extensions.getExtension('vscode.json-language-features'), 'JSON has its editor');
      await write(good.replace('"downtime-limit": "0.5 s"', ''));
      const document = await workspace.openTextDocument(file);
      assert.equal(document.languageId, 'jsonc');
      await window.showTextDocument(document);
      const offset = document.getText().indexOf('"parameters": {  }') + '"parameters": { '.length;
      await eventuallyAsync(async () => {
        const list = await commands.executeCommand<CompletionList>(
          'vscode.executeCompletionItemProvider',
          file,
          document.positionAt(offset),
        );
        const labels = list.items.map(({ label }) =>
          typeof label === 'string' ? label : label.label,
        );
        assert.ok(labels.includes('max-bandwidth'), labels.join());
      });
      assert.deepEqual(
        languages.getDiagnostics(file).map(({ message }) => message),
        [],
        'comments are no mistake',
      );
    });
  });

  describe('and their file', () => {
    it('has completion under any name: a new one names its schema', async () => {
      const other = Uri.joinPath(folder, 'lab-profiles.json');
      await configure('lab-profiles.json');
      try {
        bench.prompts.willConfirm(true);
        await commands.executeCommand(CommandId.openProfiles);
        const document = await workspace.openTextDocument(other);
        assert.deepEqual(parseProfileFile(document.getText()).problems, []);
        const mark = '"capabilities": {';
        const offset = document.getText().indexOf(mark) + mark.length;
        await eventuallyAsync(async () => {
          const list = await commands.executeCommand<CompletionList>(
            'vscode.executeCompletionItemProvider',
            other,
            document.positionAt(offset),
          );
          const labels = list.items.map(({ label }) =>
            typeof label === 'string' ? label : label.label,
          );
          assert.ok(labels.includes('postcopy-ram'), labels.join());
        });
        await eventually(() => assert.equal(document.languageId, 'jsonc'));
        assert.deepEqual(
          languages.getDiagnostics(other).map(({ message }) => message),
          [],
        );
      } finally {
        await workspace.fs.delete(other);
      }
    });

    it('is made with an example when asked for, and opened', async () => {
      bench.prompts.willConfirm(false);
      await commands.executeCommand(CommandId.openProfiles);
      await assert.rejects(read());
      bench.prompts.willConfirm(true);
      await commands.executeCommand(CommandId.openProfiles);
      const { profiles, problems } = parseProfileFile(await read());
      assert.deepEqual(problems, []);
      assert.equal(profiles.length, 1);
      assert.equal(inFront(), file.toString());
      await commands.executeCommand('workbench.action.closeAllEditors');
      await commands.executeCommand(CommandId.openProfiles);
      assert.equal(inFront(), file.toString());
      assert.equal(bench.prompts.confirmations.length, 2);
    });

    it('is in .vscode unless told otherwise, and may have comments', async () => {
      await configure(undefined);
      bench.prompts.willConfirm(true);
      await commands.executeCommand(CommandId.openProfiles);
      const document = window.activeTextEditor?.document;
      assert.equal(document?.uri.path, Uri.joinPath(folder, '.vscode/qemu-migration.json').path);
      assert.equal(document.languageId, 'jsonc');
      await workspace.fs.delete(document.uri);
    });

    it('may be anywhere', async () => {
      const elsewhere = Uri.file(`/tmp/profiles-${process.pid}/mine.json`);
      await configure(elsewhere.fsPath);
      try {
        await write(good, elsewhere);
        const server = await machine('web-1');
        bench.prompts.willPick('Quick').willPick('Apply');
        await commands.executeCommand(CommandId.applyProfile, server.path);
        assert.equal(server.qemu.parameters['downtime-limit'], 500);
        assert.equal(offered(0)[0]?.group, elsewhere.fsPath);
        const document = await workspace.openTextDocument(elsewhere);
        await eventually(() => {
          const now = workspace.textDocuments.find(({ uri }) => uri.path === document.uri.path);
          assert.equal(now?.languageId, 'jsonc', 'comments are no mistake in it');
        });
      } finally {
        await workspace.fs.delete(Uri.joinPath(elsewhere, '..'), { recursive: true });
      }
    });

    it('is not used while the workspace is not trusted; built-in profiles are', async () => {
      await write(good);
      const server = await machine('web-1');
      await pretend('isTrusted', false, async () => {
        bench.prompts.willPick('Lowest downtime').willPick('Apply');
        await commands.executeCommand(CommandId.applyProfile, server.path);
        assert.ok(!offered(0).some(({ label }) => label === 'Quick'));
        assert.match(bench.prompts.picks[0]?.placeholder ?? '', /not trusted/);
        assert.equal(server.qemu.parameters['downtime-limit'], 50);
        await commands.executeCommand(CommandId.saveProfile, server.path);
        const { text, buttons } = bench.prompts.messages.at(-1) ?? {};
        assert.match(text ?? '', /not trusted/);
        assert.deepEqual(buttons, ['Manage Workspace Trust']);
      });
      assert.equal(await read(), good);
    });

    it('leaves the built-in profiles when it cannot be read', async () => {
      await workspace.fs.createDirectory(file);
      const server = await machine('web-1');
      bench.prompts.willPick('Lowest downtime').willPick('Apply');
      await commands.executeCommand(CommandId.applyProfile, server.path);
      assert.match(bench.prompts.messages[0]?.text ?? '', /could not be read: it is a folder/);
      assert.equal(server.qemu.parameters['downtime-limit'], 50);
    });

    it('needs a folder when its path is relative', async () => {
      const server = await machine('web-1');
      await pretend('workspaceFolders', undefined, async () => {
        bench.prompts.willPick(undefined);
        await commands.executeCommand(CommandId.applyProfile, server.path);
        assert.match(bench.prompts.picks[0]?.placeholder ?? '', /no folder is open/);
        await commands.executeCommand(CommandId.openProfiles);
        assert.match(bench.prompts.onlyMessage.text, /no folder is open/);
      });
    });
  });

  async function pretend(
    name: 'isTrusted' | 'workspaceFolders',
    value: unknown,
    act: () => Promise<void>,
  ) {
    const real = Object.getOwnPropertyDescriptor(workspace, name);
    assert.ok(real);
    Object.defineProperty(workspace, name, { get: () => value, configurable: true });
    try {
      await act();
    } finally {
      Object.defineProperty(workspace, name, real);
    }
  }
});

async function eventuallyAsync(check: () => Promise<void>, timeoutMs = 10_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}
