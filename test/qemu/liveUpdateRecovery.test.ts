import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from '../../scripts/lib/paths';
import { provisionQemu } from '../../scripts/lib/qemu';
import { isAlive, listPids, readProcess } from '../../src/vm/process';
import type { QemuProcess } from '../../src/vm/types';
import { cliBundle, runCliProcess } from '../support/cliProcess';
import { dyingUpdateVariable, type DyingUpdate } from '../support/dyingUpdate';
import { LiveUpdateStage } from '../support/liveUpdateStage';

const entry = 'test/support/dyingUpdate.ts';
const kind = (name: string): string => `"kind":"${name}"`;

interface Moment {
  readonly when: 'before' | 'synced';
  readonly at: string;
  /** Where the guest is in the end. */
  readonly guest: 'old' | 'new';
  readonly method?: DyingUpdate['method'];
}

/** Every entry of both journals at which something has been done, or is about to be. */
const moments: Readonly<Record<string, Moment>> = {
  'before the new QEMU is started': { when: 'synced', at: kind('launch'), guest: 'old' },
  'when it runs and is not written down': { when: 'before', at: kind('launched'), guest: 'old' },
  'when it is there': { when: 'synced', at: kind('launched'), guest: 'old' },
  'before the run': { when: 'synced', at: kind('run'), guest: 'old' },
  'when settings are borrowed': { when: 'before', at: kind('channel'), guest: 'old' },
  'when the target listens': { when: 'before', at: kind('migrate'), guest: 'old' },
  'right after migrate': { when: 'before', at: '"phase":"transfer"', guest: 'new' },
  'when the run has ended': { when: 'before', at: '"kind":"end","outcome"', guest: 'new' },
  'before a name is moved': { when: 'synced', at: kind('move'), guest: 'new' },
  'when one name is moved': { when: 'before', at: kind('moved'), guest: 'new' },
  'before the process id is written': { when: 'synced', at: kind('pid-file'), guest: 'new' },
  'when the target of a cpr-transfer waits': {
    ...{ when: 'synced', at: kind('run'), guest: 'old', method: 'cpr-transfer' },
  },
  'when a cpr-transfer has begun': {
    ...{ when: 'before', at: '"phase":"transfer"', guest: 'new', method: 'cpr-transfer' },
  },
};

describe('a live update whose program is killed', function () {
  this.timeout(40_000);
  let stage: LiveUpdateStage | undefined;

  before(async function () {
    this.timeout(300_000);
    await provisionQemu('11.1');
    await cliBundle();
    await cliBundle(entry);
  });
  afterEach(async () => {
    if (stage === undefined) return;
    for (const found of await newQemus(stage)) stage.own(found);
    await stage.dispose();
    stage = undefined;
  });

  for (const [what, moment] of Object.entries(moments)) {
    it(`leaves the guest running, and is taken up, ${what}`, async () => {
      const { method = 'plain', guest } = moment;
      const shared = [
        ...['-object', 'memory-backend-memfd,id=ram0,size=128M,share=on'],
        ...['-machine', 'memory-backend=ram0,aux-ram-share=on'],
      ];
      stage = await LiveUpdateStage.begin({
        version: '11.1',
        ...(method === 'cpr-transfer' && { source: { extraArgs: shared } }),
      });
      const { source, directory, state } = stage;
      const { binary, prefixArgs, version } = await provisionQemu('11.1');
      await stage.registry.disconnect(source.qmpSocket);
      const pidFile = join(directory, 'web.pid');
      writeFileSync(pidFile, `${source.pid}\n`, { mode: 0o640 });
      await dieAt(moment, {
        ...{ state, socket: source.qmpSocket, pid: source.pid, method },
        ...{ mark: 'next', pidFile, target: { binary, prefixArgs, version } },
        helperDirectory: join(root, `native/fdpass/build/linux-${process.arch}`),
      });
      const end = await runCliProcess(['resume', '--all', '--json'], {
        env: {
          QEMU_MIGRATION_STATE: state,
          QEMU_MIGRATION_HELPER: join(root, `native/fdpass/build/linux-${process.arch}/fdpass`),
        },
      });
      const told = JSON.parse(end.stdout) as { runs: Record<string, unknown>[] };
      assert.deepEqual(
        told.runs.map(({ outcome }) => outcome),
        [guest === 'new' ? 'updated' : 'failed'],
        `${end.stdout}${end.stderr}`,
      );
      // One QEMU has it, at the old names, and it runs.
      const isOld = await isAlive({ pid: source.pid, startTicks: await ticksOf(source.pid) });
      assert.equal(isOld, guest === 'old', end.stdout);
      const there = await newQemus(stage);
      assert.equal(there.length, guest === 'old' ? 0 : 1, end.stdout);
      // The old one's is in use by who started it.
      const status =
        guest === 'old'
          ? { status: await source.guestStatus() }
          : await stage.probe().execute('query-status');
      assert.equal((status as { status: string }).status, 'running');
      const pid = guest === 'old' ? source.pid : there[0]?.pid;
      assert.equal(readFileSync(pidFile, 'utf8'), `${pid}\n`);
      assert.equal(statSync(pidFile).mode & 0o777, 0o640);
      const { qmpSocket, probeSocket, serialFile } = source;
      const log = `${qmpSocket}.log.next`;
      assert.deepEqual(
        readdirSync(directory).filter((name) => name !== 'state' && !name.endsWith('.old')),
        [qmpSocket, probeSocket, serialFile, pidFile, ...(guest === 'new' ? [log] : [])]
          .map((path) => basename(path))
          .sort(),
        end.stdout,
      );
      const [update] = (await stage.journals.listUpdates()).updates;
      assert.equal(update?.state.ended, true);
      assert.deepEqual(readdirSync(join(state, 'locks')), []);
    });
  }
});

async function ticksOf(pid: number): Promise<bigint> {
  return (await readProcess(pid))?.startTicks ?? -1n;
}

async function newQemus({ source }: LiveUpdateStage): Promise<readonly QemuProcess[]> {
  const all = await Promise.all((await listPids()).map((pid) => readProcess(pid)));
  return all.filter(
    (found): found is QemuProcess =>
      found?.args.some((argument) => argument.includes(`${source.qmpSocket}.next`)) === true,
  );
}

async function dieAt({ when, at }: Moment, wishes: DyingUpdate): Promise<void> {
  const bundle = await cliBundle(entry);
  await new Promise<void>((resolve, reject) => {
    const child = spawn(process.execPath, [bundle], {
      env: {
        ...process.env,
        ...{ KILL: when, KILL_AT: at, [dyingUpdateVariable]: JSON.stringify(wishes) },
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    }
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (signal === 'SIGKILL') resolve();
      else reject(new Error(`it ended by itself (${code ?? signal}): ${said}`));
    });
  });
}
