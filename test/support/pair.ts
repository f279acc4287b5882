import { join } from 'node:path';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  startQemu,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { locateHelper } from '../../src/fdpass/locate';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import type { MigrationRequest } from '../../src/migration/run/types';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle } from '../../src/vm/types';

/** Two real QEMUs, connected: one with a running guest, one that waits for it. */
export interface Pair {
  readonly source: QemuProcess;
  readonly target: QemuProcess;
  readonly registry: MachineRegistry;
  readonly runs: Runs;
  readonly sourceMachine: MachineHandle;
  readonly targetMachine: MachineHandle;
  /** What the run logged. */
  readonly log: string[];
  readonly request: (patch?: Partial<MigrationRequest>) => MigrationRequest;
  readonly dispose: () => Promise<void>;
}

export interface PairOptions {
  readonly version: QemuVersionName;
  readonly targetVersion?: QemuVersionName;
  readonly source?: Partial<QemuOptions>;
  readonly target?: Partial<QemuOptions>;
  /** Another helper than the one that was built. */
  readonly helper?: string;
}

/** The helper as `npm run build` puts it. */
export const helperDirectory = join(__dirname, '../../dist/bin');

export async function startPair(options: PairOptions): Promise<Pair> {
  const temporary = temporaryDirectory('pair');
  const directory = temporary.path;
  const guest = 'dirtying';
  const build = await provisionQemu(options.version);
  const targetBuild = await provisionQemu(options.targetVersion ?? options.version);
  const source = await startQemu({ build, directory, name: 'source', guest, ...options.source });
  const target = await startQemu({
    build: targetBuild,
    directory,
    name: 'target',
    incoming: true,
    guest,
    ...options.target,
  });
  const log: string[] = [];
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
  });
  const journals = new Journals({ directory: join(directory, 'state'), program: 'a test' });
  const runs = new Runs({
    registry,
    journals,
    locateHelper: () =>
      locateHelper({
        ...(options.helper !== undefined && { configuredPath: options.helper }),
        bundledDirectory: helperDirectory,
        platform: process.platform,
        arch: process.arch,
      }),
    log: (line) => log.push(line),
  });
  const sourceMachine = await registry.connect(source.qmpSocket);
  const targetMachine = await registry.connect(target.qmpSocket);
  return {
    source,
    target,
    registry,
    runs,
    sourceMachine,
    targetMachine,
    log,
    request: (patch) => ({
      source: sourceMachine.id,
      target: targetMachine.id,
      transport: 'fd',
      backendTransfer: 'as-is',
      ...patch,
    }),
    dispose: async () => {
      runs.dispose();
      registry.dispose();
      await Promise.all([source.stop(), target.stop()]);
      await temporary.remove();
    },
  };
}
