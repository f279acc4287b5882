import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, describe, it } from 'mocha';
import { qemuVersions } from '../../scripts/lib/qemu';
import {
  continueGuest,
  GuestRefusedError,
  judgeGuest,
  quitMachine,
  type GateSurroundings,
} from '../../src/migration/run/guestGate';
import { MachineDrivenError } from '../../src/migration/run/journal/errors';
import { Journals } from '../../src/migration/run/journal/journals';
import { startPair, type Pair, type PairOptions } from '../support/pair';

describe('what a person may do to a machine', () => {
  let pair: Pair | undefined;
  const start = async (options: PairOptions): Promise<Pair> => (pair = await startPair(options));

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  for (const version of qemuVersions) {
    describe(`on QEMU ${version}`, () => {
      it('never continues the source of a completed run, and quits it', async () => {
        const { source, target, sourceMachine, targetMachine } = await migrated(
          await start({ version }),
        );
        const around = surroundings(pair!);
        await refused(continueGuest(sourceMachine, around), /went to target/);
        assert.equal(await source.guestStatus(), 'postmigrate');
        assert.equal((await judgeGuest('quit', targetMachine, around)).allowed, false);

        await quitMachine(sourceMachine, around);
        await source.exited;
        await target.waitForRounds(1);
      });

      it('never continues it either when the target is gone, though QEMU would', async () => {
        const { source, target, sourceMachine } = await migrated(await start({ version }));
        target.kill('SIGKILL');
        await target.exited;
        await refused(continueGuest(sourceMachine, surroundings(pair!)), /went to target/);
        assert.equal(await source.guestStatus(), 'postmigrate');

        // What is refused: QEMU has no objection to an old copy.
        await source.probe('cont');
        assert.equal(await source.guestStatus(), 'running');
      });

      it('cannot prove anything of a migration without a journal and UUID in common', async () => {
        const { source, sourceMachine } = await migrated(await start({ version }));
        const around = { ...surroundings(pair!), journals: undefined };
        await refused(continueGuest(sourceMachine, around), /cannot be proven/);
        await refused(quitMachine(sourceMachine, around), /cannot be proven/);
        assert.equal(await source.guestStatus(), 'postmigrate');
      });

      it('takes the word of a target of the same UUID that it has the guest', async () => {
        const uuid = randomUUID();
        const { source, target, sourceMachine } = await migrated(
          await start({ version, source: { uuid }, target: { uuid } }),
        );
        await quitMachine(sourceMachine, { ...surroundings(pair!), journals: undefined });
        await source.exited;
        await target.waitForRounds(1);
      });

      it('quits a target that refused the guest, which runs on', async () => {
        const { source, target, sourceMachine, targetMachine, runs, request } = await start({
          version,
          // What is missing on a USB bus is not looked for before the start.
          source: { extraArgs: ['-device', 'qemu-xhci,id=usb', '-device', 'usb-tablet'] },
          target: { extraArgs: ['-device', 'qemu-xhci,id=usb'] },
        });
        await source.waitForRounds(1);
        const outcome = await runs.start(request({ maxBandwidthBytesPerSecond: 0n })).outcome;
        assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
        const around = surroundings(pair!);
        if (version === '7.2') {
          // It ends by itself.
          await target.exited;
          await refused(quitMachine(targetMachine, around), /has ended/);
        } else {
          await refused(continueGuest(targetMachine, around), /no guest in it/);
          await quitMachine(targetMachine, around);
          await target.exited;
        }
        await refused(quitMachine(sourceMachine, around), /runs/);
        await source.waitForRounds(1);
      });

      it('continues a guest that its user paused, and never quits it', async () => {
        const { source, sourceMachine, targetMachine } = await start({ version });
        await source.waitForRounds(1);
        await source.probe('stop');
        const around = surroundings(pair!);
        await refused(quitMachine(sourceMachine, around), /holds a guest/);
        await refused(continueGuest(targetMachine, around), /no guest in it/);
        await continueGuest(sourceMachine, around);
        await source.waitForRounds(1);
        await refused(continueGuest(sourceMachine, around), /runs already/);
      });

      it('leaves a machine alone that somebody drives', async () => {
        const { source, sourceMachine, targetMachine } = await start({ version });
        await source.waitForRounds(1);
        await source.probe('stop');
        const around = surroundings(pair!);
        // As a run does; a lock is named after the process.
        await Promise.all([sourceMachine.identify(), targetMachine.identify()]);
        const claim = await around.journals!.claim(sourceMachine.snapshot, targetMachine.snapshot);
        const { allowed, reason } = await judgeGuest('continue', sourceMachine, around);
        assert.ok(!allowed && reason.includes('a test'), reason);
        await assert.rejects(continueGuest(sourceMachine, around), MachineDrivenError);
        assert.equal(await source.guestStatus(), 'paused');

        await claim.release();
        await continueGuest(sourceMachine, around);
        assert.equal(await source.guestStatus(), 'running');
      });
    });
  }

  it('does not continue what another machine of the same UUID runs, or hides', async () => {
    const uuid = randomUUID();
    const { source, target, sourceMachine, targetMachine } = await start({
      version: '11.1',
      source: { uuid },
      target: { uuid, incoming: false },
    });
    await target.waitForRounds(1);
    await source.probe('stop');
    const around = surroundings(pair!);
    await refused(continueGuest(sourceMachine, around), /two running copies/);
    target.kill('SIGSTOP');
    await refused(continueGuest(sourceMachine, around), /does not answer/);
    assert.equal(await source.guestStatus(), 'paused');

    target.kill('SIGKILL');
    await target.exited;
    assert.equal(targetMachine.snapshot.facts?.uuid, uuid);
    await continueGuest(sourceMachine, around);
    await source.waitForRounds(1);
  });
});

function surroundings({ registry, source }: Pair): GateSurroundings {
  return {
    machines: registry.machines.map(({ snapshot }) => snapshot),
    handleOf: (id) => registry.get(id),
    journals: new Journals({ directory: join(source.directory, 'state'), program: 'a test' }),
  };
}

/** Moves the guest to the target. */
async function migrated(pair: Pair): Promise<Pair> {
  const { source, target, runs, request } = pair;
  await source.waitForRounds(1);
  const outcome = await runs.start(request({ maxBandwidthBytesPerSecond: 0n })).outcome;
  assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
  await target.waitForRounds(1);
  return pair;
}

async function refused(attempt: Promise<unknown>, reason: RegExp): Promise<void> {
  await assert.rejects(attempt, (error: unknown) => {
    assert.ok(error instanceof GuestRefusedError, String(error));
    assert.match(error.message, reason);
    assert.notEqual(error.nextStep, '');
    return true;
  });
}
