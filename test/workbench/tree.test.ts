import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  commands,
  MarkdownString,
  ThemeIcon,
  TreeItemCheckboxState,
  TreeItemCollapsibleState,
} from 'vscode';
import { noFilter } from '../../src/migration/view/filter';
import { CommandId, ViewId } from '../../src/ui/ids';
import type { NodeHandle } from '../../src/ui/tree/nodeHandle';
import { toMarkdown } from '../../src/ui/tree/toTreeItem';
import { Bench, eventually } from './support/extension';

describe('tree of machines', () => {
  let bench: Bench;

  before(async () => {
    bench = await Bench.open();
  });
  afterEach(async () => {
    bench.access.provider.setFilter(noFilter);
    await bench.clear();
  });
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
      // VS Code asks for the tooltip when it is to be shown.
      assert.equal(item.tooltip, undefined);
      const { tooltip } = bench.access.provider.resolveTreeItem(item, bench.handle(node));
      assert.ok(tooltip instanceof MarkdownString || node.tooltip === undefined, node.id);
      if (tooltip instanceof MarkdownString) assert.notEqual(tooltip.isTrusted, true);
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
    bench.access.provider.flush();
    const before = bench.handle(bench.row(server.path, 'parameter', 'downtime-limit'));
    const redrawn = await redrawnBy(async () => {
      server.qemu.parameters = { ...server.qemu.parameters, 'downtime-limit': 777 };
      await bench.access.registry.get(server.path)?.refresh(['parameters']);
    });
    assert.deepEqual(redrawn, ['downtime-limit']);
    assert.match(bench.row(server.path, 'parameter', 'downtime-limit').description ?? '', /777/);
    assert.equal(bench.handle(bench.row(server.path, 'parameter', 'downtime-limit')), before);
  });

  it('draws a tooltip anew when it was looked at and says something else now', async () => {
    const server = await connected('local');
    const { provider, registry } = bench.access;
    const level = bench.handle(bench.row(server.path, 'parameter', 'multifd-zlib-level'));
    const toggle = (): Promise<readonly string[]> =>
      redrawnBy(async () => {
        const { capabilities } = server.qemu;
        capabilities.set('multifd', capabilities.get('multifd') !== true);
        await registry.get(server.path)?.refresh(['capabilities']);
      });
    assert.deepEqual(await toggle(), ['multifd']);
    provider.resolveTreeItem(provider.getTreeItem(level), level);
    assert.deepEqual(await toggle(), ['multifd', 'multifd-zlib-level']);
  });

  /** Labels of the rows that VS Code is told to draw again. */
  async function redrawnBy(action: () => Promise<void>): Promise<readonly string[]> {
    const { provider } = bench.access;
    const labels: string[] = [];
    const listening = provider.onDidChangeTreeData((handles) => {
      labels.push(
        ...(handles?.map(({ nodeId }) => provider.node(nodeId)?.label ?? nodeId) ?? ['everything']),
      );
    });
    await action();
    await eventually(() => assert.notEqual(labels.length, 0));
    listening.dispose();
    return labels;
  }

  it('shows what matches a filter, and then the whole tree as it was opened before', async () => {
    const server = await connected('local');
    const { provider } = bench.access;
    const id = `vm:${server.path}`;
    const asked = new Set<string>();
    const original = provider.getChildren.bind(provider);
    provider.getChildren = (handle) => {
      if (handle !== undefined) asked.add(handle.nodeId);
      return original(handle);
    };
    try {
      // As a person at the keyboard: to the row "Parameters", and open.
      while (!asked.has(`${id}/parameters`)) {
        await commands.executeCommand(`${ViewId.machines}.focus`);
        await commands.executeCommand('list.focusFirst');
        for (let row = 0; row < 3; row += 1) await commands.executeCommand('list.focusDown');
        await commands.executeCommand('list.expand');
        await sleep(50);
      }
      asked.clear();
      provider.setFilter({ text: 'bandwidth', changedOnly: false });
      await eventually(() =>
        assert.deepEqual([...asked].sort(), [
          `filtered:${id}`,
          `filtered:${id}/parameters`,
          `filtered:${id}/parameters/speed-and-pause`,
        ]),
      );
      asked.clear();
      provider.setFilter(noFilter);
      await eventually(() => assert.deepEqual([...asked].sort(), [id, `${id}/parameters`]));
      const parameters = bench.handle(bench.row(server.path, 'parameters'));
      const { Collapsed, Expanded } = TreeItemCollapsibleState;
      assert.equal(provider.getTreeItem(parameters).collapsibleState, Expanded);
      const capabilities = bench.handle(bench.row(server.path, 'capabilities'));
      assert.equal(provider.getTreeItem(capabilities).collapsibleState, Collapsed);
    } finally {
      provider.getChildren = original;
    }
  });

  it('takes text of QEMU and of the user for text', () => {
    const markdown = toMarkdown({
      title: '[x](command:a) *b* $(zap)',
      fields: [['path', '<img src=x> [y](https://example.org)']],
      note: '[n](https://example.org) and a lone ` backtick',
      stepsTitle: 'In this order:',
      steps: ['![s](https://example.org/s.png)'],
      warnings: ['Type `-device *x*,[y](z)` now, not `` or <b>'],
    });
    assert.doesNotMatch(markdown.value, /(?<!\\)\[[xyns]\]\((?!z\))|[^\\]\*b|(?<!\\)<b>|lone `/);
    assert.match(markdown.value, /Type `-device \*x\*,\[y\]\(z\)` now/, 'what is to be typed');
    assert.doesNotMatch(markdown.value, /(?<!\\)\$\(zap\)/);
    assert.match(markdown.value, /In this order:\n\n1\. /, 'nothing comes between');
    assert.notEqual(markdown.supportHtml, true);
  });
});
