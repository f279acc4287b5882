import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { Probe } from '../../scripts/lib/probe';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  startQemu,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { locateHelper, type HelperLocation } from '../../src/fdpass/locate';
import type { UpdateHost } from '../../src/migration/liveUpdate/host';
import { localHost } from '../../src/migration/liveUpdate/localHost';
import type { LiveUpdatePlan } from '../../src/migration/liveUpdate/types';
import { LiveUpdates, type LiveUpdate } from '../../src/migration/liveUpdate/updates';
import type { JournalFiles } from '../../src/migration/run/journal/files';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { isAlive, readProcess } from '../../src/vm/process';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle, QemuProcess as ProcessFacts } from '../../src/vm/types';
import { handmadePlan, type HandmadePlan } from './handmadePlan';

export const builtHelper = (): Promise<HelperLocation> =>
  locateHelper({
    bundledDirectory: join(root, `native/fdpass/build/linux-${process.arch}`),
    platform: process.platform,
    arch: process.arch,
  });

export interface LiveUpdateStageOptions {
  readonly version: QemuVersionName;
  readonly source?: Partial<QemuOptions>;
}

/** One running guest, connected, and what updates it. */
export class LiveUpdateStage {
  readonly directory: string;
  readonly source: QemuProcess;
  readonly registry: MachineRegistry;
  readonly journals: Journals;
  readonly runs: Runs;
  readonly machine: MachineHandle;
  readonly log: string[] = [];
  /** What the row of the machine went through. */
  readonly states: string[] = [];
  private readonly remove: () => Promise<void>;
  private readonly probes: Probe[] = [];
  private readonly pids: Pick<ProcessFacts, 'pid' | 'startTicks'>[] = [];

  private constructor(parts: {
    readonly directory: string;
    readonly remove: () => Promise<void>;
    readonly source: QemuProcess;
    readonly registry: MachineRegistry;
    readonly machine: MachineHandle;
    readonly journalFiles?: JournalFiles;
  }) {
    const { directory, source, registry, machine, remove } = parts;
    this.directory = directory;
    this.source = source;
    this.registry = registry;
    this.machine = machine;
    this.remove = remove;
    this.journals = new Journals({ directory: this.state, program: 'a test' });
    this.runs = new Runs({
      registry,
      journals: this.journals,
      locateHelper: builtHelper,
      log: (line) => this.log.push(line),
    });
    machine.onDidChange(() => {
      const { kind } = machine.snapshot.state;
      if (this.states.at(-1) !== kind) this.states.push(kind);
    });
  }

  static async begin({
    version,
    source: options,
  }: LiveUpdateStageOptions): Promise<LiveUpdateStage> {
    const temporary = temporaryDirectory('lu');
    const directory = realpathSync(temporary.path);
    const build = await provisionQemu(version);
    const source = await startQemu({
      ...{ build, directory, name: 'web', guest: 'dirtying', memoryMiB: 128 },
      ...options,
    });
    const registry = new MachineRegistry({
      store: { load: () => [], save: () => Promise.resolve() },
      devicePermissions,
    });
    const machine = await registry.connect(source.qmpSocket);
    await source.waitForRounds(1);
    return new LiveUpdateStage({
      ...{ directory, source, registry, machine },
      remove: temporary.remove,
    });
  }

  get state(): string {
    return join(this.directory, 'state');
  }

  async plan(
    wishes: Partial<Omit<HandmadePlan, 'target'>> & { readonly to: QemuVersionName },
  ): Promise<LiveUpdatePlan> {
    const source = await readProcess(this.source.pid);
    if (source === undefined) throw new Error('The source is gone.');
    const plan = handmadePlan({
      ...{ source, socket: this.source.qmpSocket, method: 'plain' },
      ...wishes,
      target: await provisionQemu(wishes.to),
    });
    return plan;
  }

  updates(host: Partial<UpdateHost> = {}): LiveUpdates {
    const { registry, runs, journals } = this;
    const real = localHost(builtHelper);
    return new LiveUpdates({
      ...{ registry, runs, journals },
      host: {
        ...real,
        launch: async (...args) => {
          const started = await real.launch(...args);
          this.pids.push(started.process);
          return started;
        },
        ...host,
      },
      log: (line) => this.log.push(line),
    });
  }

  /** Carries it out, and remembers the new process to end it with the test. */
  async run(plan: LiveUpdatePlan, host: Partial<UpdateHost> = {}): Promise<LiveUpdate['outcome']> {
    return this.updates(host).start(plan).outcome;
  }

  /** The QEMU whose probe answers there now. */
  probe(path = this.source.probeSocket): Probe {
    const probe = new Probe(path);
    this.probes.push(probe);
    return probe;
  }

  own(process: Pick<ProcessFacts, 'pid' | 'startTicks'>): void {
    this.pids.push(process);
  }

  async dispose(): Promise<void> {
    this.runs.dispose();
    this.registry.dispose();
    for (const probe of this.probes) probe.close();
    for (const known of this.pids) {
      if (await isAlive(known)) process.kill(known.pid, 'SIGKILL');
    }
    await this.source.stop();
    await this.remove();
  }
}
