import assert from 'node:assert/strict';
import { assertNetworkHeld, assertSettled } from '../support/liveUpdateJudge';
import { runLiveUpdate, type LiveUpdateCase } from '../support/runLiveUpdate';

interface Way extends LiveUpdateCase {
  readonly title: string;
}

const ways: readonly Way[] = [
  {
    title: '11.1 by adopting its TAP',
    ...{ from: '11.1', to: '11.1', method: 'tap-adoption' },
  },
  {
    title: '11.1 with two queues by adopting its TAP',
    ...{ from: '11.1', to: '11.1', method: 'tap-adoption', queues: 2 },
  },
  {
    title: '10.0 to 11.1 by adopting its TAP',
    // The two do not agree on the sizes of virtio-net's queues.
    ...{ from: '10.0', to: '11.1', method: 'tap-adoption', nic: 'vmxnet3' },
  },
  {
    title: '7.2 to 10.0 by adopting its TAP, its memory shared',
    // Shared, because 7.2's emulator does not notice all writes of a guest while memory is copied.
    ...{ from: '7.2', to: '10.0', method: 'shared-ram', memory: 'file' },
  },
  {
    title: '10.0 to 11.1 by cpr-transfer',
    ...{ from: '10.0', to: '11.1', method: 'cpr-transfer', memory: 'memfd', nic: 'vmxnet3' },
  },
  {
    title: '11.1 by cpr-transfer',
    ...{ from: '11.1', to: '11.1', method: 'cpr-transfer', memory: 'memfd' },
  },
];

describe('the network of a guest through a live update', () => {
  for (const { title, ...wanted } of ways) {
    it(`keeps the guest of ${title}`, async () => {
      const view = await runLiveUpdate(wanted);
      const { network } = view;
      process.stdout.write(
        `      lost ${network.lost} of ${network.sent}, longest gap ${network.longestGapMs.toFixed(0)} ms\n`,
      );
      assert.equal(view.exitCode, 0, `${view.stdout}${view.stderr}`);
      assertSettled(view);
      assertNetworkHeld(view);
      assert.equal(view.version, wanted.to);
      assert.notEqual(view.qemus[0]?.pid, view.sourcePid);
    });
  }
});
