import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../../scripts/lib/paths';
import {
  provisionQemu,
  qemuVersions,
  startQemu,
  verifyGuestMemory,
  type QemuOptions,
  type QemuProcess,
  type QemuVersionName,
} from '../../scripts/lib/qemu';
import {
  cliBundle,
  runCliProcess,
  startCli,
  type CliEnd,
  type CliProcess,
} from '../support/cliProcess';

const killedCli = 'test/support/killedCli.ts';

interface Pair {
  readonly source: QemuProcess;
  readonly target: QemuProcess;
}

interface Moment {
  /** Just before the entry is written, or when it is on disk. */
  readonly when: 'before' | 'synced';
  readonly entry: RegExp;
}

const kind = (name: string): RegExp => new RegExp(`"kind":"${name}"`);
const hold = (side: string, state: string): RegExp =>
  new RegExp(`"kind":"hold","side":"${side}","state":"${state}"`);

describe('a run whose program is killed', () => {
  let directory: string;
  let state: string;
  let started: QemuProcess[];
  let settingsBefore: unknown;

  const env = (): Record<string, string> => ({
    QEMU_MIGRATION_STATE: state,
    // Where channels of others do not come and go.
    TMPDIR: directory,
    QEMU_MIGRATION_HELPER: join(root, `native/fdpass/build/linux-${process.arch}/fdpass`),
  });

  const start = async (
    version: QemuVersionName,
    name: string,
    options: Partial<QemuOptions> = {},
  ): Promise<QemuProcess> => {
    const build = await provisionQemu(version);
    const qemu = await startQemu({
      ...{ build, name, directory, memoryMiB: 128, guest: 'dirtying' },
      ...options,
    });
    started.push(qemu);
    return qemu;
  };

  const startPair = async (
    version: QemuVersionName,
    options: Partial<QemuOptions> = {},
  ): Promise<Pair> => {
    const source = await start(version, 'source', options);
    const target = await start(version, 'target', { ...options, incoming: true });
    await source.waitForRounds(1);
    settingsBefore = await settingsOf(source);
    return { source, target };
  };

  const begin = (
    { source, target }: Pair,
    { when, entry }: Moment,
    more: readonly string[] = [],
  ): Promise<CliProcess> =>
    startCli(['migrate', ...more, source.qmpSocket, target.qmpSocket], {
      entry: killedCli,
      env: { ...env(), KILL: when, KILL_AT: entry.source },
    });

  const beginAndDie = async (...args: Parameters<typeof begin>): Promise<CliEnd> => {
    const end = await (await begin(...args)).ended;
    assert.equal(end.signal, 'SIGKILL', `${end.stdout}${end.stderr}`);
    return end;
  };

  const cli = (...args: string[]): Promise<CliEnd> => runCliProcess(args, { env: env() });

  const resume = async (code: number, pair: Pair): Promise<string> => {
    const end = await cli('resume', '--all', '--json');
    const document = JSON.parse(end.stdout) as { runs: { exitCode: number }[] };
    assert.deepEqual(
      document.runs.map(({ exitCode }) => exitCode),
      [code],
      `${end.stdout}${end.stderr}`,
    );
    await oneCopy(pair);
    await nothingLeft();
    assert.match((await cli('runs', '--unfinished')).stdout, /No migration is unfinished/);
    return end.stdout;
  };

  const channelFolders = async (): Promise<readonly string[]> =>
    (await readdir(directory)).filter((name) => name.startsWith('qemu-migration-'));

  const nothingLeft = async (): Promise<void> => {
    assert.deepEqual(await channelFolders(), []);
    assert.deepEqual(await readdir(join(state, 'locks')), []);
  };

  const runsAtSource = async ({ source, target }: Pair): Promise<void> => {
    assert.equal(await source.guestStatus(), 'running');
    assert.notEqual(await statusOf(target), 'running');
    await source.waitForRounds(1);
    await verifyGuestMemory(source);
    assert.deepEqual(await settingsOf(source), settingsBefore);
  };

  const runsAtTarget = async ({ source, target }: Pair): Promise<void> => {
    assert.equal(await target.guestStatus(), 'running');
    assert.notEqual(await source.guestStatus(), 'running');
    await target.waitForRounds(1);
    await verifyGuestMemory(target);
    assert.deepEqual(await parametersOf(source), (settingsBefore as Settings).parameters);
  };

  const migratesAgain = async (pair: Pair, version: QemuVersionName): Promise<void> => {
    const fresh = await start(version, 'fresh', { incoming: true });
    await pair.target.stop();
    const end = await cli('migrate', pair.source.qmpSocket, fresh.qmpSocket);
    assert.equal(end.code, 0, `${end.stdout}${end.stderr}`);
    await fresh.waitForRounds(1);
  };

  before(async function () {
    this.timeout(300_000);
    for (const version of qemuVersions) await provisionQemu(version);
    await cliBundle();
    await cliBundle(killedCli);
  });

  beforeEach(async () => {
    started = [];
    directory = await mkdtemp(join(tmpdir(), 'qm-'));
    state = join(directory, 'state');
  });

  afterEach(async () => {
    for (const qemu of started) {
      qemu.kill('SIGCONT');
      await qemu.stop();
    }
    await rm(directory, { recursive: true });
  });

  for (const version of qemuVersions) {
    describe(`on QEMU ${version}`, () => {
      for (const transport of ['fd', 'unix']) {
        it(`is taken back by ${transport} when it had only prepared, and can be begun anew`, async () => {
          const pair = await startPair(version);
          const sockets = await socketsOf(pair.source);
          const moment = { when: 'before', entry: kind('incoming') } as const;
          await beginAndDie(pair, moment, ['--transport', transport, '--max-bandwidth', '1GiB/s']);
          assert.notDeepEqual(await settingsOf(pair.source), settingsBefore);
          assert.equal((await channelFolders()).length, transport === 'unix' ? 1 : 0);
          const again = await cli('migrate', pair.source.qmpSocket, pair.target.qmpSocket);
          assert.equal(again.code, 4, again.stdout);
          assert.match(again.stdout, /left in the middle.*\n?.*resume \d+T/s);
          await resume(5, pair);
          await runsAtSource(pair);
          assert.ok((await socketsOf(pair.source)) <= sockets, 'a descriptor is left');
          // Nothing was sent to the target that uses it up.
          const end = await cli('migrate', pair.source.qmpSocket, pair.target.qmpSocket);
          assert.equal(end.code, 0, `${end.stdout}${end.stderr}`);
          await runsAtTarget(pair);
        });
      }

      it('is taken back when the target listens already', async () => {
        const pair = await startPair(version);
        const moment = { when: 'before', entry: kind('migrate') } as const;
        await beginAndDie(pair, moment, ['--transport', 'unix', '--max-bandwidth', '1GiB/s']);
        await resume(5, pair);
        await runsAtSource(pair);
        await migratesAgain(pair, version);
      });

      it('is followed to its end when it was killed right after migrate', async () => {
        const pair = await startPair(version);
        const moment = { when: 'before', entry: kind('phase') } as const;
        await beginAndDie(pair, moment, ['--max-bandwidth', 'unlimited']);
        await resume(0, pair);
        await runsAtTarget(pair);
      });

      it('is told from one whose migrate was announced and not sent', async () => {
        const pair = await startPair(version);
        await beginAndDie(pair, { when: 'synced', entry: kind('migrate') });
        await resume(5, pair);
        await runsAtSource(pair);
        await migratesAgain(pair, version);
      });

      it('is followed to its end when it was killed while transferring', async () => {
        const pair = await startPair(version);
        const allowPause = (ms: number): Promise<unknown> =>
          pair.source.probe('migrate-set-parameters', { 'downtime-limit': ms });
        await allowPause(2_000_000);
        settingsBefore = await settingsOf(pair.source);
        await allowPause(300);
        // Told to die at a cancel, which never comes: it is killed from outside.
        const never = { when: 'synced', entry: kind('cancel') } as const;
        const first = await begin(pair, never, ['--max-bandwidth', '5MiB/s']);
        await first.saidOnStderr(/pass 1/);
        first.child.kill('SIGKILL');
        await first.ended;
        // Or a guest on a fast host would write more than goes over, for ever.
        await allowPause(2_000_000);
        await resume(0, pair);
        await runsAtTarget(pair);
      });

      it('tells the end of a run that had ended, and puts the speed back', async () => {
        const pair = await startPair(version);
        const moment = { when: 'before', entry: kind('loan-end') } as const;
        await beginAndDie(pair, moment, ['--max-bandwidth', 'unlimited']);
        await resume(0, pair);
        await runsAtTarget(pair);
      });

      // Slow ones on the oldest and the newest only.
      if (version === '10.0') return;

      for (const [what, moment] of [
        ['as the target is to be held', { when: 'synced', entry: hold('target', 'taking') }],
        ['when the target is held', { when: 'before', entry: hold('target', 'taken') }],
        ['before the cancel is sent', { when: 'synced', entry: kind('cancel') }],
      ] as const) {
        it(`is cancelled when it was killed ${what}`, async () => {
          const pair = await startPair(version);
          const killed = await begin(pair, moment, ['--max-bandwidth', '500KiB/s']);
          await killed.saidOnStderr(/pass 1/);
          killed.child.kill('SIGINT');
          assert.equal((await killed.ended).signal, 'SIGKILL');
          await resume(6, pair);
          await runsAtSource(pair);
          await migratesAgain(pair, version);
        });
      }

      it('continues a target that was held and got the guest meanwhile', async () => {
        const pair = await startPair(version);
        const moment = { when: 'synced', entry: kind('cancel') } as const;
        const killed = await begin(pair, moment, ['--max-bandwidth', '500KiB/s']);
        await killed.saidOnStderr(/pass 1/);
        killed.child.kill('SIGINT');
        await killed.ended;
        await pair.source.probe('migrate-set-parameters', { 'max-bandwidth': 2 ** 30 });
        await untilStatus(pair.source, 'postmigrate');
        assert.equal(await pair.target.guestStatus(), 'paused');
        const told = await resume(7, pair);
        assert.match(told, /max-bandwidth of source has been changed since/);
        assert.equal(await pair.target.guestStatus(), 'running');
        await pair.target.waitForRounds(1);
        await verifyGuestMemory(pair.target);
      });

      for (const [what, moment] of [
        ['was held', { when: 'synced', entry: hold('source', 'taken') }],
        ['is to be continued', { when: 'synced', entry: hold('source', 'releasing') }],
      ] as const) {
        it(`continues the source when it ${what} because of a frozen target`, async () => {
          const pair = await startPair(version);
          const killed = await begin(pair, moment, ['--max-bandwidth', '500KiB/s']);
          await killed.saidOnStderr(/pass 1/);
          pair.target.kill('SIGSTOP');
          killed.child.kill('SIGINT');
          assert.equal((await killed.ended).signal, 'SIGKILL');
          assert.equal(await pair.source.guestStatus(), 'paused');
          const end = await cli('resume', '--all', '--json');
          assert.match(end.stdout, /"outcome": "cancelled"/, `${end.stdout}${end.stderr}`);
          assert.equal(await pair.source.guestStatus(), 'running');
          pair.target.kill('SIGCONT');
          await sleep(300);
          await runsAtSource(pair);
          await migratesAgain(pair, version);
        });
      }
    });
  }

  it('goes on from a switchover that nobody let happen', async () => {
    const pair = await startPair('11.1');
    const capabilities = [{ capability: 'pause-before-switchover', state: true }];
    await pair.source.probe('migrate-set-capabilities', { capabilities });
    const moment = { when: 'before', entry: kind('phase') } as const;
    await beginAndDie(pair, moment, ['--max-bandwidth', 'unlimited']);
    await untilStatus(pair.source, 'finish-migrate');
    await resume(0, pair);
    await runsAtTarget(pair);
  });

  it('takes the guest back when the target ended while nobody watched', async () => {
    const pair = await startPair('11.1');
    const moment = { when: 'before', entry: kind('phase') } as const;
    await beginAndDie(pair, moment, ['--max-bandwidth', '500KiB/s']);
    await pair.target.stop();
    const end = await cli('resume', '--all', '--json');
    assert.match(end.stdout, /"outcome": "failed"/, `${end.stdout}${end.stderr}`);
    assert.match(end.stdout, /"owner": "source"/);
    assert.equal(await pair.source.guestStatus(), 'running');
    await pair.source.waitForRounds(1);
    assert.deepEqual(await settingsOf(pair.source), settingsBefore);
  });

  it('does not take another QEMU at the same path for the one of the journal', async () => {
    const pair = await startPair('11.1');
    await beginAndDie(pair, { when: 'synced', entry: kind('migrate') });
    await pair.source.stop();
    await pair.target.stop();
    const other = await start('11.1', 'source');
    const end = await cli('resume', '--all');
    assert.match(end.stdout, /both ended since/, end.stderr);
    assert.equal(await other.guestStatus(), 'running');
    assert.deepEqual(await other.probe('query-migrate'), {});
  });

  it('says who drives a machine, and does not disturb', async () => {
    const second = join(directory, 'second.qmp');
    const extraArgs = ['-qmp', `unix:${second},server=on,wait=off`];
    const source = await start('11.1', 'source', { extraArgs });
    const target = await start('11.1', 'target', { incoming: true });
    const other = await start('11.1', 'other', { incoming: true });
    await source.waitForRounds(1);
    const args = ['migrate', '--max-bandwidth', '500KiB/s', source.qmpSocket, target.qmpSocket];
    const first = await startCli(args, { env: env() });
    await first.saidOnStderr(/pass 1/);
    const refused = await cli('migrate', second, other.qmpSocket);
    assert.equal(refused.code, 4, refused.stdout + refused.stderr);
    assert.match(refused.stdout, new RegExp(`pid ${String(first.child.pid)}`));
    const listed = await cli('runs');
    assert.match(listed.stdout, new RegExp(`under way.*pid ${String(first.child.pid)}`));
    const none = await cli('resume', '--all');
    assert.match(none.stdout, new RegExp(`is under way.*pid ${String(first.child.pid)}`));
    assert.doesNotMatch(none.stdout, /No migration is unfinished/);
    first.child.kill('SIGINT');
    const end = await first.ended;
    assert.equal(end.code, 6, end.stdout + end.stderr);
    await source.waitForRounds(1);
  });
});

