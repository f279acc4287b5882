import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { commands } from 'vscode';
import { noFilter } from '../../src/migration/view/filter';
import { withAllBelow, type ViewNode } from '../../src/migration/view/nodes';
import { CommandId, ViewId } from '../../src/ui/ids';
import type { NodeHandle } from '../../src/ui/tree/nodeHandle';
import type { FakeQmpServer } from '../support/fakeQmpServer';
import { Bench, eventually } from './support/extension';

const machineCount = 64;
/** Drawing thousands of rows takes its time where everything is shared. */
const patienceMs = 60_000;

describe(`a tree of ${machineCount} machines, all rows open`, function () {
  this.timeout(3 * patienceMs);
  let bench: Bench;
  let servers: readonly FakeQmpServer[];
  /** The rows that VS Code asked the provider about. */
  let items: string[] = [];
  let children: string[] = [];
  let stopSpying: () => void;

  before(async () => {
    bench = await Bench.open();
    servers = await Promise.all(
      Array.from({ length: machineCount }, () => bench.server({ build: 'local' })),
    );
    await Promise.all(servers.map(({ path }) => bench.access.registry.connect(path)));
    stopSpying = spy();
    await commands.executeCommand(`${ViewId.machines}.focus`);
    await openAllRows();
  });

  after(async () => {
    stopSpying();
    bench.access.provider.setFilter(noFilter);
    await bench.close();
  });

  function spy(): () => void {
    const { provider } = bench.access;
    const [getTreeItem, getChildren] = [
      provider.getTreeItem.bind(provider),
      provider.getChildren.bind(provider),
    ];
    provider.getTreeItem = (handle: NodeHandle) => {
      items.push(handle.nodeId);
      return getTreeItem(handle);
    };
    provider.getChildren = (handle?: NodeHandle) => {
      children.push(handle?.nodeId ?? 'top');
      return getChildren(handle);
    };
    return () => Object.assign(provider, { getTreeItem, getChildren });
  }

  /** All rows, without asking what is spied on. */
  function rows(): readonly ViewNode[] {
    const { provider } = bench.access;
    return servers.flatMap(({ path }) => {
      const root = provider.node(provider.rootOf(path)?.nodeId ?? '');
      return root === undefined ? [] : withAllBelow(root);
    });
  }

  /** VS Code opens rows that come; so all go away for a filter, and come back open. */
  async function openAllRows(): Promise<void> {
    const { provider } = bench.access;
    const read = (): number => rows().filter(({ kind }) => kind === 'capabilities').length;
    await eventually(() => assert.equal(read(), machineCount), patienceMs);
    for (const { id } of rows()) {
      const handle = provider.handle(id);
      if (handle !== undefined) provider.setOpen(handle, true);
    }
    provider.setFilter({ text: 'no such setting', changedOnly: false });
    await eventually(() => {
      assert.equal(items.filter((id) => id.endsWith('/no-match')).length, machineCount);
    }, patienceMs);
    children = [];
    provider.setFilter(noFilter);
    await eventually(() => {
      const open = rows().filter((node) => node.children.length > 0);
      assert.ok(open.length > 10 * machineCount, `only ${open.length} rows to open`);
      const asked = new Set(children);
      assert.deepEqual(
        open.flatMap(({ id }) => (asked.has(id) ? [] : [id])),
        [],
      );
    }, patienceMs);
  }

  /** Nothing was asked for a while: what is counted from here on has one cause. */
  async function quiet(): Promise<void> {
    for (let before = -1; before !== items.length + children.length;) {
      before = items.length + children.length;
      await sleep(1000);
    }
  }

  async function requestsOf(action: () => Promise<void>): Promise<{
    readonly items: readonly string[];
    readonly children: readonly string[];
  }> {
    await quiet();
    items = [];
    children = [];
    await action();
    await eventually(() => assert.notEqual(items.length, 0), patienceMs);
    await quiet();
    return { items, children };
  }

  it('holds all settings of all of them', () => {
    assert.equal(rows().filter(({ kind }) => kind === 'machine').length, machineCount);
    assert.ok(rows().length > 60 * machineCount, String(rows().length));
  });

  it('is asked for one row when one parameter changes, and for no list of rows', async () => {
    const server = servers[machineCount / 2];
    assert.ok(server);
    const requests = await requestsOf(async () => {
      server.qemu.parameters = { ...server.qemu.parameters, 'max-bandwidth': 2 ** 30 };
      await bench.access.registry.get(server.path)?.refresh(['parameters']);
    });
    assert.deepEqual(requests, {
      items: [`vm:${server.path}/parameter/max-bandwidth`],
      children: [],
    });
  });

  it('is asked for one row when one capability is switched by command', async () => {
    const server = servers[1];
    assert.ok(server);
    const handle = bench.handle(bench.row(server.path, 'capability', 'multifd'));
    const requests = await requestsOf(async () => {
      await commands.executeCommand(CommandId.toggleCapability, handle);
    });
    assert.equal(server.qemu.capabilities.get('multifd'), true);
    assert.deepEqual(requests, {
      items: [`vm:${server.path}/capability/multifd`],
      children: [],
    });
  });

  it('is asked for the rows of one value on all machines together, and no others', async () => {
    const requests = await requestsOf(async () => {
      await Promise.all(
        servers.map(async ({ path, qemu }) => {
          qemu.parameters = { ...qemu.parameters, 'downtime-limit': 77 };
          await bench.access.registry.get(path)?.refresh(['parameters']);
        }),
      );
      await eventually(() => assert.ok(items.length >= machineCount), patienceMs);
    });
    assert.deepEqual(
      [...requests.items].sort(),
      servers.map(({ path }) => `vm:${path}/parameter/downtime-limit`).sort(),
    );
    assert.deepEqual(requests.children, []);
  });
});
