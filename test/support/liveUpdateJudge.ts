import assert from 'node:assert/strict';
import type { LiveUpdateKill } from './liveUpdateKills';
import type { LiveUpdateView } from './runLiveUpdate';

/** The guest runs in one QEMU, with its memory, its network and its names; nothing else is left. */
export function assertSettled(view: LiveUpdateView): void {
  const told = `${view.stdout}${view.stderr}${view.resumed?.text ?? ''}`;
  assert.equal(view.status, 'running', told);
  assert.ok(view.beats, `the guest does not beat any more\n${told}`);
  assert.equal(view.memory.errors, 0, 'the guest found strange memory');
  assert.equal(view.qemus.length, 1, `QEMUs left: ${JSON.stringify(view.qemus)}\n${told}`);
  assert.ok((view.qemus[0]?.taps ?? 0) > 0, 'it does not have the TAP');
  assert.ok(view.answersAtOldPath, `nobody answers at the old path\n${told}`);
  assert.equal(view.helpers, 0, 'a helper is left');
  assert.deepEqual(view.locks, [], told);
  assert.deepEqual(view.lostFiles, [], told);
}

/** Besides: it is where that killing has to leave it, and next to nothing was lost on the way. */
export function assertAtHome(view: LiveUpdateView, { guest }: Pick<LiveUpdateKill, 'guest'>): void {
  assertSettled(view);
  const moved = view.qemus[0]?.pid !== view.sourcePid;
  if (guest !== 'either') assert.equal(moved ? 'new' : 'old', guest);
  // Of a target that is gone nothing stays; of one that runs, its log.
  const expected = moved ? 1 : 0;
  assert.ok(view.newFiles.length <= expected, `left behind: ${view.newFiles.join(', ')}`);
}

/** A bound for safety, not for speed: 99 pings are lost where nobody looks after the TAP. */
export function assertNetworkHeld({ network }: LiveUpdateView): void {
  assert.ok(network.longestGapMs < 1000, JSON.stringify(network));
  assert.ok(network.lost <= 20, JSON.stringify(network));
}
