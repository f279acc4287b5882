import assert from 'node:assert/strict';
import { commands, TabInputTextDiff, type TextDocument, Uri, window, workspace } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import type { FakeQmpServer } from '../support/fakeQmpServer';
import type { Build } from '../support/recordings';
import { Bench, eventually } from './support/extension';

describe('comparing settings', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(async () => {
    await commands.executeCommand('workbench.action.closeAllEditors');
    const { pairs } = bench.access;
    for (const { source } of pairs.all) await pairs.remove(source);
    await bench.clear();
  });
  after(() => bench.close());

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

  /** The two documents of the diff editor in front, once they have their texts. */
  async function diff() {
    const { left, right, label } = await eventually(() => {
      const tab = window.tabGroups.activeTabGroup.activeTab;
      assert.ok(tab?.input instanceof TabInputTextDiff, tab?.label ?? 'no tab');
      const [original, modified] = [document(tab.input.original), document(tab.input.modified)];
      assert.ok(original !== undefined && modified !== undefined);
      assert.ok(original.getText() !== '' && modified.getText() !== '');
      return { left: original, right: modified, label: tab.label };
    });
    return { left, right, label };
  }

  function document(uri: Uri): TextDocument | undefined {
    return workspace.textDocuments.find((one) => one.uri.toString() === uri.toString());
  }

  function line(text: TextDocument, name: string): string {
    const found = text
      .getText()
      .split('\n')
      .find((one) => one.includes(`"${name}"`));
    assert.ok(found, `${name} in ${text.getText()}`);
    return found.trim();
  }

  async function set(server: FakeQmpServer, name: string, value: number) {
    server.qemu.parameters = { ...server.qemu.parameters, [name]: value };
    await bench.access.registry.get(server.path)?.refresh(['parameters']);
  }

  it('opens both sides of a pair beside each other, the source on the left', async () => {
    const { source, target } = await pair('backend-transfer');
    await set(source, 'downtime-limit', 777);
    await commands.executeCommand(CommandId.compare, target.path);
    const { left, right, label } = await diff();
    assert.equal(label, 'web-1 ↔ web-1-new (settings)');
    assert.equal(left.languageId, 'jsonc');
    assert.match(line(left, 'downtime-limit'), /777/);
    assert.match(line(right, 'downtime-limit'), /300/);
    assert.match(line(left, 'backend-transfer'), /^\/\/.*not in this QEMU/);
    assert.match(line(right, 'backend-transfer'), /false/);
    assert.equal(left.lineCount, right.lineCount, 'the lines of both sides meet');
    assert.deepEqual(bench.prompts.messages, []);
  });

  it('cannot be edited', async () => {
    const { source } = await pair();
    await commands.executeCommand(CommandId.compare, source.path);
    const { right } = await diff();
    const before = right.getText();
    await eventually(() => assert.equal(window.activeTextEditor?.document, right));
    await commands.executeCommand('type', { text: 'x' });
    assert.equal(right.getText(), before);
    assert.equal(right.isDirty, false);
  });

  it('follows what QEMU says', async () => {
    const { source, target } = await pair();
    await commands.executeCommand(CommandId.compare, source.path);
    const { left, right } = await diff();
    await set(target, 'max-bandwidth', 1 << 30);
    await eventually(() => assert.match(line(right, 'max-bandwidth'), /1 GiB\/s/));
    await commands.executeCommand(CommandId.applyToBoth, {
      machineId: target.path,
      subject: 'max-bandwidth',
    });
    await eventually(() => assert.match(line(left, 'max-bandwidth'), /1 GiB\/s/));
  });

  it('keeps what was last known of a machine that goes away, and says so', async () => {
    const { source, target } = await pair();
    await set(source, 'downtime-limit', 777);
    await commands.executeCommand(CommandId.compare, source.path);
    const { left, right } = await diff();
    await source.stop();
    await eventually(() => assert.match(left.getText(), /^\/\/ Not connected: as last known/m));
    assert.match(line(left, 'downtime-limit'), /777/);
    assert.doesNotMatch(right.getText(), /as last known/);
    await commands.executeCommand(CommandId.remove, target.path);
    await eventually(() => assert.match(right.getText(), /^\/\/ web-1-new is not in the list/));
    assert.match(line(right, 'downtime-limit'), /300/);
    assert.deepEqual(bench.prompts.messages, []);
  });

  it('asks for the other machine of one that has no partner', async () => {
    const target = await machine('web-2', 'local', true);
    const source = await machine('web-1');
    bench.prompts.willPick('web-1');
    await commands.executeCommand(CommandId.compare, target.path);
    assert.match(bench.prompts.asked[0] ?? '', /Compare web-2 with/);
    const { label } = await diff();
    assert.equal(label, 'web-1 ↔ web-2 (settings)', 'the one that waits is on the right');
    assert.deepEqual(bench.access.pairs.all, []);
    bench.prompts.willPick('web-1').willPick(undefined);
    await commands.executeCommand(CommandId.compare);
    assert.equal(bench.prompts.offered.at(-1)?.[0]?.value, target.path);
    assert.equal(bench.prompts.asked.length, 3, source.path);
  });

  it('offers pairs first from the palette', async () => {
    await pair();
    bench.prompts.willPick('web-1 → web-1-new');
    await commands.executeCommand(CommandId.compare);
    assert.equal(bench.prompts.offered[0]?.[0]?.label, 'web-1 → web-1-new');
    assert.equal((await diff()).label, 'web-1 ↔ web-1-new (settings)');
  });

  it('compares two machines that are selected, whatever their partners', async () => {
    const { source } = await pair();
    const other = await machine('db-7');
    const rows = [{ machineId: source.path }, { machineId: other.path }];
    await commands.executeCommand(CommandId.compare, rows[0], rows);
    assert.equal((await diff()).label, 'web-1 ↔ db-7 (settings)');
  });

  it('shows words for a document that is not of its making', async () => {
    const text = await workspace.openTextDocument(Uri.parse('qemu-migration:/x.jsonc?{'));
    assert.match(text.getText(), /^\/\/ /);
  });
});
