import assert from 'node:assert/strict';
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  provisionQemu,
  startQemu,
  verifyGuestMemory,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import type { JournalFiles } from '../../src/migration/run/journal/files';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import type { MigrationRequest, RunOutcome } from '../../src/migration/run/types';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle } from '../../src/vm/types';

/** One real QEMU that can be replaced in its process, and the product beside it. */
export interface InPlace {
  readonly qemu: QemuProcess;
  readonly machine: MachineHandle;
  readonly runs: Runs;
  readonly registry: MachineRegistry;
  readonly journals: Journals;
  /** For everything that the test makes, removed at the end. */
  readonly directory: string;
  readonly request: (patch?: Partial<MigrationRequest>) => MigrationRequest;
  readonly replace: (patch?: Partial<MigrationRequest>) => Promise<RunOutcome>;
  readonly dispose: () => Promise<void>;
}

export interface InPlaceOptions extends Partial<QemuOptions> {
  readonly version?: QemuVersionName;
  /** Absent: yes. */
  readonly sharedMemory?: boolean;
}

/** The product's part, for a QEMU that runs already. */
export function productFor(
  state: string,
  files?: JournalFiles,
): Pick<InPlace, 'runs' | 'registry' | 'journals'> {
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions: [],
  });
  const journals = new Journals({
    ...{ directory: state, program: 'a test' },
    ...(files && { files }),
  });
  const runs = new Runs({
    ...{ registry, journals },
    locateHelper: () => Promise.reject(new Error('no helper is needed')),
  });
  return { registry, journals, runs };
}

export function requestFor(socket: string, patch?: Partial<MigrationRequest>): MigrationRequest {
  return {
    ...{ source: socket, target: socket, method: 'cpr-exec' },
    ...{ transport: 'unix', backendTransfer: 'as-is', ...patch },
  };
}

export async function startInPlace(options: InPlaceOptions = {}): Promise<InPlace> {
  const { version = '11.1', sharedMemory = true, ...more } = options;
  const directory = await mkdtemp(join(tmpdir(), 'qmx-'));
  const build = await provisionQemu(version);
  const shared = sharedMemory
    ? {
        machine: `${build.machine},memory-backend=ram0,aux-ram-share=on`,
        extraArgs: [
          ...['-object', 'memory-backend-memfd,id=ram0,size=128M,share=on'],
          ...(more.extraArgs ?? []),
        ],
      }
    : {};
  const qemu = await startQemu({
    ...{ build, directory, name: 'vm', guest: 'dirtying', memoryMiB: 128 },
    ...{ ...more, ...shared },
  });
  const product = productFor(join(directory, 'state'));
  const machine = await product.registry.connect(qemu.qmpSocket);
  const request: InPlace['request'] = (patch) => requestFor(machine.id, patch);
  return {
    ...{ ...product, qemu, machine, directory, request },
    replace: (patch) => product.runs.start(request(patch)).outcome,
    dispose: async () => {
      product.runs.dispose();
      product.registry.dispose();
      await qemu.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The guest is the one that it was: its memory is right, and it counts on from where it was. */
export async function goesOn(qemu: QemuProcess, roundsBefore: number): Promise<void> {
  assert.equal(await qemu.guestStatus(), 'running');
  await qemu.waitForRounds(2);
  const { rounds, pages } = await verifyGuestMemory(qemu);
  assert.ok(rounds > roundsBefore, `${rounds} rounds, ${roundsBefore} before`);
  assert.ok(pages > 0);
}

export async function programOf({ pid }: QemuProcess): Promise<string> {
  return readlink(`/proc/${pid}/exe`);
}

/** Directories with the state of a guest that were not removed. */
export async function foldersLeft(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => name.startsWith('qemu-migration-'));
}

interface Settings {
  readonly capabilities: unknown;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export async function settingsOf(qemu: QemuProcess): Promise<Settings> {
  return {
    capabilities: await qemu.probe('query-migrate-capabilities'),
    parameters: (await qemu.probe('query-migrate-parameters')) as Settings['parameters'],
  };
}