/** Never two running copies, seen from outside. */
async function oneCopy({ source, target }: Pair): Promise<void> {
  const [from, to] = [await source.guestStatus(), await statusOf(target)];
  assert.ok(!(from === 'running' && to === 'running'), `${from}/${to}`);
  assert.ok(from === 'running' || to === 'running', `${from}/${to}`);
}

/** QEMU 7.2 ends when what comes in is cut off. */
async function statusOf(qemu: QemuProcess): Promise<string> {
  return qemu.guestStatus().catch(() => 'gone');
}

interface Settings {
  readonly parameters: unknown;
  readonly capabilities: unknown;
}

async function settingsOf(qemu: QemuProcess): Promise<Settings> {
  const capabilities = await qemu.probe('query-migrate-capabilities');
  return { parameters: await parametersOf(qemu), capabilities };
}

function parametersOf(qemu: QemuProcess): Promise<unknown> {
  return qemu.probe('query-migrate-parameters');
}

/** How many sockets the process has open. */
async function socketsOf({ pid }: QemuProcess): Promise<number> {
  // The monitor's connection of a program that was killed ends a moment later.
  await sleep(300);
  return (await readdir(`/proc/${pid}/fd`)).length;
}

async function untilStatus(qemu: QemuProcess, status: string): Promise<void> {
  for (let waits = 0; (await qemu.guestStatus()) !== status; waits += 1) {
    assert.ok(waits < 300, `never came to ${status}: ${await qemu.guestStatus()}`);
    await sleep(100);
  }
}
