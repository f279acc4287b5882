import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { ListedRun, ListedUpdate } from '../../../src/migration/run/journal/journals';
import { abandoned, openWork, othersOf } from '../../../src/ui/leftOpen';

const side = (key: string) => ({ key, socket: `/run/${key}`, label: key });
const other = { pid: 7, startTicks: 1n, boot: 'b', program: 'the command line', host: 'h' };

// Of what a journal proves, what is looked at here.
function run(id: string, source: string, drivenBy?: typeof other): ListedRun {
  const begin = { source: side(source), target: side(`${source}.next`) };
  return { id, drivenBy, state: { begin, startedAt: 5, ended: false } } as unknown as ListedRun;
}

function update(id: string, source: string, more: object = {}): ListedUpdate {
  const begin = { machine: side(source), plan: { qmpSocket: `/run/${source}.next` } };
  const state = { begin, startedAt: 1, runAnnounced: true, ended: false, ...more };
  return { id, state } as unknown as ListedUpdate;
}

describe('what a closed window has left', () => {
  it('is taken up update by update, and their runs only with them', () => {
    const open = openWork([run('r2', 'b'), run('r1', 'a')], [update('u2', 'c'), update('u1', 'a')]);
    assert.deepEqual(abandoned(open), { updates: ['u1', 'u2'], runs: ['r2'] });
  });

  it('leaves the run of an update alone that another program drives', () => {
    const driven = { ...update('u1', 'a'), drivenBy: other };
    const open = openWork([run('r1', 'a')], [driven]);
    assert.deepEqual(abandoned(open), { updates: [], runs: [] });
    const who = { program: 'the command line', pid: 7, run: 'u1' };
    assert.deepEqual(
      [...othersOf(open, [], 1)],
      [
        ['/run/a', who],
        ['/run/a.next', who],
      ],
    );
    assert.equal(othersOf(open, [], 7).size, 0);
  });

  it('is a run by itself when its update has ended or had begun none', () => {
    for (const more of [{ ended: true }, { runAnnounced: false }]) {
      const open = openWork([run('r1', 'a')], [update('u1', 'a', more)]);
      assert.deepEqual(abandoned(open).runs, ['r1']);
    }
  });
});
