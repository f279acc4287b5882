import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { qemuVersions, verifyGuestMemory } from '../../scripts/lib/qemu';
import type { Transport } from '../../src/migration/run/types';
import { startPair, type Pair } from '../support/pair';

describe('local migration', () => {
  let pair: Pair | undefined;

  afterEach(async () => {
    await pair?.dispose();
    pair = undefined;
  });

  for (const version of qemuVersions) {
    for (const transport of ['fd', 'unix'] as const satisfies Transport[]) {
      it(`moves the guest by ${transport} on QEMU ${version}, where it goes on`, async () => {
        pair = await startPair({ version });
        const { source, target, runs, request } = pair;
        await source.waitForRounds(1);
        const outcome = await runs.start(request({ transport })).outcome;
        assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
        assert.equal(outcome.owner, 'target');
        assert.equal(outcome.guestRunning, true);
        assert.ok(outcome.downtimeMs !== undefined && outcome.totalTimeMs !== undefined);
        assert.equal(await source.guestStatus(), 'postmigrate');
        assert.equal(await target.guestStatus(), 'running');
        await target.waitForRounds(2);
        assert.equal((await verifyGuestMemory(target)).pages, 2048);
      });
    }
  }

  for (const [version, targetVersion] of [
    ['7.2', '10.0'],
    ['10.0', '11.1'],
  ] as const) {
    it(`moves the guest from QEMU ${version} to ${targetVersion}, and puts the speed back`, async () => {
      const machine = version === '7.2' ? 'pc-q35-7.2' : 'pc-q35-10.0';
      pair = await startPair({
        version,
        targetVersion,
        source: { machine },
        target: { machine },
      });
      const { source, target, runs, request } = pair;
      await source.waitForRounds(1);
      const outcome = await runs.start(request({ maxBandwidthBytesPerSecond: 0n })).outcome;
      assert.equal(outcome.kind, 'completed', JSON.stringify(outcome));
      await target.waitForRounds(2);
      assert.equal((await verifyGuestMemory(target)).pages, 2048);
      const parameters = (await source.probe('query-migrate-parameters')) as Record<string, number>;
      assert.equal(parameters['max-bandwidth'], 128 * 1024 * 1024);
      assert.ok([0, undefined].includes(parameters['avail-switchover-bandwidth']));
    });
  }
});
