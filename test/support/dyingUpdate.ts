/**
 * A live update whose program is killed at one exact moment: see `dyingFiles.ts`. Run as a program it
 * takes its wishes from the environment.
 */
import { locateHelper } from '../../src/fdpass/locate';
import { localHost } from '../../src/migration/liveUpdate/localHost';
import { LiveUpdates } from '../../src/migration/liveUpdate/updates';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { readProcess } from '../../src/vm/process';
import { MachineRegistry } from '../../src/vm/registry';
import { dyingFiles } from './dyingFiles';
import { handmadePlan, type HandmadePlan } from './handmadePlan';

export interface DyingUpdate {
  /** The directory of its journals. */
  readonly state: string;
  readonly socket: string;
  readonly pid: number;
  readonly target: HandmadePlan['target'];
  readonly helperDirectory: string;
  readonly method: HandmadePlan['method'];
  readonly mark: string;
  readonly pidFile: string;
}

/** The environment variable with its wishes as JSON. */
export const dyingUpdateVariable = 'DYING_UPDATE';

async function main(wishes: DyingUpdate): Promise<void> {
  const { state, socket, pid, target, method, mark, pidFile, helperDirectory } = wishes;
  const builtHelper = (): ReturnType<typeof locateHelper> =>
    locateHelper({
      bundledDirectory: helperDirectory,
      ...{ platform: process.platform, arch: process.arch },
    });
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
  });
  await registry.connect(socket);
  const journals = new Journals({
    ...{ directory: state, program: 'a program that dies', files: dyingFiles },
  });
  const runs = new Runs({ registry, journals, locateHelper: builtHelper });
  const source = await readProcess(pid);
  if (source === undefined) throw new Error('The source is gone.');
  const plan = handmadePlan({ source, socket, target, method, mark, patch: { pidFile } });
  const updates = new LiveUpdates({ registry, runs, journals, host: localHost(builtHelper) });
  const { headline, details, leftovers } = await updates.start(plan).outcome;
  process.stdout.write(`${[headline, ...details, ...leftovers].join(' ')}\n`);
  process.exit(0);
}

const given = process.env[dyingUpdateVariable];
if (given !== undefined) void main(JSON.parse(given) as DyingUpdate);
