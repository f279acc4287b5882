import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'mocha';
import { qemuVersions } from '../../scripts/lib/qemu';
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
      });
    }
  }
});
