/*
 * Measured traps of QEMU, each shown on disposable QEMUs, and what keeps a run out of it.
 *
 * | trap | guard | shown here |
 * |---|---|---|
 * | `migrate` with a CPR channel alone ends the source | cprSocket has to be given, the main channel is ours | yes |
 * | `migrate` with `uri` in mode cpr-transfer ends the source | a run sets `mode` before each `migrate` | yes |
 * | a descriptor as main channel of cpr-transfer ends the source | `cpr-main-fd` | refusal |
 * | multifd on the target only, other numbers of channels: hangs | `capability-differs`, `parameter-differs` | yes |
 * | switchover-ack on the source only hangs QEMU 10.0 | `capability-differs` | yes |
 * | postcopy-preempt on the target only hangs QEMU 7.2 | `capability-differs` | yes |
 * | a target killed in pre-switchover: the source stands, silently | a look at the target | yes; failures.test.ts |
 * | 7.2 takes a cancel of paused postcopy, and hangs | the table in run/states.ts | not sent |
 * | x-ignore-shared with two files: no page is copied | `memory-file-differs` | refusal |
 * | cpr-exec without shared memory: not refused, guest lost | `memory-not-shared`, `aux-ram-share` | yes |
 * | cpr-exec without `-device`, memory size: guest lost | `exec-command-differs`, `exec-hot-plugged` | methodChecks.test.ts |
 * | `migrate file:` writes over what is there | `file-exists` | yes |
 * | without return-path the source says completed, the target failed | a run turns it on | yes |
 * | `cont` on the source after success: two copies | the guest gate | yes; guestGate.test.ts |
 * | cancel after `device`: two copies | the table in run/states.ts | failures.test.ts |
 * | a pipe with return-path: two copies | the helper makes a socketpair, nothing else | fdpass.test.ts |
 * | a target that failed cannot be used again | `target-used` | yes |
 * | a stray connect freezes a waiting target | sockets are looked up in /proc | yes; methodChecks.test.ts |
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, it } from 'mocha';
import type { QemuProcess } from '../../scripts/lib/qemu';
import { continueGuest, GuestRefusedError } from '../../src/migration/run/guestGate';
import { checkBeforeRun, RunRefusedError } from '../../src/migration/run/checks/checks';
import { readInventories } from '../../src/migration/run/checks/inventoryChecks';
import { readMethodFacts } from '../../src/migration/run/checks/methodChecks';
import type { MigrationRequest, RunOutcome } from '../../src/migration/run/types';
import type { MachineHandle } from '../../src/vm/types';
import { sharedMemory } from '../support/cprPair';
import { startPair, type Pair, type PairOptions } from '../support/pair';

type Args = Readonly<Record<string, unknown>>;

interface MigrationAnswer {
  readonly status?: string;
}

async function migrationOf(qemu: QemuProcess): Promise<string | undefined> {
  return ((await qemu.probe('query-migrate')) as MigrationAnswer).status;
}

async function capabilities(qemu: QemuProcess, ...names: readonly string[]): Promise<void> {
  await qemu.probe('migrate-set-capabilities', {
    capabilities: names.map((capability) => ({ capability, state: true })),
  });
}

/** Migrates without us. */
async function byHand({ source, target }: Pair): Promise<void> {
  const uri = `unix:${join(source.directory, 'by-hand')}`;
  // QEMU 7.2 does not know it.
  const stays = target.build.name === '7.2' ? {} : { 'exit-on-error': false };
  await target.probe('migrate-incoming', { uri, ...stays });
  await source.probe('migrate', { uri });
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; !(await isSo()); looks++) {
    assert.ok(looks < 500, `${what} did not come`);
    await sleep(20);
  }
}

/** Refused before anything was sent, with that in its words. */
function refused(outcome: RunOutcome, words: RegExp): void {
  assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
  assert.match(outcome.details.join(' '), words);
  assert.notEqual(outcome.nextStep, '');
}

/** The same for a run with one machine, by the check that it begins with. */
async function refusedAlone(
  machine: MachineHandle,
  request: MigrationRequest,
  words: RegExp,
): Promise<void> {
  await machine.identify();
  const inventories = await readInventories(request, machine, machine);
  const facts = await readMethodFacts(request, machine, machine);
  assert.throws(
    () => checkBeforeRun(request, machine, machine, inventories, facts),
    (error) => error instanceof RunRefusedError && words.test(error.message),
  );
}

