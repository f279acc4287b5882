/**
 * One live update of a Linux guest, alone in a network and PID namespace (see `runLiveUpdate.ts`): the command
 * line does it, in one go or with something killed on the way; the network is watched from outside.
 */
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { Probe } from '../../scripts/lib/probe';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { provisionQemu } from '../../scripts/lib/qemu';
import { runCliProcess, type CliEnd } from './cliProcess';
import { makeTap, startLinux, tapsOf } from './liveUpdateLinux';
import { watchNetwork } from './liveUpdateWatch';
import { pidsOf } from './pidsOf';
import type { LiveUpdateCase, LiveUpdateView } from './runLiveUpdate';

const qemu = /\/qemu-system-x86_64$/;

async function main(wanted: LiveUpdateCase): Promise<LiveUpdateView> {
  const temporary = temporaryDirectory('live');
  const directory = temporary.path;
  const state = join(directory, 'state');
  const [from, to] = [await provisionQemu(wanted.from), await provisionQemu(wanted.to)];
  const { memory = 'plain', nic = 'virtio-net-pci', queues = 1 } = wanted;
  makeTap(queues);
  const source = await startLinux({ build: from, directory, memory, nic, queues });
  const watch = await watchNetwork();
  await watch.nextBeat(60_000);
  // The driver's first seconds are not what is measured.
  await sleep(2000);
  const { kill } = wanted;
  const env = {
    QEMU_MIGRATION_STATE: state,
    TMPDIR: directory,
    QEMU_MIGRATION_HELPER: join(root, `native/fdpass/build/linux-${process.arch}/fdpass`),
    ...(kill !== undefined && { KILL: kill.when, KILL_AT: kill.at, VICTIM: kill.who }),
    SOURCE_PID: String(source.owned.pid),
  };
  const entry = kill === undefined ? 'src/cli/main.ts' : 'test/support/brokenUpdateCli.ts';
  const cli = (...args: string[]): Promise<CliEnd> => runCliProcess(args, { env, entry });
  const update = (method: string): Promise<CliEnd> =>
    cli(
      ...['live-update', source.qmp, '--qemu', to.binary, '--method', method, '--json'],
      ...(wanted.more ?? []),
    );
  if (wanted.first !== undefined) {
    const { code, stdout, stderr } = await update(wanted.first);
    if (code !== 0) throw new Error(`The first update ended with ${code}: ${stdout}${stderr}`);
  }
  const [sourcePid = 0] = pidsOf(qemu);
  const filesBefore = files(directory);
  const startedAt = Date.now();
  const end = await update(wanted.method);
  // Who takes it up is not killed again.
  const resumed =
    kill === undefined
      ? undefined
      : await runCliProcess(['resume', '--all', '--json'], {
          env: { ...env, KILL: '' },
        });
  await sleep(1000);
  const network = await watch.view(startedAt, Date.now());
  const beat = await watch.nextBeat(5000).catch(() => undefined);
  const pids = pidsOf(qemu);
  const probe = new Probe(source.probe);
  const status = await probe
    .execute('query-status')
    .then((reply) => (reply as { status: string }).status)
    .catch((error: unknown) => String(error));
  const version = await probe.execute('query-version').catch(() => undefined);
  probe.close();
  const answers = await new Probe(source.qmp)
    .execute('query-name')
    .then(() => true)
    .catch(() => false);
  // A guard whose program died stays for ten seconds, to put things back.
  const helper = /\/fdpass$/;
  for (let waits = 0; waits < 30 && pidsOf(helper).length > 0; waits++) await sleep(500);
  const filesAfter = files(directory);
  const view: LiveUpdateView = {
    exitCode: end.code,
    signal: end.signal,
    stdout: end.stdout,
    stderr: end.stderr,
    resumed: resumed && { exitCode: resumed.code, text: `${resumed.stdout}${resumed.stderr}` },
    network,
    beats: beat !== undefined,
    memory: watch.memory(),
    sourcePid,
    qemus: pids.map((pid) => ({ pid, taps: tapsOf(pid) })),
    helpers: pidsOf(helper).length,
    status,
    version: versionText(version),
    answersAtOldPath: answers,
    newFiles: filesAfter.filter((name) => !filesBefore.includes(name)),
    lostFiles: filesBefore.filter((name) => !filesAfter.includes(name)),
    locks: existsSync(join(state, 'locks')) ? readdirSync(join(state, 'locks')) : [],
  };
  await watch.stop();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await source.owned.exited;
  await temporary.remove();
  return view;
}

function versionText(reply: unknown): string | undefined {
  const { qemu: v } = (reply ?? {}) as { qemu?: { major: number; minor: number } };
  return v && `${v.major}.${v.minor}`;
}

/** Of the VM's folder, without what the product keeps for itself. */
function files(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => name !== 'state');
}

void main(JSON.parse(process.argv[2] ?? '') as LiveUpdateCase).then(
  (view) => {
    process.stdout.write(`\n${JSON.stringify(view)}\n`);
    process.exit(0);
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? String(error.stack) : String(error)}\n`);
    process.exit(1);
  },
);
