import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { devicePermissions } from '../../../src/migration/settings/backendTransfer';
import {
  MachineRegistry,
  type MachineStore,
  type RegistryOptions,
  type StoredMachine,
} from '../../../src/vm/registry';
import type { MachineHandle, VmFacts } from '../../../src/vm/types';
import { FakeQmpServer, type FakeQmpServerOptions } from '../../support/fakeQmpServer';

/** A store in memory that remembers what was saved, and fails when told to. */
export class MemoryStore implements MachineStore {
  saved: readonly StoredMachine[];
  problem: Error | undefined;

  constructor(saved: readonly StoredMachine[] = []) {
    this.saved = saved;
  }

  load(): readonly StoredMachine[] {
    return this.saved;
  }

  save(list: readonly StoredMachine[]): Promise<void> {
    if (this.problem !== undefined) return Promise.reject(this.problem);
    this.saved = list;
    return Promise.resolve();
  }
}

/** Registries, servers and a folder that all end with the test. */
export class Stage {
  readonly directory = mkdtempSync(path.join(os.tmpdir(), 'vm-'));
  private readonly ends: (() => unknown)[] = [];

  registry(options: Partial<RegistryOptions> = {}): MachineRegistry {
    const registry = new MachineRegistry({
      store: new MemoryStore(),
      devicePermissions,
      // The fakes have no process of their own to be found.
      procRoot: '/nowhere',
      ...options,
    });
    this.ends.push(() => registry.dispose());
    return registry;
  }

  async server(options: Partial<FakeQmpServerOptions> = {}): Promise<FakeQmpServer> {
    const server = await FakeQmpServer.start({ build: 'local', ...options });
    this.ends.push(() => server.stop());
    return server;
  }

  /** A machine connected to a fake QEMU of its own. */
  async machine(
    options: Partial<FakeQmpServerOptions> = {},
  ): Promise<{ server: FakeQmpServer; registry: MachineRegistry; machine: MachineHandle }> {
    const server = await this.server(options);
    const registry = this.registry();
    const machine = await registry.connect(server.path);
    return { server, registry, machine };
  }

  /** A server of some other kind; returns its path. */
  async listen(name: string, onConnection: (socket: net.Socket) => void): Promise<string> {
    const file = this.path(name);
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      onConnection(socket);
    });
    this.ends.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(file, resolve));
    return file;
  }

  path(name: string): string {
    return path.join(this.directory, name);
  }

  onEnd(end: () => unknown): void {
    this.ends.push(end);
  }

  async dispose(): Promise<void> {
    for (const end of this.ends.splice(0)) await end();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits until `check` no longer throws and does not return false. */
export async function eventually(check: () => unknown, withinMs = 5000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      if (check() !== false) return;
      if (performance.now() > deadline) throw new Error(`Never came true: ${check.toString()}`);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await pause(5);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function factsOf(machine: MachineHandle): VmFacts {
  const { facts } = machine.snapshot;
  if (facts === undefined) throw new Error('Nothing was read yet');
  return facts;
}

/** What `act` makes a client send, by name, in order. */
export async function commandsDuring(
  server: FakeQmpServer,
  act: () => unknown,
  waitMs = 120,
): Promise<readonly string[]> {
  const before = server.commands.length;
  await act();
  await pause(waitMs);
  return server.commands.slice(before);
}