describe('traps of QEMU', () => {
  const pairs: Pair[] = [];
  const start = async (options: Partial<PairOptions> = {}): Promise<Pair> => {
    const pair = await startPair({ version: '11.1', ...options });
    pairs.push(pair);
    return pair;
  };

  afterEach(async () => {
    await Promise.all(pairs.splice(0).map((pair) => pair.dispose()));
  });

  it('a CPR channel alone ends the source; we do not begin without a main one', async () => {
    const trap = await start({ source: { extraArgs: sharedMemory } });
    const { runs, request, source, registry } = trap;
    await registry.disconnect(trap.targetMachine.id);
    const outcome = await runs.start(request({ method: 'cpr-transfer', transport: 'unix' }))
      .outcome;
    refused(outcome, /CPR channel is not given/);
    const overFd = { method: 'cpr-transfer', options: { cprSocket: '/run/x/cpr' } } as const;
    refused(await runs.start(request(overFd)).outcome, /over a descriptor ends the QEMU/);
    const addr = { transport: 'socket', type: 'unix', path: join(source.directory, 'cpr') };
    const channels = [{ 'channel-type': 'cpr', addr }];
    await source.probe('migrate', { channels }).catch(() => undefined);
    assert.equal((await source.exited).signal, 'SIGSEGV');
  });

  it('a uri in mode cpr-transfer ends the source; we set the mode first', async () => {
    const extraArgs = sharedMemory;
    const ours = await start({ source: { extraArgs }, target: { extraArgs } });
    const mode: Args = { mode: 'cpr-transfer' };
    await ours.source.waitForRounds(1);
    await ours.source.probe('migrate-set-parameters', mode);
    const outcome = await ours.runs.start(ours.request({ transport: 'unix' })).outcome;
    assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
    const trap = await start({ source: { extraArgs }, target: { extraArgs } });
    await trap.source.probe('migrate-set-parameters', mode);
    await byHand(trap).catch(() => undefined);
    assert.equal((await trap.source.exited).signal, 'SIGABRT');
  });

  it('multifd at the target only hangs; we refuse', async () => {
    const { source, target, runs, request } = await start();
    await capabilities(target, 'multifd');
    refused(await runs.start(request({ transport: 'unix' })).outcome, /multifd is on at one side/);
    await byHand(pairs[0]!);
    await sleep(2000);
    assert.deepEqual(
      [await migrationOf(source), await target.guestStatus()],
      ['active', 'inmigrate'],
    );
  });

  it('other numbers of channels hang; we refuse', async () => {
    const uuid = randomUUID();
    const { source, target, runs, request } = await start({ source: { uuid }, target: { uuid } });
    for (const qemu of [source, target]) await capabilities(qemu, 'multifd');
    await target.probe('migrate-set-parameters', { 'multifd-channels': 4 });
    const outcome = await runs.start(request({ transport: 'unix' })).outcome;
    refused(outcome, /multifd-channels differs: 2 and 4/);
    await byHand(pairs[0]!);
    await sleep(2000);
    assert.deepEqual(
      [await migrationOf(source), await target.guestStatus()],
      ['active', 'inmigrate'],
    );
  });

  for (const { version, side, names } of [
    { version: '10.0', side: 'source', names: ['return-path', 'switchover-ack'] },
    { version: '7.2', side: 'target', names: ['postcopy-ram', 'postcopy-preempt'] },
  ] as const) {
    it(`${names[1]} at the ${side} only hangs QEMU ${version}; we refuse`, async () => {
      const pair = await start({ version });
      const { source, target, runs, request } = pair;
      await source.waitForRounds(1);
      await capabilities(pair[side], ...names);
      const words = new RegExp(`${names[1]} is on at one side`);
      refused(await runs.start(request({ transport: 'unix' })).outcome, words);
      await byHand(pair);
      await sleep(3000);
      assert.deepEqual(
        [await migrationOf(source), await target.guestStatus()],
        ['active', 'inmigrate'],
      );
    });
  }

  it('a target killed in pre-switchover leaves the source standing, and it says nothing', async () => {
    const trap = await start();
    await trap.source.waitForRounds(1);
    await capabilities(trap.source, 'return-path', 'pause-before-switchover');
    await byHand(trap);
    await until('the stop', async () => (await migrationOf(trap.source)) === 'pre-switchover');
    trap.target.kill('SIGKILL');
    await trap.target.exited;
    await sleep(2000);
    assert.deepEqual(
      [await migrationOf(trap.source), await trap.source.guestStatus()],
      ['pre-switchover', 'finish-migrate'],
    );
  });

  it('a connection to where a target waits freezes its monitor until it is closed', async () => {
    const { source, target } = await start();
    const path = join(source.directory, 'waits');
    await target.probe('migrate-incoming', { uri: `unix:${path}`, 'exit-on-error': false });
    const answers = async (): Promise<boolean> =>
      Promise.race([target.guestStatus().then(() => true), sleep(1500, false)]);
    assert.equal(await answers(), true);
    const stray = connect(path);
    try {
      await once(stray, 'connect');
      await sleep(300);
      assert.equal(await answers(), false);
    } finally {
      stray.destroy();
    }
  });

  it('sends QEMU 7.2 no cancel of paused postcopy, which would hang for ever', async () => {
    const guest = 'fast-dirtying' as const;
    const { source, runs, request, log } = await start({
      ...{ version: '7.2', source: { guest }, target: { guest } },
    });
    await source.waitForRounds(1);
    await source.probe('migrate-set-parameters', { 'max-postcopy-bandwidth': 20_000_000 });
    const run = runs.start(request({ method: 'postcopy', transport: 'unix' }));
    const phase = (name: string) => (): Promise<boolean> =>
      Promise.resolve(run.record.progress.phase === name);
    await until('the transfer', phase('transfer'));
    await run.control({ id: 'start-postcopy' });
    await until('postcopy', phase('postcopy'));
    await run.control({ id: 'pause-postcopy' });
    await until('the pause', phase('interrupted'));
    run.cancel();
    await sleep(1000);
    assert.equal(await migrationOf(source), 'postcopy-paused');
    assert.ok(!log.some((line) => line.startsWith('migrate_cancel')), log.join('\n'));
    await source.probe('migrate-set-parameters', { 'max-postcopy-bandwidth': 0 });
    await run.control({ id: 'recover-postcopy' });
    const outcome = await run.outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner],
      ['too-late-to-cancel', 'target'],
      JSON.stringify(outcome),
    );
  });

  it('memory that is not copied and not the same file either is refused', async () => {
    const directory = join(tmpdir(), `qemu-migration-traps-${process.pid}`);
    const memory = (name: string): string[] => [
      '-object',
      `memory-backend-file,id=ram0,size=256M,mem-path=${join(directory, name)},share=on`,
      ...['-machine', 'memory-backend=ram0'],
    ];
    await mkdir(directory, { recursive: true });
    try {
      const { runs, request } = await start({
        source: { extraArgs: memory('one') },
        target: { extraArgs: memory('two') },
      });
      const outcome = await runs.start(request({ method: 'shared-ram' })).outcome;
      refused(outcome, /do not have the same file/);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('cpr-exec of memory that is not shared is not refused, and the end of the guest; we refuse', async () => {
    const { source, sourceMachine, request } = await start();
    const alone = { target: sourceMachine.id, method: 'cpr-exec' } as const;
    await refusedAlone(sourceMachine, request(alone), /share=on.*aux-ram-share/);
    await source.waitForRounds(1);
    const uri = `file:${join(source.directory, 'state')}`;
    const command = [...source.commandLine, '-incoming', uri];
    await source.probe('migrate-set-parameters', { mode: 'cpr-exec', 'cpr-exec-command': command });
    await source.probe('migrate', { uri }).catch(() => undefined);
    assert.equal((await source.exited).code, 1);
  });

  it('a save writes over what is there; we refuse', async () => {
    const { source, sourceMachine, request } = await start();
    const path = join(source.directory, 'precious');
    const text = 'the only copy of another guest';
    await writeFile(path, text);
    const alone = {
      target: sourceMachine.id,
      method: 'save',
      options: { file: { path } },
    } as const;
    await refusedAlone(sourceMachine, request(alone), /there already/);
    assert.equal(await readFile(path, 'utf8'), text);
    await source.probe('migrate', { uri: `file:${path}` });
    await until('the end', async () => (await migrationOf(source)) === 'completed');
    assert.equal((await readFile(path)).subarray(0, 4).toString(), 'QEVM');
  });

  it('without return-path a guest that was not taken is said to be; we turn it on', async () => {
    const source = { extraArgs: ['-device', 'virtio-rng-pci,id=rng0,addr=5'] };
    const trap = await start({ source });
    await trap.source.waitForRounds(1);
    await byHand(trap);
    await until('the end', async () => (await migrationOf(trap.source)) === 'completed');
    assert.equal(await trap.source.guestStatus(), 'postmigrate');
    await until('the failure', async () => (await migrationOf(trap.target)) === 'failed');

    const ours = await start({ source });
    const { runs, request } = ours;
    await ours.source.waitForRounds(1);
    refused(await runs.start(request()).outcome, /nothing where the source has "rng0"/);
    const force = { reason: 'to show that it is not lost' };
    const outcome = await runs.start(request({ force })).outcome;
    assert.deepEqual([outcome.kind, outcome.owner], ['failed', 'source'], JSON.stringify(outcome));
    await ours.source.waitForRounds(1);
    // It served its one attempt.
    refused(await runs.start(request({ force })).outcome, /serves one attempt|not connected/);
  });

  it('a source continued after success runs a second copy; the gate refuses', async () => {
    const { source, target, runs, request, sourceMachine, registry } = await start();
    await source.waitForRounds(1);
    const outcome = await runs.start(request()).outcome;
    assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
    const machines = registry.machines.map(({ snapshot }) => snapshot);
    await assert.rejects(continueGuest(sourceMachine, { machines }), GuestRefusedError);
    await source.probe('cont');
    assert.deepEqual(
      [await source.guestStatus(), await target.guestStatus()],
      ['running', 'running'],
    );
  });
});
