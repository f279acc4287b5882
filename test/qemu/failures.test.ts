import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, it } from 'mocha';
import { qemuVersions, type QemuProcess } from '../../scripts/lib/qemu';
import type { Run } from '../../src/migration/run/runs';
import { helperDirectory, startPair, type Pair, type PairOptions } from '../support/pair';

/** A guest that never converges at the default bandwidth, so that there is time to interfere. */
const slow = { source: { guest: 'fast-dirtying' }, target: { guest: 'fast-dirtying' } } as const;

describe('a local migration that does not go well', () => {
  let pair: Pair | undefined;
  const start = async (options: PairOptions): Promise<Pair> => (pair = await startPair(options));

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  for (const version of qemuVersions) {
    it(`goes on at the source after a cancel on QEMU ${version}`, async () => {
      const { source, target, runs, request } = await start({ version, ...slow });
      await source.waitForRounds(1);
      const run = runs.start(request());
      await untilPhase(run, 'transfer');
      await sleep(300);
      run.cancel();
      const outcome = await run.outcome;
      assert.equal(outcome.kind, 'cancelled', JSON.stringify(outcome));
      assert.equal(outcome.owner, 'source');
      await runsOnlyAt(source, target);
      await source.waitForRounds(1);
      await assertPutBack(source);
    });

    it(`goes on at the source when the target is killed on QEMU ${version}`, async () => {
      const { source, target, runs, request } = await start({ version, ...slow });
      await source.waitForRounds(1);
      const run = runs.start(request({ transport: 'unix' }));
      await untilPhase(run, 'transfer');
      await sleep(200);
      target.kill('SIGKILL');
      const outcome = await run.outcome;
      assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
      assert.equal(outcome.owner, 'source');
      assert.equal(outcome.guestRunning, true);
      await source.waitForRounds(1);
      await assertPutBack(source);
    });

    it(`names the loss when the source is killed on QEMU ${version}`, async () => {
      const { source, runs, request } = await start({ version, ...slow });
      await source.waitForRounds(1);
      const run = runs.start(request());
      await untilPhase(run, 'transfer');
      await sleep(200);
      source.kill('SIGKILL');
      const outcome = await run.outcome;
      assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
      assert.equal(outcome.owner, 'nobody');
      assert.match(outcome.headline, /lost/);
    });

    it(`never leaves two copies, whenever the cancel comes, on QEMU ${version}`, async () => {
      // From before the first byte to after the end of a migration of about half a second.
      for (const delayMs of [0, 120, 350, 420, 480]) {
        const { source, target, runs, request } = await start({ version });
        await source.waitForRounds(1);
        const run = runs.start(request({ maxBandwidthBytesPerSecond: 0n }));
        await sleep(delayMs);
        run.cancel();
        const outcome = await run.outcome;
        const [from, to] = [await source.guestStatus(), await statusOf(target)];
        const said = `${delayMs} ms: ${from}/${to} ${JSON.stringify(outcome)}`;
        assert.ok(!(from === 'running' && to === 'running'), said);
        assert.ok(from === 'running' || to === 'running', said);
        assert.equal(outcome.owner, from === 'running' ? 'source' : 'target', said);
        await pair?.dispose();
        pair = undefined;
      }
    });
  }

  for (const phase of ['preflight', 'prepare', 'transfer']) {
    for (const victim of ['source', 'target'] as const) {
      it(`tells the truth when the ${victim} is killed while ${phase}`, async () => {
        const { source, target, runs, request } = await start({ version: '11.1' });
        await source.waitForRounds(1);
        // Slow enough for the transfer to be hit.
        await source.probe('migrate-set-parameters', { 'max-bandwidth': 20 * 1024 * 1024 });
        const run = runs.start(request());
        await untilPhase(run, phase);
        const [dead, alive] = victim === 'source' ? [source, target] : [target, source];
        dead.kill('SIGKILL');
        const outcome = await run.outcome;
        const survivor = await alive.guestStatus();
        const said = `${survivor} ${JSON.stringify(outcome)}`;
        if (survivor === 'running') {
          assert.equal(outcome.owner, victim === 'source' ? 'target' : 'source', said);
          await alive.waitForRounds(1);
        } else {
          assert.equal(victim, 'source', `the guest must not stand on the source: ${said}`);
          assert.ok(['nobody', 'unknown'].includes(outcome.owner), said);
        }
      });
    }
  }

  for (const victim of ['source', 'target'] as const) {
    it(`tells the truth when the ${victim} is killed as the guest is handed over`, async () => {
      const { source, target, runs, request, sourceMachine } = await start({ version: '11.1' });
      await source.waitForRounds(1);
      const [dead, alive] = victim === 'source' ? [source, target] : [target, source];
      sourceMachine.onEvent(({ name }) => {
        if (name === 'STOP') dead.kill('SIGKILL');
      });
      const outcome = await runs.start(request()).outcome;
      const survivor = await alive.guestStatus();
      const said = `${survivor} ${JSON.stringify(outcome)}`;
      const owner = victim === 'source' ? 'target' : 'source';
      if (survivor === 'running') assert.equal(outcome.owner, owner, said);
      else assert.ok(['nobody', 'unknown'].includes(outcome.owner), said);
    });
  }

  it('takes the guest back when the target is killed while the switchover is held', async () => {
    const { source, target, runs, request, sourceMachine } = await start({ version: '11.1' });
    await source.probe('migrate-set-capabilities', {
      capabilities: [{ capability: 'pause-before-switchover', state: true }],
    });
    await source.waitForRounds(1);
    const killed = new Promise<void>((resolve) => {
      sourceMachine.onEvent(({ name }) => {
        if (name !== 'STOP') return;
        target.kill('SIGKILL');
        resolve();
      });
    });
    const run = runs.start(request());
    await killed;
    const outcome = await run.outcome;
    assert.equal(outcome.owner, 'source', JSON.stringify(outcome));
    assert.equal(outcome.guestRunning, true);
    await source.waitForRounds(1);
  });

  for (const version of ['7.2', '11.1'] as const) {
    it(`waits for a target that is frozen at the switchover, and says that a cancel is too late, on QEMU ${version}`, async () => {
      // Nothing is written to memory, so that mostly all that is left fits into the kernel's buffer.
      // QEMU 7.2 then takes a cancel as if nothing had gone over, and both would run.
      const idle = { source: { guest: 'none' }, target: { guest: 'none' } } as const;
      const { source, target, runs, request, sourceMachine } = await start({ version, ...idle });
      const frozen = new Promise<void>((resolve) => {
        sourceMachine.onEvent(({ name }) => {
          if (name !== 'STOP') return;
          target.kill('SIGSTOP');
          resolve();
        });
      });
      const run = runs.start(request({ maxBandwidthBytesPerSecond: 0n }));
      await frozen;
      run.cancel();
      await sleep(3000);
      assert.equal(
        run.record.outcome,
        undefined,
        'must not settle while the target may have it all',
      );
      // When not all did fit, the source's monitor stands still as well.
      assert.match(run.record.progress.note ?? '', /Too late|does not answer/);
      target.kill('SIGCONT');
      const outcome = await run.outcome;
      assert.equal(outcome.kind, 'too-late-to-cancel', JSON.stringify(outcome));
      await runsOnlyAt(target, source);
    });
  }

  it('cancels although the target is frozen, and leaves one running guest', async () => {
    const { source, target, runs, request } = await start({ version: '11.1', ...slow });
    await source.waitForRounds(1);
    const run = runs.start(request());
    await untilPhase(run, 'transfer');
    target.kill('SIGSTOP');
    run.cancel();
    const outcome = await run.outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['cancelled', 'source', true],
      JSON.stringify(outcome),
    );
    target.kill('SIGCONT');
    await source.waitForRounds(1);
    await runsOnlyAt(source, target);
    await assertPutBack(source);
  });

  it('keeps a paused guest paused, and says so', async () => {
    const { source, target, runs, request } = await start({ version: '10.0' });
    await source.waitForRounds(1);
    await source.probe('stop');
    const outcome = await runs.start(request()).outcome;
    assert.deepEqual(
      [outcome.kind, outcome.owner, outcome.guestRunning],
      ['completed', 'target', false],
      JSON.stringify(outcome),
    );
    assert.equal(await target.guestStatus(), 'paused');
  });

  it('tells what the target said when it cannot load the guest', async () => {
    const { source, target, runs, request } = await start({
      version: '11.1',
      // What is missing on a USB bus is not looked for before the start.
      source: { extraArgs: ['-device', 'qemu-xhci,id=usb', '-device', 'usb-tablet'] },
      target: { extraArgs: ['-device', 'qemu-xhci,id=usb'] },
    });
    await source.waitForRounds(1);
    const outcome = await runs.start(request()).outcome;
    assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
    assert.match(outcome.details.join('\n'), /usb-ptr/);
    await runsOnlyAt(source, target);
  });

  it('is not begun without a helper, and says what works without it', async () => {
    const { source, target, runs, request } = await start({
      version: '10.0',
      helper: '/nowhere/fdpass',
    });
    const refused = await runs.start(request()).outcome;
    assert.equal(refused.kind, 'refused', JSON.stringify(refused));
    assert.match(refused.details.join(' '), /\/nowhere\/fdpass.*UNIX socket/s);
    await assertPutBack(source);
    await source.waitForRounds(1);
    const completed = await runs.start(request({ transport: 'unix' })).outcome;
    assert.equal(completed.kind, 'completed', JSON.stringify(completed));
    await runsOnlyAt(target, source);
  });

  for (const [how, command] of [
    ['crashes', 'kill -SEGV $$'],
    ['hangs', 'exec sleep 60'],
  ] as const) {
    it(`changes nothing when the helper ${how}`, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'qm-helper-'));
      const helper = join(directory, 'fdpass');
      const real = join(helperDirectory, 'fdpass');
      const script = `#!/bin/sh\n[ "$1" = --version ] && exec ${real} --version\n${command}\n`;
      await writeFile(helper, script, { mode: 0o700 });
      try {
        const { source, target, runs, request } = await start({ version: '11.1', helper });
        await source.waitForRounds(1);
        const outcome = await runs.start(request()).outcome;
        assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
        assert.equal(outcome.owner, 'source');
        assert.match(outcome.details.join(' '), /descriptors could not be handed over/);
        assert.match(outcome.nextStep, /UNIX socket/);
        assert.equal(await target.guestStatus(), 'inmigrate');
        await source.waitForRounds(1);
        await assertPutBack(source);
      } finally {
        await rm(directory, { recursive: true });
      }
    });
  }

  it('refuses a target that was used, does not wait, or is in another run', async () => {
    const { source, target, runs, request, registry } = await start({ version: '11.1', ...slow });
    await source.waitForRounds(1);
    const back = await runs.start({
      ...request(),
      source: request().target,
      target: request().source,
    }).outcome;
    assert.equal(back.kind, 'refused');
    assert.match(back.details.join(' '), /itself waits/);
    const run = runs.start(request());
    assert.throws(() => runs.start(request()), /under way/);
    await untilPhase(run, 'transfer');
    run.cancel();
    await run.outcome;
    const again = await runs.start(request()).outcome;
    assert.equal(again.kind, 'refused', JSON.stringify(again));
    assert.match(again.details.join(' '), /one attempt/);
    assert.match(again.nextStep, /another/);
    registry.dispose();
    await runsOnlyAt(source, target);
  });

  it('refuses differences that QEMU notices late or never', async () => {
    const { runs, request, target } = await start({
      version: '11.1',
      target: { memoryMiB: 512 },
    });
    await target.probe('migrate-set-capabilities', {
      capabilities: [{ capability: 'multifd', state: true }],
    });
    const outcome = await runs.start(request({ transport: 'unix' })).outcome;
    assert.equal(outcome.kind, 'refused');
    assert.match(outcome.details.join(' '), /memory sizes differ.*multifd is on at one side only/s);
  });
});

async function untilPhase(run: Run, phase: string): Promise<void> {
  const there = (): boolean =>
    run.record.progress.phase === phase || run.record.outcome !== undefined;
  for (let waits = 0; !there(); waits++) {
    assert.ok(waits < 2000, `never came to ${phase}: ${JSON.stringify(run.record.progress)}`);
    await sleep(10);
  }
  assert.equal(run.record.outcome, undefined, JSON.stringify(run.record.outcome));
}

async function statusOf(qemu: QemuProcess): Promise<string> {
  return qemu.guestStatus().catch(() => 'gone');
}

async function runsOnlyAt(here: QemuProcess, there: QemuProcess): Promise<void> {
  assert.equal(await here.guestStatus(), 'running');
  assert.notEqual(await statusOf(there), 'running');
}

/** What the run had borrowed on the source is as it was. */
async function assertPutBack(source: QemuProcess): Promise<void> {
  const capabilities = (await source.probe('query-migrate-capabilities')) as {
    capability: string;
    state: boolean;
  }[];
  const on = capabilities.filter(({ state }) => state).map(({ capability }) => capability);
  assert.deepEqual(on, []);
}
