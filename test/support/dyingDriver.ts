/**
 * A driver of a run that is killed (SIGKILL) when a journal entry is on disk: what the entry
 * announces has not been done then. Run as a program it takes its wishes from the environment.
 */
import { locateHelper } from '../../src/fdpass/locate';
import { realFiles } from '../../src/migration/run/journal/files';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import type { MigrationRequest } from '../../src/migration/run/types';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { MachineRegistry } from '../../src/vm/registry';

export interface DyingDriver {
  /** The directory of its journals. */
  readonly state: string;
  readonly request: MigrationRequest;
  /** It dies when a line with this text is written. */
  readonly entry: string;
  readonly helperDirectory: string;
}

/** The environment variable with its wishes as JSON. */
export const dyingDriverVariable = 'DYING_DRIVER';

async function main({ state, request, entry, helperDirectory }: DyingDriver): Promise<void> {
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
  });
  await registry.connect(request.source);
  const journals = new Journals({
    directory: state,
    program: 'a driver that dies',
    files: {
      ...realFiles,
      open: async (file, which) => {
        const real = await realFiles.open(file, which);
        return {
          ...real,
          write: async (text) => {
            await real.write(text);
            if (!text.includes(entry)) return;
            await real.sync();
            process.kill(process.pid, 'SIGKILL');
            await new Promise(() => undefined);
          },
        };
      },
    },
  });
  const runs = new Runs({
    registry,
    journals,
    locateHelper: () =>
      locateHelper({
        bundledDirectory: helperDirectory,
        platform: process.platform,
        arch: process.arch,
      }),
  });
  const outcome = await runs.start(request).outcome;
  process.stdout.write(`${outcome.headline} ${outcome.details.join(' ')}\n`);
  process.exit(0);
}

const wishes = process.env[dyingDriverVariable];
if (wishes !== undefined) void main(JSON.parse(wishes) as DyingDriver);
