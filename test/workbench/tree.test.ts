import assert from 'node:assert/strict';
import { commands, MarkdownString, ThemeIcon, TreeItemCheckboxState } from 'vscode';
import { CommandId } from '../../src/ui/ids';
import type { NodeHandle } from '../../src/ui/tree/nodeHandle';
import { toMarkdown } from '../../src/ui/tree/toTreeItem';
import { Bench, eventually } from './support/extension';

describe('tree of machines', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(() => bench.clear());
  after(() => bench.close());

  async function connected(build: 'local' | 'backend-transfer' | '11.1-stock') {
    const server = await bench.server({ build });
    await commands.executeCommand(CommandId.connect, server.path);
    await eventually(() => bench.row(server.path, 'capabilities'));
    return server;
  }

  it('shows backend transfer, every parameter and every capability of a machine', async () => {
    const server = await connected('local');
    const rows = bench.rows(server.path);
    assert.equal(rows[0]?.kind, 'machine');
    assert.ok(rows.some(({ kind }) => kind === 'backend-transfer'));
    const shown = rows.flatMap((row) => (row.kind === 'parameter' ? [row.subject] : []));
    for (const name of Object.keys(server.qemu.parameters)) {
      if (name !== 'local') assert.ok(shown.includes(name), name);
    }
    const capabilities = rows.flatMap((row) => (row.kind === 'capability' ? [row.subject] : []));
    assert.deepEqual([...capabilities].sort(), [...server.qemu.capabilities.keys()].sort());
  });

  it('knows backend transfer by each of its names, and says where it is absent', async () => {
    for (const build of ['local', 'backend-transfer', '11.1-stock'] as const) {
      const server = await connected(build);
      const row = bench.row(server.path, 'backend-transfer');
      assert.equal(row.tags.includes('boolean'), build !== '11.1-stock', build);
    }
  });

  it('draws rows with tags, spoken text and untrusted tooltips', async () => {
    const server = await connected('local');
    for (const node of bench.rows(server.path)) {
      const item = bench.access.provider.getTreeItem(bench.handle(node));
      assert.equal(item.id, node.id);
      assert.match(item.contextValue ?? '', /^;[a-z-]+;(.*;)?$/, node.id);
      assert.equal(item.accessibilityInformation?.label, node.spoken);
      if (item.tooltip instanceof MarkdownString) assert.notEqual(item.tooltip.isTrusted, true);
      if (node.icon !== undefined) assert.ok(item.iconPath instanceof ThemeIcon);
      assert.doesNotMatch(item.command?.command ?? '', /migrate$/i);
      if (typeof item.checkboxState === 'object') {
        const checked = item.checkboxState.state === TreeItemCheckboxState.Checked;
        assert.equal(checked, node.checked);
      }
    }
  });

  it('finds the way from each row to the top', async () => {
    const server = await connected('local');
    const { provider } = bench.access;
    for (const node of bench.rows(server.path)) {
      let handle: NodeHandle | undefined = bench.handle(node);
      let top = handle;
      while (handle !== undefined) {
        top = handle;
        handle = provider.getParent(handle);
      }
      assert.equal(provider.node(top.nodeId)?.kind, 'machine');
    }
  });

  it('redraws only the row that changed, and keeps the objects of rows', async () => {
    const server = await connected('local');
    // Learnt after connecting, and part of the top row's tooltip.
    await eventually(() => assert.ok(bench.access.registry.get(server.path)?.snapshot.process));
    bench.access.provider.flush();
    const before = bench.handle(bench.row(server.path, 'parameter', 'downtime-limit'));
    const redrawn: (NodeHandle[] | undefined)[] = [];
    const listening = bench.access.provider.onDidChangeTreeData((handles) => {
      redrawn.push(handles);
    });
    server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 777 };
    await bench.access.registry.get(server.path)?.refresh(['parameters']);
    await eventually(() => {
      assert.match(bench.row(server.path, 'parameter', 'downtime-limit').description ?? '', /777/);
    });
    listening.dispose();
    assert.ok(!redrawn.includes(undefined), 'everything was drawn again');
    const kinds = redrawn
      .flatMap((handles) => handles ?? [])
      .map(({ nodeId }) => bench.access.provider.node(nodeId)?.kind);
    assert.ok(!kinds.includes('machine'), kinds.join(', '));
    assert.equal(bench.handle(bench.row(server.path, 'parameter', 'downtime-limit')), before);
  });

  it('takes text of QEMU and of the user for text', () => {
    const markdown = toMarkdown({
      title: '[x](command:a) *b* $(zap)',
      fields: [['path', '<img src=x> [y](https://example.org)']],
      warnings: ['`code`'],
    });
    assert.doesNotMatch(markdown.value, /(?<!\\)\[x\]|(?<!\\)\[y\]|[^\\]\*b|(?<!\\)`code/);
    assert.doesNotMatch(markdown.value, /(?<!\\)\$\(zap\)/);
    assert.notEqual(markdown.supportHtml, true);
  });
});
