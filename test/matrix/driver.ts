/**
 * One run of ours in a process of its own, so that it can be frozen, killed and followed by another:
 * `driver.ts JSON`, see {@link DriverOrder}. It says what it does in lines of JSON on stdout, and is
 * told what to do in lines of JSON on stdin; see {@link DriverSays} and {@link DriverTold}.
 */
import { createInterface } from 'node:readline';
import { locateHelper } from '../../src/fdpass/locate';
import { realFiles, type JournalFiles } from '../../src/migration/run/journal/files';
import { Journals } from '../../src/migration/run/journal/journals';
import { Runs, type Run } from '../../src/migration/run/runs';
import type { MigrationRequest } from '../../src/migration/run/types';
import { devicePermissions } from '../../src/migration/settings/backendTransfer';
import { MachineRegistry } from '../../src/vm/registry';
import type { DriverOrder, DriverSays, DriverTold } from './driverTypes';

const order = JSON.parse(process.argv[2] ?? '{}') as DriverOrder;

function say(message: DriverSays): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

let isDiskFull = false;
let waiting: (() => void) | undefined;
const holdAt = order.holdAt === undefined ? undefined : new RegExp(order.holdAt);
let hasHeld = false;

/** The journal's disk: full when told so, and a place to stop at just before an entry is written. */
const journalFiles: JournalFiles = {
  ...realFiles,
  open: async (file, which) => {
    failIfFull();
    const real = await realFiles.open(file, which);
    return {
      ...real,
      write: async (text) => {
        if (!hasHeld && holdAt?.test(text) === true) {
          hasHeld = true;
          const told = new Promise<void>((resolve) => (waiting = resolve));
          say({ say: 'holds' });
          await told;
        }
        failIfFull();
        await real.write(text);
      },
      sync: () => {
        failIfFull();
        return real.sync();
      },
    };
  },
};

function failIfFull(): void {
  if (!isDiskFull) return;
  throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
}

async function main(): Promise<void> {
  const registry = new MachineRegistry({
    store: { load: () => [], save: () => Promise.resolve() },
    devicePermissions,
  });
  const journals = new Journals({
    ...{ directory: order.stateDirectory, files: journalFiles, program: 'the matrix' },
    log: (line) => say({ say: 'log', line }),
  });
  const runs = new Runs({
    ...{ registry, journals },
    locateHelper: () =>
      locateHelper({
        configuredPath: order.helper,
        bundledDirectory: '/nowhere',
        platform: process.platform,
        arch: process.arch,
      }),
    log: (line) => say({ say: 'log', line }),
  });
  const told = listen(() => run);
  let run: Run | undefined;
  if (order.resume === undefined) {
    const source = await registry.connect(order.source);
    const target = await (order.targetArrives === true
      ? registry.attach(order.target)
      : registry.connect(order.target));
    const { maxBandwidth, ...request } = order.request;
    run = runs.start({
      ...(request as Omit<MigrationRequest, 'source' | 'target'>),
      ...(maxBandwidth !== undefined && { maxBandwidthBytesPerSecond: BigInt(maxBandwidth) }),
      ...{ source: source.id, target: target.id },
    });
  } else {
    run = await runs.recover(order.resume, (socket) => registry.attach(socket));
  }
  const { record } = run;
  say({ say: 'progress', progress: record.progress });
  const listening = run.onDidChange(({ progress, outcome }) => {
    if (outcome === undefined) say({ say: 'progress', progress });
  });
  const outcome = await run.outcome;
  listening.dispose();
  say({ say: 'outcome', outcome, journalId: run.record.journalId });
  told.close();
  runs.dispose();
  registry.dispose();
}

function listen(runOf: () => Run | undefined): { close(): void } {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const told = JSON.parse(line) as DriverTold;
    switch (told.do) {
      case 'go':
        waiting?.();
        return;
      case 'disk':
        isDiskFull = told.full;
        return;
      case 'control': {
        const { request } = told;
        const answer = (refused?: string): void =>
          say({ say: 'answer', control: request.id, refused });
        const run = runOf();
        if (run === undefined) answer('there is no run yet');
        else
          run.control(request).then(
            () => answer(),
            (error: unknown) => answer((error as Error).message),
          );
        return;
      }
    }
  });
  return lines;
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${text}\n`);
    process.exit(1);
  },
);
