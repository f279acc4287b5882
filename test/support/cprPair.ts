import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnOwned, temporaryDirectory } from '../../scripts/lib/processes';
import { Probe } from '../../scripts/lib/probe';
import {
  provisionQemu,
  startQemu,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { locateHelper } from '../../src/fdpass/locate';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import type { MigrationRequest } from '../../src/migration/run/types';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { findListener } from '../../src/vm/listener';
import { MachineRegistry } from '../../src/vm/registry';
import type { GuestVariant } from '../../scripts/lib/guest';
import { helperDirectory } from './pair';

/** What cpr-transfer and cpr-exec need of a guest's memory. */
export const sharedMemory: readonly string[] = [
  ...['-object', 'memory-backend-memfd,id=ram0,size=256M,share=on'],
  ...['-machine', 'memory-backend=ram0,aux-ram-share=on'],
];

/** The waiting side of a cpr-transfer: its monitors answer only once the source has begun. */
export interface CprTarget {
  readonly pid: number;
  readonly qmpSocket: string;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly stderr: () => string;
  readonly probe: (command: string, args?: Readonly<Record<string, unknown>>) => Promise<unknown>;
  readonly stop: () => Promise<void>;
}

/** A running source, and a target that waits in the `cpr` channel's accept. */
export interface CprPair {
  readonly directory: string;
  readonly source: QemuProcess;
  readonly target: CprTarget;
  readonly cprSocket: string;
  readonly registry: MachineRegistry;
  readonly runs: Runs;
  readonly request: (patch?: Partial<MigrationRequest>) => MigrationRequest;
  readonly dispose: () => Promise<void>;
}

export async function startCprPair(
  version: QemuVersionName,
  options: { readonly guest?: GuestVariant; readonly sourceArgs?: readonly string[] } = {},
): Promise<CprPair> {
  const temporary = temporaryDirectory('cpr');
  const directory = temporary.path;
  const guest = options.guest ?? 'dirtying';
  const build = await provisionQemu(version);
  const extraArgs = options.sourceArgs ?? sharedMemory;
  const source = await startQemu({ build, directory, name: 'source', guest, extraArgs });
  const cprSocket = join(directory, 'cpr.sock');
  const target = await startCprTarget(source, cprSocket);
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
  });
  const runs = new Runs({
    registry,
    journals: new Journals({ directory: join(directory, 'state'), program: 'a test' }),
    locateHelper: () =>
      locateHelper({
        bundledDirectory: helperDirectory,
        platform: process.platform,
        arch: process.arch,
      }),
  });
  await registry.connect(source.qmpSocket);
  await registry.attach(target.qmpSocket);
  return {
    ...{ directory, source, target, cprSocket, registry, runs },
    request: (patch) => ({
      source: source.qmpSocket,
      target: target.qmpSocket,
      method: 'cpr-transfer',
      transport: 'unix',
      backendTransfer: 'as-is',
      ...patch,
      options: { cprSocket, ...patch?.options },
    }),
    dispose: async () => {
      runs.dispose();
      registry.dispose();
      await Promise.all([source.stop(), target.stop()]);
      await temporary.remove();
    },
  };
}

/** Starts what the source's command line says, with sockets of its own, and waits until it listens. */
export async function startCprTarget(source: QemuProcess, cprSocket: string): Promise<CprTarget> {
  const [binary = '', ...args] = source.commandLine;
  const file = (suffix: string) => join(source.directory, `cpr-target.${suffix}`);
  const own = args.map((arg) =>
    arg
      .replace(source.qmpSocket, file('qmp'))
      .replace(source.probeSocket, file('probe'))
      .replace(source.serialFile, file('serial')),
  );
  const address = { transport: 'socket', type: 'unix', path: cprSocket };
  const channel = JSON.stringify({ 'channel-type': 'cpr', addr: address });
  const owned = await spawnOwned(binary, [...own, '-incoming', 'defer', '-incoming', channel], {
    env: source.build.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  owned.child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  for (let waits = 0; (await findListener(cprSocket)) === undefined; waits++) {
    if (waits > 500 || owned.hasExited()) throw new Error(`No target came up:\n${stderr}`);
    await sleep(20);
  }
  const probe = new Probe(file('probe'));
  return {
    pid: owned.pid,
    qmpSocket: file('qmp'),
    kill: (signal) => {
      if (!owned.hasExited()) owned.child.kill(signal);
    },
    stderr: () => stderr,
    probe: (command, commandArgs) => probe.execute(command, commandArgs),
    stop: async () => {
      probe.close();
      await owned.stop();
    },
  };
}
