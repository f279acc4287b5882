import assert from 'node:assert/strict';
import { runLiveUpdate, type LiveUpdateCase, type LiveUpdateView } from '../support/runLiveUpdate';

/** The guest runs in one QEMU, with its memory and its network; nothing else is there. */
function settled(view: LiveUpdateView): void {
  const told = `${view.stdout}${view.stderr}${view.resumed?.text ?? ''}`;
  assert.equal(view.status, 'running', told);
  assert.ok(view.beats, 'the guest does not beat any more');
  assert.equal(view.memory.errors, 0, 'the guest found strange memory');
  assert.equal(view.qemus.length, 1, `QEMUs left: ${JSON.stringify(view.qemus)}\n${told}`);
  assert.ok((view.qemus[0]?.taps ?? 0) > 0, 'it does not have the TAP');
  assert.ok(view.answersAtOldPath, 'nobody answers at the old path');
  assert.equal(view.helpers, 0, 'a helper is left');
  assert.deepEqual(view.locks, [], told);
  assert.deepEqual(view.lostFiles, [], told);
  assert.ok(view.network.lost <= 10, JSON.stringify(view.network));
  assert.ok(view.network.longestGapMs < 1000, JSON.stringify(view.network));
}

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
  {
    title: '11.1 by cpr-exec',
    ...{ from: '11.1', to: '11.1', method: 'cpr-exec', memory: 'memfd' },
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
      settled(view);
      assert.equal(view.version, wanted.to);
      assert.equal(view.qemus[0]?.pid === view.sourcePid, wanted.method === 'cpr-exec');
    });
  }
});
