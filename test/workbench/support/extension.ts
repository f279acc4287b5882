import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { commands, extensions, type Memento } from 'vscode';
import { noFilter } from '../../../src/migration/view/filter';
import type { NodeKind, ViewNode } from '../../../src/migration/view/nodes';
import type { QemuMigrationApi, TestAccess } from '../../../src/ui/api';
import type { AnotherMachine } from '../../../src/ui/commands/migrationQuestions';
import { CommandId } from '../../../src/ui/ids';
import type { NodeHandle } from '../../../src/ui/tree/nodeHandle';
import { FakeQmpServer, type FakeQmpServerOptions } from '../../support/fakeQmpServer';
import { ScriptedPrompts } from './scriptedPrompts';

const extensionId = 'qemu-migration.qemu-migration';

export async function activateExtension(): Promise<QemuMigrationApi> {
  const extension = extensions.getExtension<QemuMigrationApi>(extensionId);
  assert.ok(extension, `${extensionId} is not there`);
  return extension.activate();
}

/** Nobody brings another machine onto the list. */
export const nobody: AnotherMachine = {
  connect: () => Promise.resolve(undefined),
  expect: () => Promise.resolve(undefined),
};

/** A state that is kept in memory. */
export function memento(): Pick<Memento, 'get' | 'update'> {
  const values = new Map<string, unknown>();
  return {
    get: (key: string, fallback?: unknown) => (values.get(key) ?? fallback) as never,
    update: (key: string, value: unknown) => {
      values.set(key, value);
      return Promise.resolve();
    },
  };
}

/** The extension as a test sees it: prompts that are scripted, servers that are stopped, rows. */
export class Bench {
  readonly api: QemuMigrationApi;
  readonly access: TestAccess;
  prompts = new ScriptedPrompts();
  private servers: FakeQmpServer[] = [];

  private constructor(api: QemuMigrationApi, access: TestAccess) {
    this.api = api;
    this.access = access;
  }

  static async open(): Promise<Bench> {
    const api = await activateExtension();
    assert.ok(api.forTests, 'not in a test host');
    const bench = new Bench(api, api.forTests);
    await bench.clear();
    return bench;
  }

  /** An empty list and fresh prompts, with nothing left running. */
  async clear(): Promise<void> {
    this.prompts = new ScriptedPrompts();
    this.access.prompts.current = this.prompts;
    for (const { id } of this.access.registry.machines) await this.access.registry.remove(id);
    // Of machines that are gone nothing can be undone, and each attempt forgets a step.
    const { history, provider } = this.access;
    while (history.last !== undefined) await history.undo().catch(() => undefined);
    provider.setFilter(noFilter);
    await Promise.all(this.servers.map((server) => server.stop()));
    this.servers = [];
  }

  async close(): Promise<void> {
    await this.clear();
    this.access.prompts.current = this.access.realPrompts;
  }

  async server(options: FakeQmpServerOptions): Promise<FakeQmpServer> {
    const server = await FakeQmpServer.start(options);
    this.servers.push(server);
    return server;
  }

  /** A server that the extension is connected to, with all its rows. */
  async connected(options: FakeQmpServerOptions): Promise<FakeQmpServer> {
    const server = await this.server(options);
    await commands.executeCommand(CommandId.connect, server.path);
    await eventually(() => this.row(server.path, 'capabilities'));
    return server;
  }

  /** Calls a command from a row; where several are given, as from the first of a selection. */
  async runOn(id: CommandId, row: ViewNode, ...others: readonly ViewNode[]): Promise<void> {
    const [clicked, ...rest] = [row, ...others].map((node) => this.handle(node));
    await commands.executeCommand(id, clicked, rest.length > 0 ? [clicked, ...rest] : undefined);
  }

  /** The machine's rows as last drawn, top row first. */
  rows(machineId: string): readonly ViewNode[] {
    const flatten = (handle: NodeHandle): ViewNode[] => {
      const node = this.access.provider.node(handle.nodeId);
      const below = this.access.provider.getChildren(handle).flatMap(flatten);
      return node === undefined ? below : [node, ...below];
    };
    return this.access.provider
      .getChildren()
      .filter((handle) => handle.machineId === machineId)
      .flatMap(flatten);
  }

  row(machineId: string, kind: NodeKind, subject?: string): ViewNode {
    const rows = this.rows(machineId);
    const found = rows.find(
      (row) => row.kind === kind && (subject === undefined || row.subject === subject),
    );
    assert.ok(
      found,
      `No row ${kind} ${subject ?? ''} among ${rows.map(({ id }) => id).join('\n')}`,
    );
    return found;
  }

  /** What VS Code hands to a command or asks the provider about. */
  handle(node: ViewNode): NodeHandle {
    const search = (handles: readonly NodeHandle[]): NodeHandle | undefined => {
      for (const handle of handles) {
        if (handle.nodeId === node.id) return handle;
        const below = search(this.access.provider.getChildren(handle));
        if (below !== undefined) return below;
      }
      return undefined;
    };
    const found = search(this.access.provider.getChildren());
    assert.ok(found, node.id);
    return found;
  }
}

/** Waits until `check` no longer throws, and gives what it returns. */
export async function eventually<T>(check: () => T, timeoutMs = 5000): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      return check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await sleep(20);
    }
  }
}
