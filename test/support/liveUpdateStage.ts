import { randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { Probe } from '../../scripts/lib/probe';
import { temporaryDirectory } from '../../scripts/lib/processes';
import {
  provisionQemu,
  startQemu,
  type QemuBuild,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import { locateHelper, type HelperLocation } from '../../src/fdpass/locate';
import type { UpdateHost } from '../../src/migration/liveUpdate/host';
import { localHost } from '../../src/migration/liveUpdate/localHost';
import type { LiveUpdatePlan, PathMove } from '../../src/migration/liveUpdate/types';
import { LiveUpdates, type LiveUpdate } from '../../src/migration/liveUpdate/updates';
import type { JournalFiles } from '../../src/migration/run/journal/files';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs } from '../../src/migration/run/runs';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { isAlive, readProcess } from '../../src/vm/process';
import { MachineRegistry } from '../../src/vm/registry';
import type { MachineHandle, QemuProcess as ProcessFacts } from '../../src/vm/types';

/** What one plan is made of, by hand; `planLiveUpdate` makes them of a machine. */
export interface HandmadePlan {
  readonly source: ProcessFacts;
  readonly socket: string;
  readonly target: QemuBuild;
  readonly method: 'plain' | 'cpr-transfer';
  readonly targetVersion?: string | undefined;
  readonly patch?: Partial<LiveUpdatePlan>;
  /** Added to the new QEMU's arguments. */
  readonly extraArgs?: readonly string[];
}

/** The plan of a live update of a QEMU of `startQemu`, without any network. */
export function handmadePlan(wishes: HandmadePlan): LiveUpdatePlan {
  const { source, socket, target, method, patch = {} } = wishes;
  const mark = randomBytes(3).toString('hex');
  const own = (path: string): string => `${path}.${mark}`;
  const moves: PathMove[] = [];
  const args = source.args.slice(1).map((argument, index, all) => {
    const option = all[index - 1];
    const from = /^(?:unix|file):([^,]+)/.exec(argument)?.[1];
    if (from !== undefined && (option === '-qmp' || option === '-serial')) {
      const what = option === '-qmp' ? 'QMP socket' : 'serial console';
      moves.push({ what, from: own(from), to: from });
      return argument.replace(from, own(from));
    }
    // Data that belongs to one build.
    if (option === '-L') return target.prefixArgs[index] ?? argument;
    return argument;
  });
  const cprSocket = method === 'cpr-transfer' ? own(`${socket}.cpr`) : undefined;
  const incoming = ['-incoming', 'defer'];
  if (cprSocket !== undefined) {
    const addr = { transport: 'socket', type: 'unix', path: cprSocket };
    incoming.push('-incoming', JSON.stringify({ 'channel-type': 'cpr', addr }));
  }
  const program = target.binary;
  return {
    request: { machine: socket, program, method: 'auto' },
    label: 'web',
    sourceVersion: '',
    targetVersion: wishes.targetVersion ?? target.version,
    method,
    why: '',
    methods: [],
    run: {
      method: method === 'plain' ? 'precopy' : 'cpr-transfer',
      transport: method === 'plain' ? 'fd' : 'unix',
      backendTransfer: 'as-is',
      ...(method === 'plain' && { maxBandwidthBytesPerSecond: 0n }),
      ...(cprSocket !== undefined && { options: { cprSocket } }),
    },
    sourceArgs: source.args.slice(1),
    start: {
      program,
      args: [...args, ...incoming, ...(wishes.extraArgs ?? [])],
      like: source,
      adopt: [],
      qmpSocket: own(socket),
      logFile: own(`${socket}.log`),
      cprSocket,
    },
    changes: [],
    hotAdd: [],
    moves,
    pidFile: undefined,
    late: [],
    steps: [],
    findings: [],
    ledger: [],
    ...patch,
  };
}

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
