import assert from 'node:assert/strict';
import { liveUpdateKills } from '../support/liveUpdateKills';
import { assertAtHome } from '../support/liveUpdateJudge';
import { runLiveUpdate } from '../support/runLiveUpdate';

/** Those at which the update has to be taken up differently, of all in `liveUpdateKills.ts`. */
const sample: readonly string[] = [
  'program launch',
  'program run',
  'target launched',
  'helper launched',
  'program quit-source',
  'program source-gone',
  'program move',
  'program moved',
];

describe('a live update in which something is killed', () => {
  for (const title of sample) {
    it(`keeps the guest running: ${title}`, async () => {
      const kill = liveUpdateKills.find((one) => one.title === title);
      assert.ok(kill !== undefined);
      const view = await runLiveUpdate({ ...kill, from: '11.1', to: '11.1' });
      assert.match(view.stderr, /struck/, `nothing was killed: ${view.stdout}${view.stderr}`);
      assertAtHome(view, kill);
    });
  }
});
